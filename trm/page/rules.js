// The rules of the built-in families from data, as trm/edge/rules.py checks them, and in its words.

const rowAndColumn = (rules, k) => `row ${Math.floor(k / rules.grid[1]) + 1}, column ${k % rules.grid[1] + 1}`;

/** Return why a question cannot be solved, as far as a look at it shows; "" if nothing is wrong with it. */
function fault(rules, question) {
  if (!rules) return "";
  if (rules.kind === "units") return repeated(rules, question);
  for (const what of ["start", "goal"]) {
    const count = question.filter(token => token === rules[what]).length;
    if (count !== 1) return `it has ${count || "no"} ${what}${count > 1 ? "s" : ""}, but exactly one is needed`;
  }
  return fewest(rules, question) > 0 ? "" : "no path leads from S to G";
}

/** Return the rule that an answer breaks, in words; "" if it is valid. */
function broken(rules, question, answer) {
  return rules.kind === "units" ? brokenUnits(rules, question, answer) : brokenPath(rules, question, answer);
}

/** Return which cells the question fixes. */
function givens(rules, question) {
  if (!rules) return question.map(() => false);
  return question.map(token => rules.kind === "units" ? token >= rules.first : token !== rules.free);
}

/** Return which cells of an answer break a rule, to mark them; of a path only those that are not as in the question. */
function brokenCells(rules, question, answer) {
  if (!rules) return answer.map(() => false);
  if (rules.kind === "path") return answer.map((token, k) => token !== question[k] && !isMarked(rules, question[k], token));
  const marked = answer.map((token, k) => token < rules.first || (question[k] >= rules.first && question[k] !== token));
  for (const unit of Object.values(rules.units))
    for (const k of unit)
      if (answer[k] >= rules.first && unit.some(other => other !== k && answer[other] === answer[k])) marked[k] = true;
  return marked;
}

// -- Sudoku -----------------------------------------------------------------------------------------------------------

function brokenUnits(rules, question, answer) {
  const blank = answer.findIndex(token => token < rules.first);
  if (blank >= 0) return `${rowAndColumn(rules, blank)} is blank`;
  const changed = answer.findIndex((token, k) => question[k] >= rules.first && question[k] !== token);
  if (changed >= 0) return `${rowAndColumn(rules, changed)} is not the given digit`;
  return repeated(rules, answer);
}

function repeated(rules, tokens) {
  for (const [name, unit] of Object.entries(rules.units)) {
    const digits = unit.map(k => tokens[k]).filter(token => token >= rules.first).sort((a, b) => a - b);
    const twice = digits.find((token, i) => token === digits[i + 1]);
    if (twice !== undefined) return `${name} has ${rules.write[twice]} more than once`;
  }
  return "";
}

// -- mazes ------------------------------------------------------------------------------------------------------------

const isMarked = (rules, before, token) => before === rules.free && token === rules.path;

function brokenPath(rules, question, answer) {
  const places = answer.map((_, k) => k), ends = [rules.start, rules.goal];
  const changed = places.find(k => (answer[k] === rules.path ? rules.free : answer[k]) !== question[k]);
  if (changed !== undefined) return `${rowAndColumn(rules, changed)} is not as in the question`;
  const marked = answer.map(token => token === rules.path || ends.includes(token));
  const beside = k => neighbours(rules, k).filter(other => marked[other]).length;
  const loose = places.find(k => marked[k] && beside(k) !== (ends.includes(question[k]) ? 1 : 2));
  if (loose !== undefined) return `not a path: the marks end, branch or touch at ${rowAndColumn(rules, loose)}`;
  const far = distances(rules, marked, question.indexOf(rules.goal));
  const apart = places.find(k => marked[k] && far[k] < 0);
  if (apart !== undefined) return `not a path: ${rowAndColumn(rules, apart)} is marked, but apart from S and G`;
  const moves = marked.filter(Boolean).length - 1, least = fewest(rules, question);
  return moves === least ? "" : `longer than the shortest path, ${moves} instead of ${least} moves`;
}

/** Return the number of moves from start to goal, -1 if there is no path. */
function fewest(rules, question) {
  const free = question.map(token => token !== rules.wall);
  return distances(rules, free, question.indexOf(rules.goal))[question.indexOf(rules.start)] ?? -1;
}

/** Return the number of moves from each cell to the goal, -1 if it cannot be reached. */
function distances(rules, free, goal) {
  const found = free.map(() => -1), queue = [goal];
  found[goal] = 0;
  for (const k of queue)  // it grows meanwhile
    for (const other of neighbours(rules, k))
      if (free[other] && found[other] < 0) {
        found[other] = found[k] + 1;
        queue.push(other);
      }
  return found;
}

function neighbours(rules, k) {
  const [rows, columns] = rules.grid, r = Math.floor(k / columns), c = k % columns;
  return [[r - 1, c], [r + 1, c], [r, c - 1], [r, c + 1]]
    .filter(([y, x]) => y >= 0 && y < rows && x >= 0 && x < columns).map(([y, x]) => y * columns + x);
}
