// Charts are drawn when they are scrolled to; the room that each will take is kept, so that nothing moves.
const ROW = 17;
const CHARTS = {}; // id -> {title, note(), height(), draw()}: `draw` returns a picture, or a sentence why there is none; `needs()`: the file of patients
const stale = new Set();
const onScreen = new Set();
let watcher = null;

function frame(width, height, text) {
  return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": text });
}

const said = (x, y, text, more = {}) => svg("text", { x, y, ...more }, text);
const soft = (x, y, text, more = {}) => said(x, y, text, { class: "soft", ...more });
const rule = (x1, y1, x2, y2, kind = "gridline") => svg("line", { class: kind, x1, y1, x2, y2 });
const hint = (text) => svg("title", {}, text);

// Names to the left of a chart's rows: key -> text, all short enough.
const SIDE = 200;
const nameRow = (key, y, x = SIDE - 8) => said(x, y + 4, label(key, 27), { "text-anchor": "end", class: method(key).control ? "soft" : "name" });

function addCharts() {
  for (const [id, chart] of Object.entries(CHARTS)) {
    const box = el("div", { id: `chart-${id}`, class: "scroll drawing", tabindex: 0, role: "region", "aria-label": `${chart.title}, scrolls sideways` });
    const button = (type) => el("button", { type: "button", class: "small", "aria-label": `${chart.title} as ${type.toUpperCase()}`, onclick: () => saveChart(id, type) }, type.toUpperCase());
    $("chart-list").append(el("figure", { id: `figure-${id}`, class: `card${chart.wide ? " wide" : ""}` },
      el("figcaption", {}, el("h3", {}, chart.title), el("span", { class: "grow" }), ...(chart.controls?.() ?? []), button("svg"), button("png")),
      el("p", { class: "muted note", id: `note-${id}` }), box));
  }
  if (!("IntersectionObserver" in window)) return;
  watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      onScreen[isIntersecting ? "add" : "delete"](target.dataset.chart);
      if (isIntersecting) drawChart(target.dataset.chart);
    }
  }, { rootMargin: "100px" });
  for (const id of Object.keys(CHARTS)) {
    $(`chart-${id}`).dataset.chart = id;
    watcher.observe($(`chart-${id}`));
  }
}

function drawChart(id) {
  if (!stale.has(id) || $(`figure-${id}`).hidden) return null;
  if (CHARTS[id].needs?.() && !here()) return withPatients().then(() => drawChart(id), chartsChanged);
  stale.delete(id);
  const drawn = CHARTS[id].draw();
  $(`chart-${id}`).replaceChildren(drawn instanceof Node ? drawn : el("p", { class: "muted" }, drawn));
  $(`chart-${id}`).dataset.drawn = "yes";
  return null;
}

// The view has changed: what is on the screen is drawn now, the rest when it comes there.
function chartsChanged() {
  for (const id of Object.keys(CHARTS)) {
    const box = $(`chart-${id}`);
    stale.add(id);
    $(`figure-${id}`).hidden = CHARTS[id].there ? !CHARTS[id].there() : false;
    box.style.minHeight = `${CHARTS[id].height()}px`;
    delete box.dataset.drawn;
    fill(`note-${id}`, CHARTS[id].note());
    if (!onScreen.has(id)) box.replaceChildren();
  }
  requestAnimationFrame(() => { for (const id of watcher ? onScreen : Object.keys(CHARTS)) drawChart(id); });
}

const drawAll = () => { for (const id of Object.keys(CHARTS)) drawChart(id); };

// Places for labels beside points, none on another; null where there is no room. `taken`: boxes [x, y, width, height].
function labelSpot(taken, x, y, wide, right) {
  const free = (left, top) => left > 0 && left + wide < right && !taken.some(([a, b, w, h]) => left < a + w && left + wide > a && top < b + h && top + 11 > b);
  for (const [dx, dy] of [[8, -5], [-8 - wide, -5], [-wide / 2, -19], [-wide / 2, 8], [8, -16], [8, 6], [-8 - wide, -16], [-8 - wide, 6]]) {
    if (!free(x + dx, y + dy)) continue;
    taken.push([x + dx, y + dy, wide, 11]);
    return [x + dx, y + dy + 9];
  }
  return null;
}
