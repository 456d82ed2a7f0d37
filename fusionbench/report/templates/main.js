// Wiring: tabs, the address (so that a view can be linked to), theme, and the first drawing.
function drawReading() {
  const now = profile();
  const facts = task().facts;
  const lines = [
    "Each metric ranks the methods by their mean over the pairs (1 = best, ties averaged); the mean rank averages those ranks over the core metrics of the profile.",
    "A profile is a named set of conventions. The same metric name stands for many different numbers in the literature, and the choice changes the ranking; switch the profile above to see it.",
    "Controls are trivial fusers (the mean, the maximum, a source by itself). Where one of them is ahead, the metric does not measure what a reader would call a good fusion.",
    "The unit is the patient: slices of one patient are repeated measurements. Ranks within pairs are averaged over each patient's pairs; tests flip the signs of whole patients, intervals draw whole patients anew.",
    now.pairs.length < now.total ? `Compared on the ${now.pairs.length} of ${now.total} pairs that all ranked methods share.` : `All ${now.total} pairs are common to all ranked methods.`,
    "Metrics compare a fused image with its sources. None of them shows that a diagnosis becomes easier.",
  ];
  if (facts.reference) lines.push(`Data: ${facts.title ?? ""} – ${facts.reference}${facts.licence ? ` (${facts.licence})` : ""}`);
  fill("reading", el("ul", {}, ...lines.map((text) => el("li", {}, text))));
  const rows = now.metrics.map((id) => {
    const m = metric(id);
    const direction = m.describes ? "describes; customarily " + m.better : m.better + " is better";
    return el("tr", {}, el("th", { class: "left", scope: "row" }, m.short), el("td", { class: "left wrap" }, m.title), el("td", { class: "left" }, id), el("td", { class: "left" }, direction), el("td", { class: "left wrap" }, m.convention ?? m.formula ?? ""), el("td", { class: "left wrap" }, m.reference ?? ""));
  });
  $("metric-facts").replaceChildren(el("thead", {}, el("tr", {}, ...["", "Metric", "Id", "Direction", "Convention", "Reference"].map((t) => el("th", { class: "left", scope: "col" }, t)))), el("tbody", {}, ...rows));
  const versions = Object.entries(DATA.versions).map(([name, version]) => `${name} ${version}`).join(" · ");
  fill("made", versions ? `Made with ${versions}.` : "");
}

function drawProfile() {
  drawAnswer();
  drawToolbar();
  drawTable();
  drawCharts();
  drawStatistics();
  drawReading();
}

function drawTask() {
  for (const [n, tab] of [...$("tabs").children].entries()) {
    tab.setAttribute("aria-selected", n === state.task);
    tab.tabIndex = n === state.task ? 0 : -1;
  }
  $("panel").setAttribute("aria-labelledby", `tab-${state.task}`);
  drawProfile();
  drawConventions();
  drawCompare();
}

function selectTask(index, profileName) {
  const wanted = profileName ?? profile().name;
  state.task = index;
  state.profile = Math.max(0, task().profiles.findIndex((p) => p.name === wanted));
  state.sort = "rank";
  state.down = false;
  remember();
  drawTask();
}

function remember() {
  const address = `#${encodeURIComponent(task().id)}&profile=${encodeURIComponent(profile().name)}`;
  try { history.replaceState(null, "", address); } catch { /* a sandboxed frame has no history */ }
}

function recall() {
  const [id, rest] = location.hash.slice(1).split("&profile=");
  const index = DATA.tasks.findIndex((t) => t.id === decodeURIComponent(id ?? ""));
  if (index >= 0) state.task = index;
  if (rest) state.profile = Math.max(0, task().profiles.findIndex((p) => p.name === decodeURIComponent(rest)));
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  try { localStorage.setItem("fusionbench-theme", name); } catch { /* storage may be closed to files */ }
}

function start() {
  recall();
  fill("tabs", ...DATA.tasks.map((t, n) => el("button", { role: "tab", type: "button", id: `tab-${n}`, "aria-controls": "panel", onclick: () => selectTask(n) }, t.title, el("small", {}, t.dataset))));
  $("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    selectTask((state.task + step + DATA.tasks.length) % DATA.tasks.length);
    $(`tab-${state.task}`).focus();
  });
  $("profile").addEventListener("change", (event) => { state.profile = Number(event.target.value); remember(); drawProfile(); });
  $("find").addEventListener("input", (event) => { state.find = event.target.value; drawTable(); });
  $("family").addEventListener("change", (event) => { state.family = event.target.value; drawTable(); });
  $("controls").addEventListener("change", (event) => { state.controls = event.target.checked; drawTable(); });
  $("spread").addEventListener("change", (event) => { state.spread = event.target.checked; drawTable(); });
  $("save-csv").addEventListener("click", saveCsv);
  document.addEventListener("click", (event) => { if (!$("columns").contains(event.target)) $("columns").open = false; });
  $("columns").addEventListener("keydown", (event) => { if (event.key === "Escape") { $("columns").open = false; $("columns").firstElementChild.focus(); } });
  $("details").addEventListener("click", (event) => { if (event.target === $("details")) $("details").close(); });
  window.addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details.basis")) part.open = true; });
  let stored = null;
  try { stored = localStorage.getItem("fusionbench-theme"); } catch { /* storage may be closed to files */ }
  if (stored === "dark" || stored === "light") document.documentElement.dataset.theme = stored;
  $("theme").addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    setTheme(dark ? "light" : "dark");
  });
  drawTask();
}
start();
