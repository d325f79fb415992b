// Charts: a value of each frame, from left to right, over the supervision steps that the frames belong to.

const LEFT = 36, WIDTH = 356;  // of the axis, in a viewBox 400 wide

function svg(parent, name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  return parent.appendChild(node);
}

function words(parent, x, y, text, anchor) {
  svg(parent, "text", {x, y, "text-anchor": anchor || "start"}).textContent = text;
}

/** Return the place of frame i of count on the axis. */
function across(i, count) {
  return LEFT + WIDTH * (count > 1 ? i / (count - 1) : 0);
}

/** Return the frame below a pointer. */
function frameAt(chart, event, count) {
  const box = chart.getBoundingClientRect();
  return Math.round(((event.clientX - box.left) / box.width * 400 - LEFT) / WIDTH * (count - 1));
}

function line(parent, count, points, colour) {
  const places = points.map(([i, y]) => `${across(i, count)},${y}`).join(" ");
  svg(parent, "polyline", {points: places, fill: "none", stroke: colour, "stroke-width": 1.6, "stroke-linejoin": "round"});
}

/** Draw the ends of steps, [[label, frame]], and return the line that marks a frame. */
function axes(parent, count, ends, height) {
  const every = Math.ceil(ends.length / 12);
  ends.forEach(([label, i], k) => {
    const x = across(i, count);
    svg(parent, "line", {x1: x, x2: x, y1: 4, y2: height, stroke: "var(--line)", "stroke-width": 0.7});
    if (k % every === every - 1) words(parent, x, height + 11, label, "middle");
  });
  return svg(parent, "line", {y1: 2, y2: height, stroke: "var(--warm)", "stroke-width": 1.6});
}

/** Draw the course of halting probability and mean confidence of frames, {halting, sure}; see axes. */
function course(parent, frames, ends) {
  const up = share => 96 - 90 * share;
  const mark = axes(parent, frames.length, ends, 96);
  for (const share of [0, 0.5, 1]) words(parent, LEFT - 4, up(share) + 3, share * 100 + " %", "end");
  line(parent, frames.length, frames.map((frame, i) => [i, up(frame.sure)]), "var(--soft)");
  line(parent, frames.length, frames.map((frame, i) => [i, up(frame.halting)]), "var(--accent)");
  for (const [, i] of ends)
    svg(parent, "circle", {cx: across(i, frames.length), cy: up(frames[i].halting), r: 2, fill: "var(--accent)"});
  return mark;
}

function moveMark(mark, i, count) {
  mark.setAttribute("x1", across(i, count));
  mark.setAttribute("x2", across(i, count));
}
