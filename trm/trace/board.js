// Boards: grids of cells in the look of a family, {rows, columns, box, symbols, colours}; see trm/trace/theme.py.

const $ = id => document.getElementById(id);
const percent = share => (100 * share).toFixed(share > 0.9995 || share < 0.0005 ? 0 : 1) + " %";

/** Append a captioned board to a parent, and return its grid and its cells, row by row. */
function board(parent, look, caption) {
  const figure = document.createElement("figure"), title = document.createElement("figcaption");
  const grid = document.createElement("div");
  title.textContent = caption;
  grid.className = "board" + (look.columns > 16 ? " dense" : "");
  grid.style.gridTemplateColumns = `repeat(${look.columns}, 1fr)`;
  grid.style.setProperty("--glyph", `${60 / look.columns}cqw`);
  const cells = Array.from({length: look.rows * look.columns}, (_, k) => cellOf(look, k));
  for (let row = 0; row < look.rows; row++) {
    const line = document.createElement("div");
    line.className = "line";
    line.append(...cells.slice(row * look.columns, (row + 1) * look.columns));
    grid.append(line);
  }
  figure.append(title, grid);
  parent.append(figure);
  return {grid, cells};
}

function cellOf(look, k) {
  const cell = document.createElement("div"), r = Math.floor(k / look.columns), c = k % look.columns;
  cell.className = "cell";
  cell.classList.toggle("right", (c + 1) % look.box[1] === 0);
  cell.classList.toggle("bottom", (r + 1) % look.box[0] === 0);
  cell.classList.toggle("lastc", c + 1 === look.columns);
  cell.classList.toggle("lastr", r + 1 === look.rows);
  cell.append(document.createElement("i"), document.createElement("b"));
  return cell;
}

/** Show a token in a cell; the less opaque, the less probable it is. */
function paint(cell, look, token, opacity) {
  const colour = look.colours[token], [fill, glyph] = cell.children;
  cell.dataset.token = token;
  glyph.textContent = look.symbols[token];
  glyph.style.opacity = opacity;
  fill.style.cssText = colour ? `background:${colour};opacity:${opacity}` : "";
  cell.classList.toggle("painted", Boolean(colour));
}
