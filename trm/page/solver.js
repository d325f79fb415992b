// The loop over supervision steps around the exported step, as trm/edge/solver.py runs it, for one puzzle at a time.

/** What a person gave cannot be used; its message is a sentence for the page. */
class InputError extends Error {}

class Model {
  /**
   * @param ort the module onnxruntime-web
   * @param session the exported step
   * @param about the description of the model; see trm/export/description.py
   */
  constructor(ort, session, about) {
    Object.assign(this, {ort, session, about});
    this.milliseconds = 0;  // of the last step
  }

  /** Return the initial answer and latent, tensors (1, S, D). */
  start() {
    const state = ["y", "z"].map(part => {
      const {shape: [rows, width], float32} = this.about.start[part], values = floats(decode(float32));
      const all = new Float32Array(this.about.length * width);
      for (let row = 0; row < this.about.length; row++)
        all.set(values.subarray((row % rows) * width, (row % rows + 1) * width), row * width);
      return new this.ort.Tensor("float32", all, [1, this.about.length, width]);
    });
    return {y: state[0], z: state[1]};
  }

  /** Take one supervision step. */
  async step(inputs, {y, z}, vector) {
    const feed = {inputs, y, z};
    if (vector) feed.puzzle_vectors = new this.ort.Tensor("float32", vector, [1, vector.length]);
    const begun = performance.now(), output = await this.session.run(feed);
    this.milliseconds = performance.now() - begun;
    return output;
  }

  /**
   * Yield the answer after each supervision step, until the puzzle halts.
   * @param question tokens, an array of L
   * @param vector puzzle vector, or null without a puzzle embedding
   * @param options {depth, threshold, halts}: halts(thought, previous) returns whether the puzzle is done
   */
  async* think(question, vector, {depth, threshold, halts}) {
    const inputs = new this.ort.Tensor("int32", Int32Array.from(question), [1, question.length]);
    const logit = Math.log(threshold / (1 - threshold));
    let state = this.start(), before = null;
    for (let step = 1; step <= depth; step++) {
      const output = await this.step(inputs, state, vector);
      const [halt] = output.halt.data, [proceed] = output.proceed.data;
      const thought = {step, ...this.read(output.logits.data), halting: sigmoid(halt), stops: halt - proceed > logit};
      thought.done = halts(thought, before) || question.every(token => token === 0);
      yield thought;
      if (thought.done) return;
      [state, before] = [{y: output.next_y, z: output.next_z}, thought];
    }
  }

  /** Return the most probable token of each cell, and its probability under the loss of the training. */
  read(logits) {
    const count = this.about.tokens, tokens = [], sure = [];
    const size = this.about.loss === "softmax" ? Math.exp : x => x >= 0 ? x + 1 : 1 / (1 - x);
    const shift = this.about.loss === "softmax" ? Math.max : () => 0;  // exponentials must not overflow
    for (let first = 0; first < logits.length; first += count) {
      const cell = logits.subarray(first, first + count), most = cell.indexOf(Math.max(...cell));
      const least = shift(...cell), total = cell.reduce((sum, x) => sum + size(x - least), 0);
      tokens.push(most);
      sure.push(size(cell[most] - least) / total);
    }
    return {tokens, sure};
  }
}

const sigmoid = x => (1 + Math.tanh(x / 2)) / 2;
const decode = text => Uint8Array.from(atob(text), character => character.charCodeAt(0));
const floats = bytes => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Return the early-exit rule of a name, halts(thought, previous); see trm solve --help. */
function haltingRule(name, isValid) {
  return {
    head: thought => thought.stops,
    never: () => false,
    stable: (thought, before) => before !== null && thought.tokens.every((token, k) => token === before.tokens[k]),
    rules: thought => isValid(thought.tokens),
  }[name];
}

/** Solves boards: a question is one grid with a character per cell. */
class BoardSolver {
  constructor(model) {
    this.model = model;
    this.about = model.about;
    this.most = this.about.views.cells.length;  // symmetries
    this.vector = this.about.puzzle_vector && floats(decode(this.about.puzzle_vector.float32));
  }

  /** Return the tokens of a question as text; raises an InputError. */
  parse(text) {
    const {symbols, cells} = this.about, lines = text.replace(/^[\r\n]+/, "").trimEnd().split(/\r?\n/);
    let compact = lines.join("");
    if (!(" " in symbols) || compact.length !== cells)
      compact = [...text].filter(character => character in symbols ? character !== " " : !/[\s|+,"'-]/.test(character)).join("");
    const shown = compact.length > 100 ? `${compact.slice(0, 100)}…` : compact;
    const wrong = [...compact].findIndex(character => !(character in symbols));
    if (!compact) throw new InputError("there is no puzzle; type it into the board or paste it below");
    if (compact.length !== cells) {
      const counted = `${compact.length.toLocaleString("en")} cell${compact.length === 1 ? "" : "s"}`;
      throw new InputError(`the puzzle ${shown} has ${counted}, but the model takes ${cells}`);
    }
    if (wrong >= 0)
      throw new InputError(`the puzzle ${shown} has "${compact[wrong]}" in cell ${wrong + 1}; accepted are ${Object.keys(symbols).join("")}`);
    return [...compact].map(character => symbols[character]);
  }

  write(tokens) {
    return tokens.map(token => this.about.write[token]).join("");
  }

  /** Raise an InputError if a question cannot be solved, as far as a look at it shows. */
  check(question) {
    const reason = fault(this.about.rules, question);
    if (reason) throw new InputError(`the puzzle is unsolvable: ${reason}`);
  }

  /**
   * Yield a frame for each supervision step of each view, and return the solution.
   * @param options {depth, views, halt, select, threshold}
   */
  async* solve(question, {depth, views, halt, select, threshold}) {
    const {rules} = this.about, found = [];
    for (let view = 0; view < views; view++) {
      const cells = this.about.views.cells[view], names = this.about.views.tokens[view];
      const back = tokens => unmapped(tokens.map(token => names.indexOf(token)), cells);
      const isValid = tokens => !broken(rules, question, back(tokens));
      const halts = haltingRule(halt, isValid);
      let last = null;
      for await (const thought of this.model.think(cells.map(k => names[question[k]]), this.vector, {depth, threshold, halts})) {
        last = {...thought, view, tokens: back(thought.tokens), sure: unmapped(thought.sure, cells)};
        yield last;
      }
      found.push(last);
      if (select === "verifier" && !broken(rules, question, last.tokens)) break;
    }
    return this.chosen(question, found, select);
  }

  /** Return the solution, given the last frame of each view. */
  chosen(question, found, select) {
    const {rules} = this.about, key = frame => frame.tokens.join();
    const isValid = frame => rules !== null && !broken(rules, question, frame.tokens);
    const alike = frame => found.filter(other => key(other) === key(frame));
    const confidence = frame => mean(alike(frame).map(other => other.halting));
    const last = found[found.length - 1];
    let best = found[0];
    if (select === "verifier" && isValid(last)) best = last;
    else if (select === "verifier")
      best = leading(found, frame => [alike(frame).length, confidence(frame)]);
    else best = leading(found, frame => [frame.halting]);
    const reason = rules ? broken(rules, question, best.tokens) : "";
    const steps = found.reduce((sum, frame) => sum + frame.step, 0);
    return {frame: best, steps, confidence: confidence(best), valid: rules ? !reason : null, reason};
  }
}

/** Return the values of cells at the places they came from. */
function unmapped(values, cells) {
  const back = new Array(values.length);
  cells.forEach((cell, k) => { back[cell] = values[k]; });
  return back;
}

/** Return the first item with the greatest worth, an array of numbers that are compared in turn. */
function leading(items, worth) {
  return items.reduce((best, item) => {
    const [one, other] = [worth(best), worth(item)], i = one.findIndex((value, k) => value !== other[k]);
    return i >= 0 && other[i] > one[i] ? item : best;
  });
}
