// The page of a family of boards: a grid to type into or draw on, solved in place.

class BoardPage {
  constructor(page) {
    this.about = page.about;
    this.look = page.look;
    this.examples = page.examples;
    this.solver = null;  // until the model is loaded
    this.draws = this.about.rules?.kind === "path";
    this.blank = this.about.symbols["."] ?? Math.min(...Object.values(this.about.symbols));
    this.brush = this.draws ? this.about.rules.wall : this.blank;
    this.at = 0;  // cell that the keyboard is on
    this.question = new Array(this.about.cells).fill(this.blank);
    const asked = board($("boards"), page.look, page.look.apart ? "question" : "question and answer");
    this.grid = asked.grid;
    this.asked = asked.cells;
    this.answered = page.look.apart ? board($("boards"), page.look, "answer").cells : asked.cells;
    this.makeEditable(page.title);
    this.makePalette();
    $("text").placeholder = page.examples[0] ?? "";
    $("text").rows = 3;
    $("text-label").textContent = `The puzzle as text, ${this.about.cells} cells row by row`;
    $("use").onclick = () => attempt(() => this.set(this.solverOf().parse($("text").value)));
  }

  open(model) {
    this.solver = new BoardSolver(model);
    this.example();
  }

  solverOf() {
    return this.solver ?? new BoardSolver({about: this.about});
  }

  get options() {
    return {views: this.about.views.cells.length, rules: Boolean(this.about.rules), startViews: 1};
  }

  example() {
    if (!this.examples.length) return;
    this.set(this.solverOf().parse(this.examples[0]));
    this.examples.push(this.examples.shift());  // the next one next time
  }

  clear() {
    this.set(new Array(this.about.cells).fill(this.blank));
  }

  set(question) {
    this.question = question;
    $("text").value = this.solverOf().write(question);
    edited();
    this.showQuestion();
  }

  /** Solve the question, frame by frame; returns the verdict in words and whether it is good. */
  async solve(options, player) {
    this.showQuestion();
    this.solver.check(this.question);
    const frames = this.solver.solve(this.question, options);
    for (;;) {
      const {done, value} = await frames.next();
      if (done) return this.verdict(value, player);
      await player.add({...value, part: value.view, opacity: value.sure, sure: mean(value.sure),
        where: options.views > 1 ? `View ${value.view + 1}` : ""});
    }
  }

  verdict(solution, player) {
    player.go(player.frames.findIndex(frame => frame.part === solution.frame.view && frame.step === solution.frame.step));
    const rules = {true: "obeys the rules", false: `breaks the rules: ${solution.reason}`, null: "not checked by rules"}[solution.valid];
    const steps = `${solution.steps} supervision step${solution.steps > 1 ? "s" : ""}`;
    return {good: solution.valid !== false, text: `${rules}; ${steps}, confidence ${percent(solution.confidence)}`,
      answer: this.solver.write(solution.frame.tokens)};
  }

  showQuestion() {
    const wrong = brokenCells(this.about.rules, this.question, this.question);
    const given = this.given();
    this.asked.forEach((cell, k) => {
      paint(cell, this.look, this.question[k], 1);
      cell.classList.toggle("given", given[k]);
      cell.classList.toggle("broken", given[k] && wrong[k]);
      cell.classList.remove("changed");
      cell.ariaLabel = this.name(k, this.question[k]) + (given[k] && wrong[k] ? ", breaks a rule" : "");
    });
    if (this.look.apart) for (const cell of this.answered) paint(cell, this.look, this.blank, 0);
  }

  given() {
    return givens(this.about.rules, this.question);
  }

  show(frame, before) {
    const given = this.given(), wrong = brokenCells(this.about.rules, this.question, frame.tokens);
    let changes = 0;
    this.answered.forEach((cell, k) => {
      const changed = before !== null && before.part === frame.part && before.tokens[k] !== frame.tokens[k];
      changes += changed;
      paint(cell, this.look, frame.tokens[k], given[k] ? 1 : 0.25 + 0.75 * frame.opacity[k]);
      cell.classList.toggle("changed", changed);
      cell.classList.toggle("broken", wrong[k]);
      cell.title = percent(frame.opacity[k]);
      cell.ariaLabel = this.name(k, frame.tokens[k]) + (given[k] ? ", given" : `, ${percent(frame.opacity[k])}`)
        + (wrong[k] ? ", breaks a rule" : "");
    });
    return changes;
  }

  // -- editing --------------------------------------------------------------------------------------------------------

  nameOf(token) {
    if (this.draws) return ["wall", "free", "start", "goal", "path"].find(name => this.about.rules[name] === token) ?? "nothing";
    return this.look.symbols[token] || "blank";
  }

  name(k, token) {
    return `row ${Math.floor(k / this.look.columns) + 1}, column ${k % this.look.columns + 1}: ${this.nameOf(token)}`;
  }

  put(k, token) {
    const question = [...this.question], {rules} = this.about;
    if (this.draws && [rules.start, rules.goal].includes(token))  // there is one of each
      question.forEach((other, i) => { if (other === token) question[i] = rules.free; });
    question[k] = token;
    this.set(question);
  }

  focus(k) {
    this.asked[this.at].tabIndex = -1;
    this.at = k;
    this.asked[k].tabIndex = 0;
    this.asked[k].focus();
  }

  makeEditable(title) {
    this.grid.setAttribute("role", "grid");
    this.grid.ariaLabel = `${title}; arrow keys move, ${this.draws ? "# . S G set a cell" : "a key sets a cell"}, Delete clears it`;
    for (const line of this.grid.children) line.setAttribute("role", "row");
    this.asked.forEach((cell, k) => {
      cell.setAttribute("role", "gridcell");
      cell.tabIndex = k ? -1 : 0;
    });
    this.grid.classList.toggle("draws", this.draws);
    this.grid.onkeydown = event => this.key(event);
    this.grid.onpointerdown = event => this.touch(event, true);
    this.grid.onpointermove = event => { if (this.draws && event.buttons) this.touch(event, false); };
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const {rows, columns} = this.look, row = Math.floor(this.at / columns), column = this.at % columns;
    const moves = {ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1], Home: [row, 0], End: [row, columns - 1]};
    const [r, c] = moves[event.key] ?? [];
    const token = {Backspace: this.blank, Delete: this.blank, Enter: this.brush}[event.key] ?? this.about.symbols[event.key];
    if (r >= 0 && r < rows && c >= 0 && c < columns) this.focus(r * columns + c);
    else if (r === undefined && token !== undefined && !busy) this.put(this.at, token);
    else if (r === undefined) return;
    event.preventDefault();
  }

  touch(event, begins) {
    const k = this.asked.indexOf(document.elementFromPoint(event.clientX, event.clientY)?.closest(".cell"));
    if (k < 0) return;
    if (begins) {
      event.preventDefault();  // the focus is set here
      this.focus(k);
      if (this.draws) this.grid.setPointerCapture(event.pointerId);
    }
    if (this.draws && !busy && this.question[k] !== this.brush) this.put(k, this.brush);
  }

  makePalette() {
    const tokens = [...new Set(Object.values(this.about.symbols))].filter(token => token !== this.blank);
    for (const token of [...tokens, this.blank].filter(token => token)) {
      const button = document.createElement("button");
      button.append(document.createElement("i"), this.draws ? this.nameOf(token) : this.look.symbols[token] || "⌫");
      if (token === this.blank && !this.draws) button.ariaLabel = "blank";
      if (this.look.colours[token]) button.firstChild.style.background = this.look.colours[token];
      button.firstChild.hidden = !this.draws;
      button.type = "button";
      button.onclick = () => this.choose(button, token);
      if (this.draws) button.ariaPressed = String(token === this.brush);
      $("palette").append(button);
    }
    const count = $("palette").children.length;
    $("palette").style.setProperty("--wide", Math.min(count, 10));
    $("palette").style.setProperty("--narrow", count > 7 ? Math.ceil(count / 2) : count);
    $("palette").ariaLabel = this.draws ? "What to draw" : "Set the chosen cell";
    $("palette").hidden = false;
  }

  choose(button, token) {
    this.brush = token;
    if (this.draws) for (const other of $("palette").children) other.ariaPressed = String(other === button);
    else if (!busy) this.put(this.at, token);
  }
}
