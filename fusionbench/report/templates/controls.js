// What a reader sets: profile, methods, metrics, columns; and the answer, which follows.
function drawAnswer() {
  const now = profile(), shown = view();
  fill("answer", ...answer(shown).map((text, n) => el("p", { class: n ? null : "lead" }, text)),
    now.verdict.seen && shown.whole ? el("p", { class: "muted" }, now.verdict.seen) : null);
  const first = shown.controls[0], best = shown.order[0];
  const ahead = first && best && shown.rank[first] <= shown.rank[best];
  fill("warning", ahead ? el("p", { class: "warning" }, `A trivial control (${method(first).title}) would have the mean rank ${shown.rank[first].toFixed(2)}, ahead of every method: these metrics do not measure what a reader would call a good fusion.`) : "");
  const friedman = now.friedman;
  const overall = typeof friedman === "string" ? `No overall test: ${friedman}.` : "";
  fill("basis", ...[...now.verdict.more, ...now.verdict.basis, overall].filter(Boolean).map((text) => el("li", {}, text)));
}

// Everything that follows the choice of methods and metrics; intervals of a choice come a moment later.
function drawView() {
  remember();
  drawAnswer();
  drawTable();
  drawControls();
  chartsChanged();
  const shown = view();
  if (shown.ready) return;
  const then = (end) => () => {
    if (shown !== view()) return; // another choice has overtaken this one
    end(shown);
    drawAnswer();
    drawTable();
    chartsChanged();
  };
  withPatients().then(() => setTimeout(then(finish), 30), then(unknown));
}

function drawControls() {
  options("profile", task().profiles.map((p, n) => [n, p.name]), state.profile);
  const now = profile();
  fill("profile-note", `${now.title}; mean rank over ${core().map((id) => metric(id).short).join(", ")}.`);
  const families = [...new Set(Object.keys(task().methods).map((key) => shared(key, "sheet").family).filter(Boolean))].sort();
  if (!families.includes(state.family)) state.family = "";
  options("family", [["", "all families"], ...families.map((name) => [name, name])], state.family);
  $("find").value = state.find;
  $("controls").checked = state.controls;
  $("every").checked = state.every;
  for (const button of $("presets").children) {
    const name = button.dataset.preset;
    button.setAttribute("aria-pressed", name ? state.preset === name : !state.preset && !state.methods);
  }
  $("methods-summary").textContent = state.methods ? `Methods (${state.methods.size} ticked)` : "Methods";
  $("metrics-summary").textContent = state.metrics ? `Metrics (${state.metrics.length} ticked)` : "Metrics";
  $("clear").hidden = whole() && !state.find && !state.family && !state.columns.size;
  for (const id of ["pick-methods", "pick-metrics", "pick-columns"]) if ($(id).open) drawPicker(id);
}

const tick = (text, checked, change, title) => el("label", { class: "tick", title },
  el("input", { type: "checkbox", checked, onchange: (event) => change(event.target.checked) }), text);

// The lists behind "Methods", "Metrics" and "Columns", made when they are opened.
function drawPicker(id) {
  const list = $(id).querySelector(".list"), focused = [...list.querySelectorAll("input")].indexOf(document.activeElement);
  list.replaceChildren(...{ "pick-methods": methodTicks, "pick-metrics": metricTicks, "pick-columns": columnTicks }[id]());
  if (focused >= 0) list.querySelectorAll("input")[focused]?.focus();
}

function methodTicks() {
  const order = profile().order;
  return [...order].sort((x, y) => method(x).title.localeCompare(method(y).title)).map((key) =>
    tick(method(key).title, chosen(key), (on) => {
      const ticked = order.filter((other) => (other === key ? on : chosen(other)));
      state.preset = "";
      state.methods = ticked.length === order.length ? null : new Set(ticked);
      drawView();
    }));
}

function metricTicks() {
  const ids = [...new Set([...profile().core, ...profile().metrics, ...Object.keys(cohort().metrics)])].filter((id) => cohort().metrics[id]);
  return ids.map((id) => tick(`${metric(id).short} (${id})`, core().includes(id), (on) => {
    const ticked = ids.filter((other) => (other === id ? on : core().includes(other)));
    if (!ticked.length) return drawPicker("pick-metrics"); // a ranking needs one
    const same = ticked.length === profile().core.length && ticked.every((other) => profile().core.includes(other));
    state.metrics = same ? null : ticked;
    drawView();
  }, metric(id).title));
}

function columnTicks() {
  const more = DATA.columns.filter((c) => !USUAL.includes(c.id) && (c.id === "conflict" || (!c.ranking && Object.values(task().methods).some((m) => m.columns[c.id]))));
  return more.map((c) => tick(c.title, state.columns.has(c.id), (on) => {
    if (on) state.columns.add(c.id); else state.columns.delete(c.id);
    remember();
    drawTable();
    drawControls();
  }));
}

function clearChoice() {
  Object.assign(state, { preset: "", methods: null, metrics: null, find: "", family: "", columns: new Set(), sort: "rank", down: false });
  drawView();
}

function startControls() {
  const on = (id, event, change) => $(id).addEventListener(event, (e) => { change(e.target); remember(); drawTable(); drawControls(); });
  $("profile").addEventListener("change", (event) => { state.profile = Number(event.target.value); state.metrics = null; drawView(); });
  on("find", "input", (target) => { state.find = target.value; });
  on("family", "change", (target) => { state.family = target.value; });
  on("controls", "change", (target) => { state.controls = target.checked; });
  on("every", "change", (target) => { state.every = target.checked; });
  const preset = (name, text, title) => el("button", {
    type: "button", "data-preset": name, title, "aria-pressed": "false",
    onclick: () => { state.preset = name; state.methods = null; drawView(); },
  }, text);
  fill("presets", preset("", "All"), ...Object.entries(PRESETS).map(([name, [text, title]]) => preset(name, text, title)));
  $("clear").addEventListener("click", clearChoice);
  $("copy-link").addEventListener("click", async () => { remember(); await copyText(location.href); tell("The link to this view is in the clipboard."); });
  for (const id of ["pick-methods", "pick-metrics", "pick-columns"]) {
    $(id).addEventListener("toggle", () => { if ($(id).open) drawPicker(id); });
    $(id).addEventListener("keydown", (event) => { if (event.key === "Escape") { $(id).open = false; $(id).firstElementChild.focus(); } });
  }
  document.addEventListener("click", (event) => {
    for (const part of document.querySelectorAll("details.pick[open]")) if (event.target.isConnected && !part.contains(event.target)) part.open = false;
  });
}
