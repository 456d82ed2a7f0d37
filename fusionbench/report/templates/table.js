// The ranking: columns, sorting, filtering, and what changed with the profile.
const BESIDE = DATA.columns.map((about) => ({
  ...about,
  value: (key) => (about.ranking ? [profile().rows[key][about.id] ?? null].flat()[0] : method(key).columns[about.id]?.value ?? null),
  show: (value, key) => (value === null ? "–" : about.ranking ? [profile().rows[key][about.id]].flat().map((v) => (typeof v === "string" ? v : v.toFixed(2))).join("–") : method(key).columns[about.id].text),
  when: () => about.ranking || Object.values(task().methods).some((found) => found.columns[about.id]),
}));
// How far a method moved against the first profile: known to the page alone, which shows one profile after another.
BESIDE.splice(BESIDE.findIndex((column) => column.id === "interval") + 1, 0, { id: "change", title: "Moved", falling: true, value: (key) => moved(key), show: showMoved, when: () => state.profile > 0 });
BESIDE.filter((column) => column.extra || (column.wide && window.innerWidth < 640)).forEach((column) => state.hidden.add(column.id));

function columns() {
  const fixed = BESIDE.filter((column) => column.when());
  const scores = profile().metrics.map((id, n) => ({
    id: `m:${id}`,
    title: heading(id),
    about: metric(id).title,
    metric: id,
    falling: metric(id).better !== "lower",
    value: (key) => score(key, n).mean,
    cell: (key) => score(key, n),
  }));
  return [...fixed, ...scores];
}

function place(which, key) {
  if (!which.order.includes(key)) return null;
  return 1 + which.order.filter((other) => which.rows[other].rank < which.rows[key].rank).length; // those that tie share it
}

function moved(key) {
  const before = place(task().profiles[0], key), now = place(profile(), key);
  return before === null || now === null ? null : before - now;
}

function showMoved(value) {
  if (value === null) return "–";
  if (value === 0) return "=";
  return el("span", { class: value > 0 ? "up" : "down" }, `${value > 0 ? "▲" : "▼"} ${Math.abs(value)}`);
}

function visible(key) {
  const found = method(key);
  const text = `${found.title} ${key} ${found.facts.reference ?? ""}`.toLowerCase();
  return text.includes(state.find.toLowerCase()) && (!state.family || found.facts.family === state.family) && (state.controls || !found.control);
}

function sorted(keys) {
  const column = columns().find((c) => c.id === state.sort) ?? columns().find((c) => c.id === "rank");
  const place = new Map(ranked().map((key, n) => [key, n]));
  const missing = (v) => v === null || v === undefined || v === "";
  return [...keys].sort((x, y) => {
    const a = column.value(x), b = column.value(y);
    if (missing(a) || missing(b)) return missing(a) - missing(b) || place.get(x) - place.get(y);
    const order = column.text ? a.localeCompare(b) : a - b;
    return (state.down ? -order : order) || place.get(x) - place.get(y);
  });
}

function sortBy(column) {
  if (state.sort === column.id) state.down = !state.down;
  else [state.sort, state.down] = [column.id, Boolean(column.falling)];
  drawTable();
  $("board").querySelector(`[data-column="${CSS.escape(column.id)}"] button`)?.focus();
}

function nameCell(key) {
  const number = place(profile(), key);
  const found = method(key);
  const failed = Object.keys(found.errors).length;
  return el("th", { class: "who", scope: "row" }, el("div", {},
    el("span", { class: "place-number" }, number === null ? "" : number),
    el("span", {},
      el("button", { type: "button", "data-method": key, "aria-haspopup": "dialog", title: found.title, onclick: () => openDetails(key) }, window.innerWidth < 640 ? label(key, 16) : found.title),
      found.foreign ? el("span", { class: "tag", title: "Images made elsewhere, scored here" }, found.origin) : null,
      failed ? el("span", { class: "tag" }, `failed on ${failed}`) : null)));
}

function scoreCell(cell) {
  const tied = cell.tied && !cell.best;
  const marks = (tied ? "†" : "") + (cell.undefined ? "‡" : "");
  const title = `rank ${cell.rank ?? "–"}` + (tied ? "; may be the best as well" : "") + (cell.undefined ? `; undefined on ${cell.undefined} pairs` : "");
  return el("td", { class: cell.best ? "best" : cell.second ? "second" : "", title }, number(cell.mean), state.spread && cell.std !== null ? el("span", { class: "std" }, ` ± ${number(cell.std)}`) : null, el("span", { class: "mark" }, marks));
}

function drawTable() {
  const shown = columns().filter((column) => !state.hidden.has(column.id));
  const head = el("tr", {},
    el("th", { class: "who", scope: "col" }, "Method"),
    ...shown.map((column) => el("th", {
      scope: "col", class: column.text ? "text" : "", "data-column": column.id, title: column.about ?? null,
      "aria-sort": state.sort === column.id ? (state.down ? "descending" : "ascending") : null,
    }, el("button", { type: "button", onclick: () => sortBy(column) }, column.title, state.sort === column.id ? (state.down ? " ▾" : " ▴") : ""))));
  const line = (kind) => (key) => el("tr", { class: kind, "data-row": key }, nameCell(key), ...shown.map((column) => {
    if (column.metric) return scoreCell(column.cell(key));
    const value = column.value(key);
    const best = column.id === "rank" && kind === "contender" && profile().order.length > 1 && value === Math.min(...profile().order.map((k) => profile().rows[k].rank));
    const mark = column.id === "rank" && profile().rows[key].tied && !best ? el("span", { class: "mark", title: "in the 95 % confidence set of the best, by patient" }, "†") : null;
    return el("td", { class: (column.text ? "text" : "") + (best ? " best" : "") }, column.show(value, key), mark);
  }));
  const wide = shown.length + 1;
  const divide = (text) => el("tr", { class: "divide" }, el("td", { colspan: wide }, text));
  const contenders = sorted(profile().order.filter(visible)), controls = sorted(profile().controls.filter(visible));
  const apart = Object.entries(profile().apart).filter(([key]) => visible(key));
  const body = contenders.map(line("contender"));
  if (controls.length) body.push(divide("Controls: trivial fusers, with the rank they would have; they never win a place"), ...controls.map(line("control")));
  if (apart.length) body.push(divide("Not ranked"), ...apart.map(([key, why]) => el("tr", { class: "apart" }, nameCell(key), el("td", { class: "left", colspan: wide - 1 }, why))));
  $("board").replaceChildren(el("caption", { class: "muted" }), el("thead", {}, head), el("tbody", {}, ...body));
  $("board").caption.hidden = true;
  const all = profile().order.length;
  fill("count", contenders.length === all ? `${all} methods, ${profile().controls.length} controls, ${profile().pairs.length} pairs.` : `${contenders.length} of ${all} methods shown; ranks stay those among all ${all}.`);
}

function drawToolbar() {
  options("profile", task().profiles.map((p, n) => [n, p.name]), state.profile);
  const families = [...new Set(Object.values(task().methods).map((m) => m.facts.family).filter(Boolean))].sort();
  if (!families.includes(state.family)) state.family = "";
  options("family", [["", "all"], ...families.map((name) => [name, name])], state.family);
  fill("column-list", ...columns().map((column) => el("label", { class: "tick" }, el("input", {
    type: "checkbox", checked: !state.hidden.has(column.id),
    onchange: (event) => { event.target.checked ? state.hidden.delete(column.id) : state.hidden.add(column.id); drawTable(); },
  }), column.about ? `${column.title} ${column.about}` : column.title)));
  const now = profile();
  let note = `Profile ${now.name}: ${now.title}. Mean rank over ${now.core.map((id) => metric(id).short).join(", ")}.`;
  if (state.profile > 0) {
    const first = task().profiles[0];
    const changes = now.order.map((key) => [key, moved(key)]).filter(([, by]) => by);
    const most = changes.sort((x, y) => Math.abs(y[1]) - Math.abs(x[1]))[0];
    note += ` Against ${first.name}, ${changes.length} of ${now.order.length} methods change place` + (most ? `; most: ${method(most[0]).title}, ${place(first, most[0])} → ${place(now, most[0])}.` : ".");
  }
  fill("profile-note", note);
  const all = Object.values(now.rows), shows = (what) => all.some((row) => row.scores[what].length);
  const legend = [`Mean over ${now.pairs.length} pair${now.pairs.length === 1 ? "" : "s"}.` + (shows("best") ? ` Best marked${shows("second") ? ", second underlined" : ""}.` : "")];
  if (all.some((row) => row.scores.tied.some((id) => !row.scores.best.includes(id)))) legend.push("† in the 95 % confidence set of the best, by patient: not shown to be worse than another.");
  if (now.metrics.some((id) => metric(id).describes)) legend.push("* describes the image and is no measure of quality; ranked as the literature does.");
  if (all.some((row) => Object.keys(row.scores.undefined).length)) legend.push("‡ undefined on some pairs, left out of the mean and ranked last.");
  fill("notes", ...legend.map((text) => el("li", {}, text)), ...now.notes.map((text) => el("li", { class: text.startsWith("the control") ? "strong" : "" }, text)));
}

function drawAnswer() {
  const now = profile();
  const podium = now.order.slice(0, 3).map((key, n) => el("li", {}, el("span", { class: "place" }, ["First by mean rank", "Second", "Third"][now.order.findIndex((other) => now.rows[other].rank === now.rows[key].rank)]),
    el("span", { class: "who" }, method(key).title), el("span", { class: "value" }, `mean rank ${now.rows[key].rank.toFixed(2)}` + (now.rows[key].first >= 0.05 ? `, first in ${Math.round(100 * now.rows[key].first)} % of resamples` : ""))));
  const first = now.controls[0], ahead = first && now.order.length && now.rows[first].rank <= now.rows[now.order[0]].rank;
  const warning = ahead ? [el("p", { class: "warning" }, `A trivial control (${method(first).title}) would rank ${now.rows[first].rank.toFixed(2)}, ahead of every method here: these metrics do not measure what a reader would call a good fusion.`)] : [];
  fill("answer", el("p", { class: "verdict" }, el("strong", {}, now.verdict[0]), ` ${now.verdict.slice(1).join(" ")}`), el("ol", { class: "podium" }, ...podium), ...warning,
    now.summary.length ? el("details", { class: "basis" }, el("summary", {}, "What this rests on"), el("ul", { class: "said" }, ...now.summary.map((text) => el("li", {}, text)))) : "");
}

function saveCsv() {
  const quote = (value) => { const text = value === null || value === undefined ? "" : String(value); return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };
  const rows = [["method", "title", "mean_rank", ...profile().metrics]];
  for (const key of ranked()) rows.push([key, method(key).title, profile().rows[key].rank, ...profile().rows[key].scores.mean]);
  const blob = new Blob([rows.map((row) => row.map(quote).join(",")).join("\n") + "\n"], { type: "text/csv" });
  const link = el("a", { href: URL.createObjectURL(blob), download: `${task().id.replace("/", "-")}-${profile().name}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
