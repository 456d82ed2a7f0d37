// The ranking: which columns, sorting, filtering.
const AT_ONCE = () => Math.ceil(innerHeight / 26); // rows that a screen holds
const USUAL = ["rank", "interval", "first", "exposed", "seconds"];

// A column of DATA.columns: `value` to sort by, `show` what is printed.
function beside(about) {
  const ranking = { rank: "rank", interval: "ends", first: "first", conflict: "conflict" }[about.id];
  if (about.ranking) {
    const value = (key) => view()[ranking]?.[key] ?? null;
    const show = (v) => [v].flat().map((part) => (typeof part === "string" ? part : part.toFixed(2))).join("–");
    return { ...about, value: (key) => [value(key)].flat()[0], show: (key) => (value(key) === null ? "–" : show(value(key))) };
  }
  const held = (key) => method(key).columns[about.id];
  return { ...about, value: (key) => held(key)?.value ?? null, show: (key) => held(key)?.text ?? "–" };
}

// Task truth: what an observer finds of each source's finding, on generated pairs of the same kind.
function truthColumns() {
  const study = task().truth[0], found = study?.observers.cho;
  if (!found) return [];
  const about = `area under the ROC curve of a model observer for a known finding, 0.5 is guessing; on generated pairs (${study.id}, ${study.subjects} subjects), not on this board's`;
  return study.modalities.map((name, n) => ({
    id: `truth-${n}`, title: `${name} finding`, about, falling: true, usual: true,
    value: (key) => found[key]?.[n][0] ?? null, show: (key) => (found[key] ? found[key][n][0].toFixed(2) : "–"),
  }));
}

function columns() {
  const there = (c) => c.ranking || Object.values(task().methods).some((found) => found.columns[c.id]);
  const every = DATA.columns.filter((c) => there(c) && (!c.ranking || c.id in { rank: 1, interval: 1, first: 1, conflict: 1 })).map(beside);
  const usual = (c) => USUAL.includes(c.id) || state.columns.has(c.id);
  const last = every.filter((c) => c.id === "seconds");
  const ranking = (cohort().patients.length < ENOUGH ? ["rank"] : ["rank", "interval", "first"]).map((id) => every.find((c) => c.id === id)).filter(Boolean);
  const rest = every.filter((c) => !["rank", "interval", "first"].includes(c.id) && !last.includes(c) && usual(c));
  const ids = state.every ? [...core(), ...profile().metrics.filter((id) => !core().includes(id))] : core();
  const group = cohort();
  const scores = ids.filter((id) => group.metrics[id]).map((id) => ({
    id: `m:${id}`, title: heading(id), about: metric(id).title, metric: id, falling: metric(id).better !== "lower",
    value: (key) => group.metrics[id].mean[positionOf(group, key)],
  }));
  return [...ranking, ...truthColumns(), ...rest, ...scores, ...last];
}

function visible(key) {
  const found = method(key), facts = shared(key, "sheet");
  const text = `${found.title} ${key} ${facts.reference ?? ""}`.toLowerCase();
  const control = found.control;
  return text.includes(state.find.toLowerCase()) && (!state.family || facts.family === state.family) && (state.controls || !control);
}

function sorted(keys, shown) {
  const column = shown.find((c) => c.id === state.sort) ?? shown.find((c) => c.id === "rank");
  const missing = (v) => v === null || v === undefined || v === "";
  const values = new Map(keys.map((key) => [key, column.value(key)]));
  return [...keys].sort((x, y) => {
    const a = values.get(x), b = values.get(y);
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const order = column.text ? a.localeCompare(b) : a - b;
    return state.down ? -order : order;
  });
}

function sortBy(column) {
  if (state.sort === column.id) state.down = !state.down;
  else [state.sort, state.down] = [column.id, Boolean(column.falling)];
  remember();
  drawTable();
  $("board").querySelector(`[data-column="${CSS.escape(column.id)}"] button`)?.focus();
}

function nameCell(key) {
  const found = method(key), failed = Object.keys(found.errors).length, shown = view(), place = shown.place[key];
  const ties = place && shown.order.filter((other) => shown.place[other] === place).length > 1;
  return el("th", { class: "who", scope: "row" },
    el("span", { class: "place" }, place ? `${place}${ties ? "=" : ""}` : ""),
    el("button", { type: "button", "data-method": key, "aria-haspopup": "dialog", title: found.title, onclick: () => openDetails(key) },
      innerWidth < 640 ? label(key, 20) : found.title),
    failed ? el("span", { class: "tag" }, `failed on ${failed}`) : null);
}

function scoreCell(id, key, n, marks) {
  const found = cohort().metrics[id], lost = found.undefined?.[key];
  const tied = view().whole && found.tied?.includes(n) && marks[key] !== "best";
  const title = [tied ? "may be the best as well, by patient" : "", lost ? `undefined on ${lost} pairs` : ""].filter(Boolean).join("; ");
  const note = (tied ? "†" : "") + (lost ? "‡" : "");
  return el("td", { class: marks[key] ?? null, title: title || null }, number(found.mean[n]), note ? el("span", { class: "mark" }, note) : null);
}

function rankCell(column, key) {
  const shown = view(), best = column.id === "rank" && shown.place[key] === 1 && shown.order.length > 1;
  const among = column.id === "rank" && shown.among?.has(key) && !best;
  return el("td", { class: (column.text ? "text" : "") + (best ? " best" : "") },
    column.show(key), among ? el("span", { class: "mark", title: "in the 95 % confidence set of the best, by patient" }, "†") : null);
}

function drawHead(shown) {
  const cell = (column) => el("th", {
    scope: "col", class: column.text ? "text" : null, "data-column": column.id, title: column.about ?? null,
    "aria-sort": state.sort === column.id ? (state.down ? "descending" : "ascending") : null,
  }, el("button", { type: "button", onclick: () => sortBy(column) }, column.title, state.sort === column.id ? (state.down ? "\u00a0▾" : "\u00a0▴") : ""));
  return el("tr", {}, el("th", { class: "who", scope: "col" }, "Method"), ...shown.map(cell));
}

function drawTable() {
  const shown = columns(), now = view(), group = cohort();
  if (!shown.some((c) => c.id === state.sort)) [state.sort, state.down] = ["rank", false]; // a column of another profile
  const marks = Object.fromEntries(shown.filter((c) => c.metric).map((c) => [c.metric, podium(c.metric, now.order)]));
  const line = (kind) => (key) => {
    const n = positionOf(group, key);
    return el("tr", { class: kind, "data-row": key }, nameCell(key),
      ...shown.map((c) => (c.metric ? scoreCell(c.metric, key, n, marks[c.metric]) : rankCell(c, key))));
  };
  const wide = shown.length;
  const divide = (text) => el("tr", { class: "divide" }, el("th", { scope: "rowgroup", class: "who" }, text), el("td", { colspan: wide }));
  const contenders = sorted(now.order.filter(visible), shown), controls = sorted(now.controls.filter(visible), shown);
  const apart = Object.entries(profile().apart).filter(([key]) => visible(key));
  // The lines that a screen holds come first, the others in the next frame.
  const at = Math.min(AT_ONCE(), contenders.length), late = contenders.slice(at);
  const body = contenders.slice(0, at).map(line("contender"));
  if (controls.length) body.push(divide("Controls, which win no place"), ...controls.map(line("control")));
  if (apart.length) body.push(divide("Not ranked"), ...apart.map(([key, why]) => el("tr", { class: "apart", "data-row": key }, nameCell(key), el("td", { class: "text", colspan: wide }, why))));
  $("board").replaceChildren(el("caption", { class: "hidden" }, `Ranking for ${task().title} on ${task().dataset}`),
    el("thead", {}, drawHead(shown)), el("tbody", {}, ...body));
  drawNotes(contenders.length, marks);
  const last = body[at - 1];
  if (late.length) requestAnimationFrame(() => setTimeout(() => { if (now === view() && last.isConnected) last.after(...late.map(line("contender"))); }));
}

// One line says what is shown.
function drawNotes(lines, marks) {
  const now = view(), all = profile().order.length, group = cohort();
  const who = now.whole ? `all ${count(all, "method")}` : `${now.order.length} of ${count(all, "method")}, ranked anew`;
  const which = state.metrics ? `${now.core.length} ticked metrics` : `profile ${profile().name}`;
  const how = now.whole ? "figures as fusionbench computed them" : now.ready ? (now.known ? "intervals and tests made in this page" : "ranks made in this page") : "intervals and tests are being made";
  const found = lines < now.order.length ? `; ${lines} of them listed` : "";
  fill("count", `Shown: ${who}${found}, ${which}, ${count(group.pairs.length, "pair")}; ${how}.`);
  $("count").dataset.ready = now.ready;
  const legend = [`Means over ${count(group.pairs.length, "pair")}; best marked, second underlined.`];
  if (now.among?.size) legend.push("† in the 95 % confidence set of the best, by patient: not shown to be worse than another.");
  if (Object.keys(marks).some((id) => metric(id).describes)) legend.push("* describes the image and is no measure of quality; ranked as the literature does.");
  if (Object.keys(marks).some((id) => group.metrics[id].undefined)) legend.push("‡ undefined on some pairs, left out of the mean and ranked last.");
  if (now.order.some((key) => now.place[key] && now.order.some((o) => o !== key && now.place[o] === now.place[key]))) legend.push("= a shared place.");
  fill("notes", ...legend.map((text) => el("li", {}, text)), ...profile().notes.map((text) => el("li", { class: text.startsWith("the control") ? "strong" : null }, text)));
}
