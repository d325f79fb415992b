// Starts the page, and solves when asked.

const PAGE = JSON.parse($("data").textContent);
const stored = PAGE.about.inference;  // what trm tune chose for the model, or null
let busy = false;

/** Say something below the board. */
function say(text, bad) {
  $("verdict").textContent = text;
  $("verdict").classList.toggle("bad", Boolean(bad));
}

/** Do something that can fail for what a person gave, and say why. */
async function attempt(action) {
  if (busy) return;
  try {
    await action();
  } catch (error) {
    say(error.message, true);
    if (!(error instanceof InputError)) console.error(error);
  }
}

/** Forget the solution of what was in the board before. */
function edited() {
  player.clear();
  delete $("verdict").dataset.answer;
  say("");
}

function setBusy(value) {
  busy = value;
  for (const id of ["solve", "example", "clear", "use", "tasks", "file", "play", "step"]) $(id).disabled = value;
}

/** Return the number in a field; raises an InputError. */
function whole(id) {
  const field = $(id), value = Number(field.value);
  if (Number.isInteger(value) && value >= 1 && value <= field.max) return value;
  throw new InputError(`${field.dataset.name} is ${field.value || "empty"}; accepted are 1 to ${field.max}`);
}

async function solve() {
  const options = {depth: whole("depth"), views: whole("views"), halt: $("halt").value, select: $("select").value,
    threshold: (stored?.halt === "head" ? stored : PAGE.about).halt_threshold};
  setBusy(true);
  try {
    player.clear();
    say("Solving …");
    const {text, good, answer} = await family.solve(options, player);
    $("verdict").dataset.answer = answer;
    say(text, !good);
    $("exit").textContent = `${exitOf(player.frames, options.depth)}; ${family.solver.model.milliseconds.toFixed(1)} ms for a step in this browser.`;
  } finally {
    setBusy(false);
  }
}

/** Return in words where the views of a solution halted. */
function exitOf(frames, depth) {
  const ends = frames.filter((frame, i) => frame.part !== frames[i + 1]?.part), early = ends.filter(frame => frame.done);
  if (ends.length > 1) return `Early exit of ${early.length} of ${ends.length} views`;
  return early.length ? `Early exit after step ${early[0].step} of at most ${depth}` : `No early exit within ${depth} steps`;
}

function prepareOptions({views, rules, startViews}) {
  $("depth").value = PAGE.about.supervision_steps;
  $("views").max = views;
  $("views").value = Math.min(stored?.views ?? startViews, views);
  $("views").disabled = views === 1;
  $("views-label").textContent += `, up to ${views}`;
  for (const option of document.querySelectorAll("option.rules")) if (!rules) option.remove();
  $("halt").value = stored?.halt ?? "head";
  $("select-label").hidden = $("select").hidden = !rules;
}

$("title").textContent = document.title = PAGE.title;
$("about").textContent = PAGE.subtitle;
const family = PAGE.arc ? new TaskPage(PAGE) : new BoardPage(PAGE);
const player = new Player((frame, before) => family.show(frame, before));
prepareOptions(family.options);
$("solve").onclick = () => attempt(solve);
$("example").onclick = () => attempt(() => family.example());
$("clear").onclick = () => attempt(() => family.clear());
setBusy(true);
say("Loading the model …");
try {
  const model = await openModel(PAGE.about);
  const vectors = PAGE.arc?.vectors ? floats(await fileBytes("vectors")) : null;
  setBusy(false);
  say("");
  family.open(model, vectors);
  $("solve").focus({preventScroll: true});
} catch (error) {
  say(`the model cannot be loaded: ${error.message}`, true);
  throw error;
}
