// The frames of a solution, one for each supervision step: shown as they come, then played again.

class Player {
  /** @param show shows a frame and the one before it, or null, on the boards; returns how many cells changed */
  constructor(show) {
    this.show = show;
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    $("step").oninput = event => { this.stop(); this.go(Number(event.target.value) - 1); };
    $("play").onclick = () => this.timer ? this.stop() : this.play();
    $("course").onpointerdown = $("course").onpointermove = event => {
      if ((event.type === "pointermove" && !event.buttons) || this.frames.length < 2) return;
      this.stop();
      this.go(frameAt($("course"), event, this.frames.length));
    };
    this.clear();
  }

  clear() {
    this.stop();
    this.frames = [];
    this.now = -1;
    $("replay").hidden = true;
    $("course").replaceChildren();
    for (const id of ["halting", "sure", "changes"]) $(id).textContent = "–";
    $("exit").textContent = "";
  }

  /** Show another frame, and wait long enough for people to see it. */
  async add(frame) {
    this.frames.push(frame);
    $("replay").hidden = false;
    $("step").max = this.frames.length;
    this.draw();
    this.go(this.frames.length - 1);
    await new Promise(done => setTimeout(done, this.still ? 0 : this.beat()));
  }

  /** Return the milliseconds that a frame is shown: all of them in about ten seconds. */
  beat() {
    return Math.max(40, Math.min(350, 10000 / this.frames.length));
  }

  draw() {
    const {frames} = this, parts = frames.some(frame => frame.part !== frames[0].part);
    const last = frames.map((frame, i) => [frame, i]).filter(([frame, i]) => !parts || frame.part !== frames[i + 1]?.part);
    $("course").replaceChildren();
    this.mark = course($("course"), frames, last.map(([frame, i]) => [parts ? frame.part + 1 : frame.step, i]));
  }

  go(i) {
    this.now = Math.max(0, Math.min(this.frames.length - 1, i));
    const frame = this.frames[this.now], before = this.frames[this.now - 1] ?? null;
    const changed = this.show(frame, before);
    $("halting").textContent = percent(frame.halting);
    $("sure").textContent = percent(frame.sure);
    $("changes").textContent = before && before.part === frame.part ? changed : "–";
    $("where").textContent = `${frame.where}, step ${frame.step}`.replace(/^, s/, "S");
    $("step").value = this.now + 1;
    $("step").setAttribute("aria-valuetext", $("where").textContent);
    moveMark(this.mark, this.now, this.frames.length);
  }

  play() {
    if (this.now === this.frames.length - 1) this.go(0);
    $("play").textContent = "Pause";
    const tick = () => {
      if (this.now === this.frames.length - 1) return this.stop();
      this.go(this.now + 1);
      this.timer = setTimeout(tick, this.beat());
    };
    this.timer = setTimeout(tick, this.beat());
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = 0;
    $("play").textContent = "Play";
  }
}
