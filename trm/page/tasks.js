// The page of ARC: a task is chosen, loaded or pasted; its test inputs are answered by two attempts each.

const MOST_BYTES = 1e6;  // of the file of a task; the largest published one has 40,000

class TaskPage {
  constructor(page) {
    Object.assign(this, {about: page.about, look: page.look, arc: page.arc, solver: null, task: null});
    for (const [i, task] of page.arc.tasks.entries())
      if (task.test.length) $("tasks").append(new Option(task.name, i));
    $("tasks").onchange = () => this.set(this.knownTask(this.arc.tasks[$("tasks").value]));
    $("file").onchange = () => attempt(async () => this.load($("file").files[0]));
    $("text-label").textContent = "A task as JSON, {\"train\": [{\"input\": …, \"output\": …}], \"test\": […]}";
    $("use").onclick = () => attempt(() => this.read($("text").value, "the pasted task"));
    for (const id of ["task-choice", "pairs"]) $(id).hidden = false;
    $("clear").hidden = true;
  }

  open(model, vectors) {
    this.solver = new TaskSolver(model, this.arc, vectors);
    this.example();
  }

  get options() {
    return {views: Math.max(this.arc.blank.transforms.length, ...this.arc.tasks.map(task => task.transforms.length)), rules: false, startViews: 8};
  }

  example() {
    const count = $("tasks").options.length;
    if (!count) return;
    $("tasks").selectedIndex = this.task ? ($("tasks").selectedIndex + 1) % count : 0;
    this.set(this.knownTask(this.arc.tasks[$("tasks").value]));
  }

  knownTask({name, train, test}) {
    return {name, train, test: test.map(input => [input, null])};
  }

  async load(file) {
    if (!file) return;
    if (file.size > MOST_BYTES) throw new InputError(`${file.name} has ${file.size.toLocaleString("en")} bytes, but a task has at most ${MOST_BYTES.toLocaleString("en")}`);
    this.read(await file.text(), file.name.replace(/\.json$/, ""));
    $("file").value = "";  // so that the same file can be loaded again
  }

  read(text, name) {
    if (text.length > MOST_BYTES) throw new InputError(`${name} has ${text.length.toLocaleString("en")} characters, but a task has at most ${MOST_BYTES.toLocaleString("en")}`);
    $("tasks").selectedIndex = -1;
    this.set(readTask(text, name, this.arc.side));
  }

  set(task) {
    this.task = task;
    edited();
    $("attempts").replaceChildren();
    $("pairs").replaceChildren();
    task.train.forEach(([input, output], i) => {
      this.picture($("pairs"), input, `input ${i + 1}`);
      this.picture($("pairs"), output, `output ${i + 1}`);
    });
    this.showTest(0);
  }

  /** Show a test input beside an empty canvas for its answer. */
  showTest(number) {
    $("boards").replaceChildren();
    $("boards").classList.add("beside");
    const many = this.task.test.length > 1 ? ` ${number + 1} of ${this.task.test.length}` : "";
    this.picture($("boards"), this.task.test[number][0], `test input${many}`);
    const grids = [...this.task.train, ...this.task.test].flat().filter(Boolean);
    this.canvas = Math.max(...grids.flatMap(shapeOf));
    this.answered = board($("boards"), this.lookOf(this.canvas, this.canvas), "answer").cells;
    this.number = number;
  }

  lookOf(rows, columns) {
    return {...this.look, rows, columns, box: [rows, columns]};
  }

  picture(parent, grid, caption) {
    const look = this.lookOf(grid.length, grid[0]?.length ?? 0), made = board(parent, look, caption);
    grid.flat().forEach((colour, k) => paint(made.cells[k], look, colour + FIRST_COLOUR, 1));
    made.grid.setAttribute("role", "img");
    made.grid.ariaLabel = `${caption}: ${grid.map(row => row.join("")).join(" / ")}`;
  }

  /** Answer all test inputs; returns the verdict in words. */
  async solve(options, player) {
    const {task} = this, results = [];
    if (!task) throw new InputError("there is no task; choose, load or paste one");
    $("attempts").replaceChildren();
    for (const number of task.test.keys()) {
      const frames = this.solver.solve(task, number, options);
      for (;;) {
        const {done, value} = await frames.next();
        if (done) { results.push(value); break; }
        await player.add({...value, number, part: number * options.views + value.view, sure: mean(value.sure),
          where: (task.test.length > 1 ? `Test input ${number + 1}, ` : "") + `view ${value.view + 1}`});
      }
    }
    const [{known, views}] = results, doubts = results.flatMap((result, number) => this.showAttempts(result, number));
    const told = [`answered by vote of ${views} view${views > 1 ? "s" : ""}`, ...doubts];
    if (!known) told.unshift("the model was not trained on this task, so its answers mean little");
    return {good: known, text: told.join("; "),
      answer: JSON.stringify(results.map(({attempts}) => attempts.map(attempt => attempt.grid)))};
  }

  /** Show the attempts at a test input, and return what is doubtful about them, in phrases. */
  showAttempts({attempts, views}, number) {
    const [question, solution] = this.task.test[number], many = this.task.test.length > 1 ? `test input ${number + 1}, ` : "";
    return attempts.flatMap(({grid, votes, confidence}, i) => {
      const right = solution === null ? "" : JSON.stringify(grid) === JSON.stringify(solution) ? ", right" : ", wrong";
      const doubt = inconsistency(this.task, question, grid);
      const caption = `${many}attempt ${i + 1}: ${votes} of ${views} vote${views > 1 ? "s" : ""}, confidence ${percent(confidence)}${right}`;
      this.picture($("attempts"), grid, caption);
      return doubt ? [`${many}attempt ${i + 1} is inconsistent with the train pairs: ${doubt}`] : [];
    });
  }

  show(frame, before) {
    if (frame.number !== this.number) this.showTest(frame.number);
    let changes = 0;
    this.answered.forEach((cell, k) => {
      const r = Math.floor(k / this.canvas), c = k % this.canvas, colour = frame.grid[r]?.[c];
      const changed = before !== null && before.part === frame.part && before.grid[r]?.[c] !== colour;
      changes += changed;
      paint(cell, this.look, colour === undefined ? 0 : colour + FIRST_COLOUR, 0.25 + 0.75 * (frame.opacity[r]?.[c] ?? 0));
      cell.classList.toggle("changed", changed);
    });
    return changes;
  }
}
