// Drawings of one profile: mean ranks with intervals, time against rank, box plots, ranks of every metric, robustness.
const WIDTH = 620;

function frame(width, height, label) {
  return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
}

function labelWidth(keys) {
  return 20 + 6.6 * Math.max(...keys.map((key) => label(key, 30).length));
}

function drawForest() {
  const keys = ranked();
  if (!keys.length) return fill("forest", el("p", { class: "muted" }, "No method is ranked."));
  const left = labelWidth(keys), row = 19, height = keys.length * row + 34;
  const top = Math.max(profile().order.length, 2);
  const most = Math.max(top, ...keys.map((key) => profile().rows[key].rank));
  const x = (value) => left + ((value - 1) / (most - 1)) * (WIDTH - left - 20);
  const picture = frame(WIDTH, height, "Mean rank of every method with its 95 % bootstrap interval");
  for (const t of ticks(1, most, 6)) picture.append(svg("line", { class: "gridline", x1: x(t), x2: x(t), y1: 4, y2: height - 26 }), svg("text", { class: "soft", x: x(t), y: height - 10, "text-anchor": "middle" }, t));
  keys.forEach((key, n) => {
    const data = profile().rows[key], y = 14 + n * row, control = method(key).control;
    picture.append(svg("text", { x: left - 8, y: y + 4, "text-anchor": "end", class: control ? "soft" : "" }, label(key, 30)));
    if (data.interval) picture.append(svg("line", { class: "interval", x1: x(data.interval[0]), x2: x(data.interval[1]), y1: y, y2: y }));
    picture.append(svg("circle", { class: control ? "dot control" : "dot", cx: x(data.rank), cy: y, r: 4 }, svg("title", {}, `${method(key).title}: ${data.rank.toFixed(2)}${data.interval ? ` (${data.interval.map((v) => v.toFixed(2)).join("–")})` : ""}`)));
  });
  fill("forest", picture);
}

function drawTime() {
  const keys = ranked().filter((key) => method(key).columns.seconds?.value > 0);
  const devices = [...new Set(keys.map((key) => method(key).device).filter(Boolean))];
  fill("time-note", devices.length ? ` median seconds a pair on ${devices.join("; ")}` : "");
  if (!keys.length) return fill("time", el("p", { class: "muted" }, "No times were recorded: these images were made elsewhere."));
  const height = 380, left = 44, bottom = height - 40;
  const logs = keys.map((key) => Math.log10(method(key).columns.seconds.value));
  const low = Math.floor(Math.min(...logs) * 2) / 2 - 0.1, high = Math.ceil(Math.max(...logs) * 2) / 2 + 0.5;
  const worst = Math.max(2, ...keys.map((key) => profile().rows[key].rank));
  const x = (log) => left + ((log - low) / (high - low)) * (WIDTH - left - 16), y = (rank) => 14 + ((rank - 1) / (worst - 1)) * (bottom - 34);
  const picture = frame(WIDTH, height, "Seconds a pair against mean rank");
  for (let p = Math.ceil(low); p <= high; p++) picture.append(svg("line", { class: "gridline", x1: x(p), x2: x(p), y1: 8, y2: bottom }), svg("text", { class: "soft", x: x(p), y: bottom + 16, "text-anchor": "middle" }, `${Number((10 ** p).toPrecision(3))} s`));
  for (const t of ticks(1, worst, 6)) picture.append(svg("line", { class: "gridline", x1: left, x2: WIDTH - 10, y1: y(t), y2: y(t) }), svg("text", { class: "soft", x: left - 8, y: y(t) + 4, "text-anchor": "end" }, t));
  picture.append(svg("text", { class: "soft", x: WIDTH - 12, y: height - 6, "text-anchor": "end" }, "slower →"), svg("text", { class: "soft", x: 4, y: height - 6 }, "↑ better"));
  const taken = [];
  for (const key of keys) {
    const cx = x(Math.log10(method(key).columns.seconds.value)), cy = y(profile().rows[key].rank), control = method(key).control;
    const name = label(key, 16), wide = 6.2 * name.length;
    const right = cx + 8 + wide < WIDTH;
    const spots = [[4, right], [-7, right], [15, right], [4, !right], [-7, !right], [15, !right]];
    const [dy, side] = spots.find(([dy, side]) => !taken.some(([a, b, w]) => { const start = side ? cx + 8 : cx - 8 - wide; return Math.abs(cy + dy - b) < 11 && start < a + w && start + wide > a; })) ?? [null, null];
    const title = svg("title", {}, `${method(key).title}: ${method(key).columns.seconds.text} s, mean rank ${profile().rows[key].rank.toFixed(2)}`);
    picture.append(control ? svg("rect", { class: "dot control", x: cx - 4, y: cy - 4, width: 8, height: 8 }, title) : svg("circle", { class: "dot", cx, cy, r: 4.5 }, title));
    taken.push([cx - 5, cy + 4, 10]);
    if (dy === null) continue; // no free place for this label: the dot's tooltip names it
    taken.push([side ? cx + 8 : cx - 8 - wide, cy + dy, wide]);
    picture.append(svg("text", { class: "soft", x: side ? cx + 8 : cx - 8, y: cy + dy, "text-anchor": side ? "start" : "end" }, name));
  }
  fill("time", picture);
}

function quantile(sorted, q) {
  const at = (sorted.length - 1) * q, low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

function drawBoxes() {
  const id = $("box-metric").value || profile().metrics[0];
  const keys = ranked().filter((key) => task().scores[key]?.[id]);
  const common = new Set(profile().pairs);
  const values = new Map(keys.map((key) => [key, task().scores[key][id].filter((v, n) => v !== null && common.has(task().pairs[n])).sort((p, q) => p - q)]));
  const shown = keys.filter((key) => values.get(key).length);
  if (!shown.length) return fill("boxes", el("p", { class: "muted" }, "Nothing to draw."));
  const width = 1000, left = labelWidth(shown), row = 22, height = shown.length * row + 44;
  const low = Math.min(...shown.map((key) => values.get(key)[0])), high = Math.max(...shown.map((key) => values.get(key).at(-1)));
  const span = high - low || 1;
  const x = (value) => left + ((value - low) / span) * (width - left - 24) + 6;
  const picture = frame(width, height, `Box plots of ${metric(id).title}: quartiles, whiskers to 1.5 interquartile ranges`);
  for (const t of ticks(low, high, 8)) picture.append(svg("line", { class: "gridline", x1: x(t), x2: x(t), y1: 4, y2: height - 38 }), svg("text", { class: "soft", x: x(t), y: height - 22, "text-anchor": "middle" }, t));
  picture.append(svg("text", { class: "soft", x: left, y: height - 5 }, `${metric(id).title}${metric(id).unit ? ` (${metric(id).unit})` : ""}, ${metric(id).better} is ${metric(id).describes ? "customarily ranked first" : "better"}`));
  shown.forEach((key, n) => {
    const v = values.get(key), y = 16 + n * row;
    const [q1, q2, q3] = [0.25, 0.5, 0.75].map((q) => quantile(v, q));
    const inside = v.filter((t) => t >= q1 - 1.5 * (q3 - q1) && t <= q3 + 1.5 * (q3 - q1));
    const from = Math.min(q1, inside[0] ?? q1), to = Math.max(q3, inside.at(-1) ?? q3);
    picture.append(
      svg("text", { x: left - 8, y: y + 4, "text-anchor": "end", class: method(key).control ? "soft" : "" }, label(key, 30)),
      svg("path", { class: "whisker", d: `M${x(from)} ${y}H${x(q1)}M${x(q3)} ${y}H${x(to)}M${x(from)} ${y - 4}v8M${x(to)} ${y - 4}v8` }),
      svg("rect", { class: method(key).control ? "box control" : "box", x: x(q1), y: y - 7, width: Math.max(1, x(q3) - x(q1)), height: 14 }, svg("title", {}, `${method(key).title}: median ${number(q2)}, quartiles ${number(q1)} and ${number(q3)}, ${v.length} pairs`)),
      svg("line", { class: "median", x1: x(q2), x2: x(q2), y1: y - 7, y2: y + 7 }),
      ...v.filter((t) => t < from || t > to).map((t) => svg("circle", { class: "outlier", cx: x(t), cy: y, r: 2.5 })));
  });
  fill("boxes", picture);
}

function drawHeat() {
  const now = profile();
  const ids = [...now.core, ...now.metrics.filter((id) => !now.core.includes(id))].filter((id) => now.metrics.includes(id));
  const top = Math.max(2, now.order.length);
  const cell = (value, decimals, extra = "") => {
    const td = el("td", { class: extra }, value === null ? "–" : value.toFixed(value % 1 ? Math.max(1, decimals) : decimals));
    if (value !== null) Object.assign(td.style, shade((value - 1) / (top - 1)));
    return td;
  };
  const head = el("tr", {}, el("th", { scope: "col" }, ""), el("th", { scope: "col" }, "mean"), ...ids.map((id, n) => el("th", { scope: "col", class: n === 0 || n === now.core.filter((c) => now.metrics.includes(c)).length ? "gap" : "", title: metric(id).title }, metric(id).short)));
  const rows = ranked().map((key) => el("tr", {}, el("th", { scope: "row" }, method(key).title + (method(key).control ? " (control)" : "")), cell(now.rows[key].rank, 1),
    ...ids.map((id, n) => cell(now.rows[key].scores.rank[now.metrics.indexOf(id)], 0, n === 0 || n === now.core.filter((c) => now.metrics.includes(c)).length ? "gap" : ""))));
  fill("heat", el("table", { class: "cells" }, el("thead", {}, head), el("tbody", {}, ...rows)));
}

function drawRobust() {
  const all = task().robustness;
  $("robust-card").hidden = !all.length;
  if (!all.length) return;
  const chosen = all[Number($("robust-kind").value) || 0];
  const id = $("robust-metric").value || "rank";
  const lines = id === "rank" ? chosen.ranks : chosen.values[id] ?? {};
  const keys = ranked().filter((key) => lines[key]);
  const width = 1000, left = 60, right = 240, height = Math.max(320, 60 + 17 * keys.length), bottom = height - 44;
  const every = keys.flatMap((key) => lines[key]).filter((v) => v !== null);
  const [low, high] = [Math.min(...every), Math.max(...every)];
  const flip = id === "rank";
  const s = chosen.strengths;
  const x = (v) => left + ((v - s[0]) / (s.at(-1) - s[0] || 1)) * (width - left - right);
  const y = (v) => { const part = (v - low) / (high - low || 1); return 14 + (flip ? part : 1 - part) * (bottom - 24); };
  const picture = frame(width, height, `${chosen.kind}: ${id === "rank" ? "mean rank" : metric(id).title} against strength`);
  for (const t of ticks(low, high, 6)) picture.append(svg("line", { class: "gridline", x1: left, x2: width - right, y1: y(t), y2: y(t) }), svg("text", { class: "soft", x: left - 8, y: y(t) + 4, "text-anchor": "end" }, t));
  for (const t of s) picture.append(svg("text", { class: "soft", x: x(t), y: bottom + 16, "text-anchor": "middle" }, t));
  picture.append(svg("text", { class: "soft", x: left, y: height - 8 }, `${chosen.kind} (${chosen.parameter}); ${chosen.pairs} pairs, scored against the clean ones` + (flip ? `; ranks among these ${keys.length}` : "")));
  keys.forEach((key, n) => {
    const control = method(key).control; // controls stand last: grey, told apart by their dashes
    const color = control ? "#8a8a8a" : LINES[n % 6], dash = ["", "6 3", "2 3", "8 3 2 3"][(control ? keys.length - 1 - n : Math.floor(n / 6)) % 4];
    const points = lines[key].map((v, m) => (v === null ? null : `${x(s[m])},${y(v)}`)).filter(Boolean);
    const ly = 20 + n * 17;
    picture.append(svg("polyline", { class: "curve", points: points.join(" "), stroke: color, "stroke-dasharray": dash }, svg("title", {}, method(key).title)),
      ...lines[key].map((v, m) => [v, m]).filter(([v]) => v !== null).map(([v, m]) => svg("circle", { cx: x(s[m]), cy: y(v), r: 3, fill: color }, svg("title", {}, `${method(key).title}, ${chosen.parameter} ${s[m]}: ${number(v)}`))),
      svg("line", { class: "curve", x1: width - right + 20, x2: width - right + 44, y1: ly - 4, y2: ly - 4, stroke: color, "stroke-dasharray": dash }),
      svg("text", { x: width - right + 50, y: ly, class: "soft" }, label(key, 30)));
  });
  fill("robust", picture);
}

function drawCharts() {
  const chosen = $("box-metric").value;
  options("box-metric", profile().metrics.map((id) => [id, `${metric(id).short} – ${metric(id).title}`]), profile().metrics.includes(chosen) ? chosen : profile().core.at(-1));
  $("box-metric").onchange = drawBoxes;
  if (task().robustness.length) {
    options("robust-kind", task().robustness.map((r, n) => [n, r.kind]), 0);
    options("robust-metric", [["rank", "Mean rank"], ...Object.keys(task().robustness[0].values).map((id) => [id, metric(id).title])], "rank");
    $("robust-kind").onchange = $("robust-metric").onchange = drawRobust;
  }
  drawForest();
  drawTime();
  drawBoxes();
  drawHeat();
  drawRobust();
}
