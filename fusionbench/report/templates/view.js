// What is shown: the board as Python ranked it, or the ticked methods ranked anew by the ticked metrics.
const PRESETS = {
  published: ["Published only", "images that others released, and networks with their authors' weights"],
  ours: ["Trained here", "networks that fusionbench trained itself"],
  classical: ["Classical", "methods that learnt nothing"],
  unexposed: ["Unexposed", "methods known to have seen no patient of this board in training"],
};
const core = () => state.metrics ?? profile().core;
const chosen = (key) => (state.preset ? method(key)[state.preset] : !state.methods || state.methods.has(key));
const whole = () => !state.metrics && profile().order.every(chosen); // nothing is filtered

let held = null; // the view of the present state; intervals and tests are added when they are known

// order: contenders, best first; rank, place, ends, first: by key; among: the confidence set of the best, or null.
function view() {
  const wanted = JSON.stringify([state.task, state.profile, state.preset, state.methods && [...state.methods], state.metrics]);
  if (held?.wanted !== wanted) held = { wanted, ...(whole() ? boardView() : choiceView()) };
  return held;
}

function boardView() {
  const now = profile(), keys = [...now.order, ...now.controls], by = (name) => {
    const values = now.columns[name] ?? [];
    return Object.fromEntries(keys.map((key, n) => [key, values[n] ?? null]));
  };
  const rank = by("rank");
  return {
    whole: true, order: now.order, controls: now.controls, rank, place: placesOf(now.order, rank), ends: by("interval"),
    first: by("first"), among: now.undecidable ? null : new Set(now.among), undecidable: now.undecidable,
    conflict: by("conflict"), answer: now.verdict.answer, ready: true, core: now.core, places: now.places,
  };
}

function placesOf(order, rank) {
  const same = (key) => Math.round(1e4 * rank[key]);
  return Object.fromEntries(order.map((key) => [key, 1 + order.filter((other) => same(other) < same(key)).length]));
}

function choiceView() {
  const group = cohort(), ids = core();
  const order = profile().order.filter(chosen), controls = profile().controls;
  const own = order.map((key) => positionOf(group, key));
  const [ranks, beside] = meanRanks(group, ids, own, controls.map((key) => positionOf(group, key)));
  const rank = Object.fromEntries([...order.map((key, n) => [key, ranks[n]]), ...controls.map((key, n) => [key, beside[n]])]);
  const sorted = [...order].sort((x, y) => rank[x] - rank[y] || (method(x).title < method(y).title ? -1 : 1));
  const known = rerankable(group, ids), least = smallestP(group.patients.length);
  return {
    whole: false, order: sorted, rank, place: placesOf(sorted, rank), ends: {}, first: {}, among: null, core: ids,
    controls: [...controls].sort((x, y) => rank[x] - rank[y]), conflict: boardView().conflict, ready: !known, known,
    undecidable: least > ALPHA ? `${count(group.patients.length, "patient")} cannot decide it (smallest possible p = ${+least.toPrecision(3)})` : "",
  };
}

// Intervals, P(first) and the confidence set of a choice: a tenth of a second or so, hence after the ranks are shown.
function finish(shown) {
  const group = cohort(), own = shown.order.map((key) => positionOf(group, key));
  if (own.length > 1 && group.patients.length >= ENOUGH) {
    const { ends, places } = bootstrap(group, shown.core, own);
    shown.order.forEach((key, n) => { shown.ends[key] = ends[n]; shown.first[key] = places[n][1]; });
    shown.places = places.map((row) => [...row.entries()].filter(([n, share]) => n && share >= 5e-4));
  }
  if (own.length && !shown.undecidable) {
    const p = confidenceSet(choiceBlocks(shown), shown.order);
    shown.among = new Set(shown.order.filter((_, n) => p[n] > ALPHA));
  }
  shown.ready = true;
}

// The file that they are made of is not there.
function unknown(shown) {
  Object.assign(shown, { known: false, ready: true });
}

function choiceBlocks(shown) {
  const group = cohort();
  shown.blocks ??= patientBlocks(group, shown.core, shown.order.map((key) => positionOf(group, key)));
  return shown.blocks;
}

// The answer in two sentences: Python's own, or the same words about a choice.
function answer(shown) {
  if (shown.whole) return shown.answer;
  const group = cohort(), { order } = shown;
  const where = `For ${task().title} on ${task().dataset}`;
  if (!order.length) return [`${where}, none of the ticked methods is ranked.`];
  const first = order.filter((key) => shown.place[key] === 1), names = and(first.map((key) => method(key).title));
  const sample = `on ${count(group.pairs.length, "pair")}${group.known ? ` of ${count(group.patients.length, "patient")}` : ""}`;
  if (order.length === 1) return [`${where}, ${names} is the only method ticked, ${sample}: a verdict needs two.`];
  const ends = shown.ends[first[0]], rank = shown.rank[first[0]].toFixed(2);
  const interval = ends ? ` (95 % interval by patient ${ends[0].toFixed(2)} to ${ends[1].toFixed(2)})` : "";
  const by = state.metrics ? `${count(shown.core.length, "ticked metric")}` : `profile ${profile().name}`;
  const said = `${where}, ${names} ${first.length > 1 ? "share the first place" : "is first"} by mean rank, ${rank}${interval} `
    + `among ${count(order.length, "ticked method")} under ${by}, ${sample}.`;
  return [said, separated(shown, first)];
}

function separated(shown, first) {
  if (shown.undecidable) return `Whether that is more than chance: ${shown.undecidable}.`;
  if (!shown.known && task().lost) return `Tests of a choice need the file ${task().patients} beside this page, and it could not be read.`;
  if (!shown.known) return "Tests of a choice are not in this page for this task; `fusionbench report --method` makes them.";
  if (!shown.among) return "Tests are being made …";
  const others = shown.order.filter((key) => shown.among.has(key) && !first.includes(key)).map((key) => method(key).title);
  const it = first.length > 1 ? "them" : "it", inside = first.every((key) => shown.among.has(key));
  if (!others.length) return `Patients show ${it} to be better than every other method: the 95 % confidence set of the best holds no other.`;
  if (inside && others.length + first.length === shown.order.length) return "No method is separable from it by patient, so the order may be chance.";
  const beside = inside ? ` besides ${it}` : ", the first by mean rank not among them";
  return `The 95 % confidence set of the best, by patient, holds${beside}: ${listed(others)}.`;
}

// Best and second of a metric among the contenders shown: key -> "best" or "second"; those that tie share it.
function podium(id, order) {
  const group = cohort(), found = {}, better = metric(id).better === "lower" ? 1 : -1;
  if (order.length < 2) return found;
  const values = new Map(order.map((key) => [key, meanOf(group, id, positionOf(group, key))]).filter(([, v]) => v !== null));
  const levels = [...new Set(values.values())].sort((x, y) => better * (x - y));
  const best = [...values].filter(([, v]) => v === levels[0]);
  for (const [key] of best) found[key] = "best";
  if (best.length === 1) for (const [key, v] of values) if (v === levels[1]) found[key] = "second";
  return found;
}
