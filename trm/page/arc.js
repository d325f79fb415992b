// ARC: a question is a task; its test inputs are solved under symmetries of the task, and answers elected by vote.
// As in trm/data/arc (grids, query, votes, consistency). A grid is an array of rows of colours 0 to 9.

const END = 1, FIRST_COLOUR = 2, MOST_SIDE = 30, ATTEMPTS = 2;
const MOST_PAIRS = 100;  // of a list; the largest published one has 10

/** Return a grid under one of the eight symmetries of the square: flipped, then its axes swapped. */
function transformed(grid, [flipsRows, flipsColumns, swaps]) {
  let rows = flipsRows ? [...grid].reverse() : grid;
  rows = flipsColumns ? rows.map(row => [...row].reverse()) : rows;
  return swaps && rows.length ? rows[0].map((_, c) => rows.map(row => row[c])) : rows;
}

/** Return the tokens of a grid at the top left of a canvas: an end mark below it and beside it. */
function encode(grid, side) {
  const tokens = new Array(side * side).fill(0), height = grid.length, width = grid[0].length;
  for (let r = 0; r <= Math.min(height, side - 1); r++)
    for (let c = 0; c <= Math.min(width, side - 1); c++)
      if (r < height && c < width) tokens[r * side + c] = grid[r][c] + FIRST_COLOUR;
      else if (r < height || c < width) tokens[r * side + c] = END;
  return tokens;
}

/** Return height and width of the largest rectangle of colours at the top left, the one with the fewest rows. */
function extent(tokens, side) {
  let [height, width, least] = [0, 0, side];
  for (let r = 0; r < side; r++) {
    const row = tokens.slice(r * side, (r + 1) * side), end = row.findIndex(token => token < FIRST_COLOUR);
    least = Math.min(least, end < 0 ? side : end);
    if (least * (r + 1) > height * width) [height, width] = [r + 1, least];
  }
  return [height, width];
}

const cut = (values, side, [height, width]) =>
  Array.from({length: height}, (_, r) => values.slice(r * side, r * side + width));

/** Return why an answer does not fit the train pairs: its shape, and its colours; "" if it does. */
function inconsistency(task, question, answer) {
  if (!answer.length) return "the answer is not a grid";
  const shapes = task.train.map(([input, output]) => [shapeOf(input), shapeOf(output)]);
  for (const rule of [sameShape, constantShape, scaledShape]) {
    const why = rule(shapes, shapeOf(question), shapeOf(answer));
    if (why) return why;
    if (why === "") break;
  }
  const known = new Set([question, ...task.train.map(([, output]) => output)].flat(2));
  const strange = answer.flat().filter(colour => !known.has(colour));
  return strange.length ? `colour ${Math.min(...strange)} is in no train output and not in the test input` : "";
}

// Each rule returns why the answer breaks it, "" if it follows it, and null if the train pairs do not follow it.

const shapeOf = grid => [grid.length, grid[0].length], named = shape => shape.join("x");
const equal = (one, other) => named(one) === named(other);
const crossed = (one, other) => [0, 1].some(axis => one[0][axis] * other[1][axis] !== one[1][axis] * other[0][axis]);

function sameShape(pairs, question, answer) {
  if (pairs.some(([input, output]) => !equal(input, output))) return null;
  if (equal(answer, question)) return "";
  return `the answer is ${named(answer)}, but train outputs are as large as their inputs, here ${named(question)}`;
}

function constantShape(pairs, question, answer) {
  const [[, only]] = pairs;
  if (pairs.length < 2 || pairs.some(([, output]) => !equal(output, only))) return null;
  return equal(answer, only) ? "" : `the answer is ${named(answer)}, but all train outputs are ${named(only)}`;
}

function scaledShape(pairs, question, answer) {
  const [[input, output]] = pairs;
  const whole = [0, 1].every(axis => input[axis] % output[axis] === 0 || output[axis] % input[axis] === 0);
  if (pairs.length < 2 || !whole || pairs.some(pair => crossed(pair, pairs[0]))) return null;
  if (!crossed([question, answer], pairs[0])) return "";
  const factor = axis => output[axis] >= input[axis] ? output[axis] / input[axis] : `1/${input[axis] / output[axis]}`;
  return `the answer is ${named(answer)}, but train outputs are ${factor(0)} by ${factor(1)} times their inputs, ` +
    `here ${named(question)}`;
}

// -- tasks of people --------------------------------------------------------------------------------------------------

/** Return a task {name, train: [[input, output]], test: [[input, output or null]]} of JSON; raises an InputError. */
function readTask(text, name, side) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InputError(`${name} is not JSON: ${error.message}`);
  }
  const task = {name, train: [], test: []};
  for (const part of ["train", "test"]) {
    if (!Array.isArray(value?.[part])) throw new InputError(`${name} is no task: an object with the lists "train" and "test" is needed`);
    if (!value[part].length) throw new InputError(`${name} has no ${part} pair, but at least one is needed`);
    if (value[part].length > MOST_PAIRS)
      throw new InputError(`${name} has ${value[part].length.toLocaleString("en")} ${part} pairs, but at most ${MOST_PAIRS} are accepted`);
    task[part] = value[part].map((pair, i) => readPair(pair, part, `${name}, ${part} pair ${i + 1}`));
  }
  const most = Math.max(...[...task.train, ...task.test].flat().filter(Boolean).flatMap(shapeOf));
  if (most > side) throw new InputError(`${name} has a grid of ${most} rows or columns, but the model's canvas has ${side}`);
  return task;
}

function readPair(pair, part, where) {
  const hidden = part === "test" && (pair?.output ?? null) === null;
  return [readGrid(pair?.input, `the input of ${where}`), hidden ? null : readGrid(pair?.output, `the output of ${where}`)];
}

function readGrid(rows, what) {
  if (!Array.isArray(rows) || !rows.length || !rows.every(row => Array.isArray(row) && row.length))
    throw new InputError(`${what} is no grid: a list of rows is needed, each a list of colours`);
  if (rows.some(row => row.length !== rows[0].length)) throw new InputError(`${what} has rows of different lengths`);
  if (Math.max(rows.length, rows[0].length) > MOST_SIDE)
    throw new InputError(`${what} is ${named(shapeOf(rows))}, but grids have at most ${MOST_SIDE} rows and columns`);
  if (rows.flat().some(colour => !(Number.isInteger(colour) && colour >= 0 && colour <= 9)))
    throw new InputError(`${what} has a colour that is not one of the numbers 0 to 9`);
  return rows;
}

/** Solves tasks. */
class TaskSolver {
  /**
   * @param model the model
   * @param arc tables of the tasks in training and of symmetries; see trm/page/content.py
   * @param vectors puzzle vectors of all augmentations of these tasks, one after the other; null without embedding
   */
  constructor(model, arc, vectors) {
    Object.assign(this, {model, arc, vectors, about: model.about});
    this.most = Math.max(arc.blank.transforms.length, ...arc.tasks.map(task => task.transforms.length));
  }

  /** Return the symmetries of a task, the first the task itself, and whether the model was trained on it. */
  augmentations(task) {
    const pairs = new Set(), key = pair => JSON.stringify(pair);
    for (const pair of task.train) pairs.add(key(pair));
    const isIn = known => [...pairs].every(pair => known.some(other => key(other) === pair));
    const known = this.arc.tasks.find(other => other.name === task.name) ?? this.arc.tasks.find(other => isIn(other.train));
    return {known: known !== undefined, ...(known ?? this.arc.blank)};
  }

  /**
   * Yield a frame for each supervision step of each view of a test input, and return the attempts and the votes.
   * @param number index of the test input
   * @param options {depth, views, halt, threshold}
   */
  async* solve(task, number, {depth, views, halt, threshold}) {
    const {side, transforms, inverses} = this.arc, [question] = task.test[number];
    const chosen = this.augmentations(task), ballots = [];
    for (let view = 0; view < Math.min(views, chosen.transforms.length); view++) {
      const transform = chosen.transforms[view], colours = chosen.colours[view];
      const shown = transformed(question.map(row => row.map(colour => colours[colour])), transforms[transform]);
      const back = grid => transformed(grid, transforms[inverses[transform]]);
      let last = null;
      for await (const thought of this.model.think(encode(shown, side), this.vector(chosen, view), {depth, threshold, halts: haltingRule(halt)})) {
        const box = extent(thought.tokens, side);
        const grid = back(cut(thought.tokens, side, box)).map(row => row.map(token => colours.indexOf(token - FIRST_COLOUR)));
        last = {...thought, view, grid, opacity: back(cut(thought.sure, side, box))};
        yield last;
      }
      ballots.push(last);
    }
    return {known: chosen.known, views: ballots.length, attempts: elected(ballots), steps: ballots.reduce((sum, frame) => sum + frame.step, 0)};
  }

  vector(chosen, view) {
    const width = this.about.puzzle_vector?.shape[0];
    if (!width) return null;
    if (!chosen.known) return floats(decode(this.about.puzzle_vector.float32));
    return this.vectors.subarray((chosen.first + view) * width, (chosen.first + view + 1) * width);
  }
}

/** Return the two most frequent answers, then the more confident, {grid, votes, confidence}. */
function elected(ballots) {
  const boxes = new Map();
  for (const {grid, halting} of ballots) {
    const key = JSON.stringify(grid), box = boxes.get(key) ?? {grid, halts: []};
    box.halts.push(halting);
    boxes.set(key, box);
  }
  const answers = [...boxes.values()].map(({grid, halts}) => ({grid, votes: halts.length, confidence: mean(halts)}));
  return answers.sort((one, other) => other.votes - one.votes || other.confidence - one.confidence).slice(0, ATTEMPTS);
}
