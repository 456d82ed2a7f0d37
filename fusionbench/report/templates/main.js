// Wiring: tabs, theme, what stands below the table, and the first drawing.
function drawReading() {
  const now = profile(), facts = task().facts, pairs = cohort().pairs.length;
  const lines = [
    "Each metric ranks the methods by their mean over the pairs (1 = best, ties averaged); the mean rank averages those ranks over the core metrics of the profile.",
    "A profile is a named set of conventions: one name of a metric stands for many different numbers in the literature, and the choice changes the ranking.",
    "Controls are trivial fusers (the mean, the maximum, a source by itself). Where one of them is ahead, the metric does not measure what a reader would call a good fusion.",
    "The unit is the patient: slices of one patient are repeated measurements. Tests flip the signs of whole patients, intervals draw whole patients anew.",
    "Ticked methods are ranked among themselves on the same pairs; with everything ticked, the figures are those that fusionbench computed.",
    pairs < now.total ? `Compared on the ${pairs} of ${now.total} pairs that all ranked methods share.` : `All ${now.total} pairs are common to all ranked methods.`,
    "Metrics compare a fused image with its sources. None of them shows that a diagnosis becomes easier; task truth, where it is told, is closer to that.",
  ];
  if (facts.reference) lines.push(`Data: ${facts.title ?? ""} – ${facts.reference}${facts.licence ? ` (${facts.licence})` : ""}`);
  fill("reading", ...lines.map((text) => el("li", {}, text)));
  if (!$("facts").open) return $("metric-facts").replaceChildren();
  const rows = now.metrics.map((id) => {
    const m = metric(id), direction = m.describes ? `describes; customarily ${m.better}` : `${m.better} is better`;
    return el("tr", {}, el("th", { class: "text", scope: "row" }, m.short), ...[m.title, id, direction, m.convention ?? m.formula ?? "", m.reference ?? ""].map((text) => el("td", { class: "text wrap" }, text)));
  });
  $("metric-facts").replaceChildren(el("thead", {}, el("tr", {}, ...["", "Metric", "Id", "Direction", "Convention", "Reference"].map((t) => el("th", { class: "text", scope: "col" }, t)))), el("tbody", {}, ...rows));
}

// Every task of the data set together, and conventions of one name: made when they are opened.
function drawOverall() {
  const found = DATA.overall.find((o) => o.dataset === task().dataset && o.profile === profile().name);
  $("overall").hidden = !found;
  if (!found || !$("overall").open) return fill("overall-body");
  const at = Object.fromEntries(found.heads.map((name, n) => [name, n])), of = (row, name) => row[at[name]];
  const title = (key) => DATA.tasks.find((t) => t.dataset === found.dataset && t.methods[key])?.methods[key].title ?? key;
  const text = (v) => (v === null ? "–" : v.toFixed(2)), heads = ["Place", "Method", "Mean rank", "95 % interval", "P(first)", "Win rate", ...found.titles];
  const line = (row) => el("tr", {}, el("td", {}, of(row, "place")), el("th", { scope: "row", class: "text" }, title(of(row, "method"))),
    el("td", { class: of(row, "place") === 1 ? "best" : null }, text(of(row, "mean_rank")), found.among.includes(of(row, "method")) ? el("span", { class: "mark" }, "†") : null),
    el("td", {}, of(row, "low") === null ? "–" : `${text(of(row, "low"))}–${text(of(row, "high"))}`), el("td", {}, text(of(row, "first_share"))), el("td", {}, text(of(row, "win_rate"))),
    ...found.tasks.map((name) => el("td", {}, text(of(row, `rank:${name}`)))));
  fill("overall-body", ...found.verdict.answer.map((sentence, n) => el("p", { class: n ? null : "lead" }, sentence)), el("ul", { class: "notes" }, ...found.verdict.more.map((s) => el("li", {}, s))),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "All tasks, scrolls sideways" }, el("table", {},
      el("thead", {}, el("tr", {}, ...heads.map((h, n) => el("th", { scope: "col", class: n === 1 ? "text" : null }, h)))), el("tbody", {}, ...found.rows.map(line)))),
    found.left_out.length ? el("p", { class: "muted" }, `Not ranked in all tasks, and left out: ${listed(found.left_out)}.`) : "");
}

function drawConventions() {
  const lines = task().conventions;
  $("conventions").hidden = !lines.length;
  if (!lines.length || !$("conventions").open) return $("convention-table").replaceChildren();
  const winner = (key, ahead) => el("td", { class: "text" }, key ? method(key).title : "–", ahead ? el("span", { class: "tag" }, `behind ${count(ahead, "control")}`) : null);
  const heads = ["Printed as", "Convention", "Other convention", "Kendall's tau", "Best", "Best under the other"];
  $("convention-table").replaceChildren(
    el("thead", {}, el("tr", {}, ...heads.map((text, n) => el("th", { scope: "col", class: n === 3 ? null : "text" }, text)))),
    el("tbody", {}, ...lines.map((line) => el("tr", {}, el("th", { class: "text", scope: "row" }, line.name.toUpperCase()),
      ...line.columns.map((id) => el("td", { class: "text", title: metric(id)?.title ?? null }, id)), el("td", { class: line.tau !== null && line.tau < 0.5 ? "best" : null }, number(line.tau, 2)),
      ...line.best.map((key, n) => winner(key, line.controls_ahead[n]))))));
}

function drawBelow() {
  drawReading();
  drawOverall();
  drawConventions();
}

function drawTask() {
  for (const [n, tab] of [...$("tabs").children].entries()) {
    tab.setAttribute("aria-selected", n === state.task);
    tab.tabIndex = n === state.task ? 0 : -1;
  }
  $("panel").setAttribute("aria-labelledby", `tab-${state.task}`);
  drawView();
  drawBelow();
  imagesChanged();
  fetchPatients();
}

function selectTask(index) {
  const wanted = profile().name;
  state.task = index;
  state.profile = Math.max(0, task().profiles.findIndex((p) => p.name === wanted));
  if (state.methods) state.methods = new Set([...state.methods].filter((key) => method(key)));
  if (state.methods && !profile().order.some(chosen)) state.methods = null;
  if (state.metrics) state.metrics = state.metrics.filter((id) => cohort().metrics[id]);
  if (!state.metrics?.length) state.metrics = null;
  drawTask();
}

function startTabs() {
  fill("tabs", ...DATA.tasks.map((t, n) => el("button", { role: "tab", type: "button", id: `tab-${n}`, "aria-controls": "panel", onfocus: (event) => event.target.scrollIntoView({ block: "nearest", inline: "nearest" }), onclick: () => selectTask(n) }, t.title, el("small", {}, t.dataset))));
  $("tabs").addEventListener("keydown", (event) => {
    const last = DATA.tasks.length - 1, to = { ArrowRight: state.task === last ? 0 : state.task + 1, ArrowLeft: state.task ? state.task - 1 : last, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    selectTask(to);
    $(`tab-${to}`).focus();
  });
}

function startTheme() {
  const stored = () => { try { return localStorage.getItem("fusionbench-theme"); } catch { return null; } };
  if (["dark", "light"].includes(stored())) document.documentElement.dataset.theme = stored();
  $("theme").addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("fusionbench-theme", dark ? "light" : "dark"); } catch { /* storage may be closed to files */ }
  });
}

function start() {
  recall();
  startTabs();
  startControls();
  startDownloads();
  startTheme();
  startImages();
  addCharts();
  $("profile").addEventListener("change", drawBelow);
  for (const id of ["overall", "conventions", "facts"]) $(id).addEventListener("toggle", drawBelow);
  $("details").addEventListener("click", (event) => { if (event.target === $("details")) $("details").close(); });
  $("details").addEventListener("close", () => { state.method = ""; remember(); });
  window.addEventListener("hashchange", follow);
  window.addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details:not(.pick)")) part.open = true; drawBelow(); drawAll(); });
  drawTask();
  document.body.classList.add("drawn");
  if (state.method) openDetails(state.method);
}
start();
