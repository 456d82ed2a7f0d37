// Charts of two quantities: time against rank, what is found of both findings, robustness.
const timed = () => [...view().order, ...view().controls].filter((key) => method(key).columns.seconds?.value > 0);

CHARTS.time = {
  title: "Time against rank",
  there: () => timed().length > 0,
  note: () => {
    const devices = [...new Set(timed().map((key) => method(key).device).filter(Boolean))];
    return `Median seconds a pair${devices.length ? ` on ${devices.join("; ")}` : ""}; the line: nobody is both quicker and better. Methods whose images were made elsewhere have no time.`;
  },
  height: () => 440,
  draw() {
    const shown = view(), keys = timed(), width = 620, height = this.height(), left = 40, bottom = height - 40;
    const log = (key) => Math.log10(method(key).columns.seconds.value), logs = keys.map(log);
    const low = Math.floor(2 * Math.min(...logs)) / 2 - 0.1, high = Math.ceil(2 * Math.max(...logs)) / 2 + 0.4;
    const worst = Math.max(2, ...keys.map((key) => shown.rank[key]));
    const x = (v) => left + ((v - low) / (high - low)) * (width - left - 16), y = (rank) => 14 + ((rank - 1) / (worst - 1)) * (bottom - 34);
    const picture = frame(width, height, "Seconds a pair against mean rank");
    for (let p = Math.ceil(low); p <= high; p++) picture.append(rule(x(p), 8, x(p), bottom), soft(x(p), bottom + 16, `${Number((10 ** p).toPrecision(3))} s`, { "text-anchor": "middle" }));
    for (const t of ticks(1, worst, 6)) picture.append(rule(left, y(t), width - 10, y(t)), soft(left - 8, y(t) + 4, t, { "text-anchor": "end" }));
    picture.append(soft(width - 12, height - 6, "slower →", { "text-anchor": "end" }), soft(4, height - 6, "↑ better"));
    const front = [...keys].filter((key) => !method(key).control).sort((p, q) => log(p) - log(q) || shown.rank[p] - shown.rank[q]);
    let best = Infinity;
    const pareto = front.filter((key) => { const better = shown.rank[key] < best; best = Math.min(best, shown.rank[key]); return better; });
    picture.append(svg("path", { class: "front", d: pareto.map((key, n) => (n ? `H${x(log(key))}V${y(shown.rank[key])}` : `M${x(log(key))} ${y(shown.rank[key])}`)).join("") }));
    const taken = keys.map((key) => [x(log(key)) - 5, y(shown.rank[key]) - 5, 10, 10]);
    for (const key of [...pareto, ...keys.filter((k) => !pareto.includes(k))]) {
      points(picture, key, x(log(key)), y(shown.rank[key]), `${method(key).title}: ${method(key).columns.seconds.text} s, mean rank ${shown.rank[key].toFixed(2)}`);
      const name = label(key, 16), spot = labelSpot(taken, x(log(key)), y(shown.rank[key]), 6.1 * name.length, width);
      if (spot) picture.append(soft(...spot, name)); // where there is no free place, the dot's tooltip names it
    }
    return picture;
  },
};

function points(picture, key, x, y, text) {
  picture.append(method(key).control ? svg("rect", { class: "dot control", x: x - 4, y: y - 4, width: 8, height: 8 }, hint(text)) : svg("circle", { class: "dot", cx: x, cy: y, r: 4.5 }, hint(text)));
}

const observer = () => $("observer")?.value ?? "0|cho";
CHARTS.truth = {
  title: "Task truth: what is found of both findings",
  there: () => task().truth.length > 0,
  controls: () => [el("label", { class: "inline" }, "observer ", el("select", { id: "observer", onchange: () => { stale.add("truth"); drawChart("truth"); } }))],
  note: () => {
    const kept = $("observer").value, names = task().truth.flatMap((study, n) => Object.keys(study.observers).map((name) => [`${n}|${name}`, `${name === "cho" ? "grey" : "colour"}, ${study.id}`]));
    options("observer", names, names.some(([value]) => value === kept) ? kept : names[0]?.[0]);
    return "Areas under the ROC curve of a model observer on generated pairs with known findings, intervals by subject; 0.5 (dotted) is guessing, as with a copy of the other source. Not this board's pairs.";
  },
  height: () => 480,
  draw() {
    const [n, name] = observer().split("|"), study = task().truth[Number(n)] ?? task().truth[0], found = study.observers[name] ?? study.observers.cho;
    const keys = Object.keys(found).filter((key) => method(key) && (method(key).control || chosen(key))), width = 620, height = 480;
    if (!keys.length) return "No method of this choice was judged.";
    const x = (v) => 46 + ((v - 0.4) / 0.6) * (width - 66), y = (v) => height - 44 - ((v - 0.4) / 0.6) * (height - 58);
    const picture = frame(width, height, `Areas for both findings. ${keys.map((key) => `${method(key).title} ${found[key].map((a) => a[0].toFixed(2)).join(" and ")}`).join("; ")}`);
    for (const t of [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]) picture.append(rule(x(t), y(1), x(t), y(0.4), t === 0.5 ? "guess" : "gridline"), rule(x(0.4), y(t), x(1), y(t), t === 0.5 ? "guess" : "gridline"), soft(x(t), height - 28, t.toFixed(1), { "text-anchor": "middle" }), soft(40, y(t) + 4, t.toFixed(1), { "text-anchor": "end" }));
    picture.append(soft(width - 12, height - 8, `finding of the ${study.modalities[0]} →`, { "text-anchor": "end" }), soft(4, height - 8, `↑ finding of the ${study.modalities[1]}`));
    const taken = keys.map((key) => [x(found[key][0][0]) - 5, y(found[key][1][0]) - 5, 10, 10]);
    for (const [text, [a, b]] of Object.entries(study.bounds[name] ?? {})) {
      picture.append(svg("path", { class: "star", d: `M${x(a)} ${y(b) - 7}l2 5h5l-4 3 2 5-5-3-5 3 2-5-4-3h5z` }, hint(text)));
      taken.push([x(a) - 8, y(b) - 8, 16, 16]);
      const spot = labelSpot(taken, x(a), y(b), 6.1 * text.length, width);
      if (spot) picture.append(soft(...spot, text));
    }
    for (const key of keys) {
      const [[a, a0, a1], [b, b0, b1]] = found[key];
      picture.append(rule(x(a0), y(b), x(a1), y(b), "thin"), rule(x(a), y(b0), x(a), y(b1), "thin"));
      points(picture, key, x(a), y(b), `${method(key).title}: ${study.modalities[0]} ${a.toFixed(3)}, ${study.modalities[1]} ${b.toFixed(3)}`);
      const text = label(key, 14), spot = labelSpot(taken, x(a), y(b), 6.1 * text.length, width);
      if (spot) picture.append(soft(...spot, text));
    }
    return picture;
  },
};

CHARTS.robust = {
  title: "Robustness",
  wide: true,
  there: () => task().robustness.length > 0,
  controls: () => ["robust-kind", "robust-metric"].map((id) => el("label", { class: "inline" }, id === "robust-kind" ? "input " : "shown ", el("select", { id, onchange: () => { stale.add("robust"); drawChart("robust"); } }))),
  note: () => {
    const [kind, shown] = [$("robust-kind").value, $("robust-metric").value], all = task().robustness;
    options("robust-kind", all.map((r, n) => [n, r.kind]), kind);
    options("robust-metric", [["rank", "Mean rank"], ...Object.keys(all[0]?.values ?? {}).map((id) => [id, metric(id).title])], shown || "rank");
    return "One source is degraded before fusing; the result is scored against the clean pair. All methods that were run, whatever is ticked.";
  },
  height: () => Math.max(340, 60 + 17 * Object.keys(task().robustness[0]?.ranks ?? {}).length),
  draw() {
    const held = task().robustness[Number($("robust-kind").value) || 0], id = $("robust-metric").value || "rank";
    const lines = id === "rank" ? held.ranks : held.values[id] ?? {}, keys = Object.keys(lines);
    const width = 980, left = 60, right = 250, height = this.height(), bottom = height - 44, s = held.strengths;
    const every = keys.flatMap((key) => lines[key]).filter((v) => v !== null), low = Math.min(...every), high = Math.max(...every);
    const down = id === "rank" || metric(id).better === "lower";
    const x = (v) => left + ((v - s[0]) / (s.at(-1) - s[0] || 1)) * (width - left - right);
    const y = (v) => { const part = (v - low) / (high - low || 1); return 14 + (down ? part : 1 - part) * (bottom - 24); };
    const picture = frame(width, height, `${held.kind}: ${id === "rank" ? "mean rank" : metric(id).title} against strength`);
    for (const t of ticks(low, high, 6)) picture.append(rule(left, y(t), width - right, y(t)), soft(left - 8, y(t) + 4, t, { "text-anchor": "end" }));
    for (const t of s) picture.append(soft(x(t), bottom + 16, t, { "text-anchor": "middle" }));
    picture.append(soft(left, height - 8, `${held.kind} (${held.parameter}); ${count(held.pairs, "pair")}, scored against the clean ones; ↑ better`));
    keys.forEach((key, n) => {
      const control = method(key).control, color = control ? "var(--control)" : LINES[n % 6], ly = 20 + n * 17;
      const dash = ["none", "6 3", "2 3", "8 3 2 3"][(control ? keys.length - 1 - n : Math.floor(n / 6)) % 4];
      const path = lines[key].map((v, m) => (v === null ? null : `${x(s[m])} ${y(v)}`)).filter(Boolean).join("L");
      const line = (d) => svg("path", { class: "curve", d, stroke: color, "stroke-width": 2, "stroke-dasharray": dash }, hint(method(key).title));
      picture.append(line(`M${path}`), line(`M${width - right + 20} ${ly - 4}h24`), soft(width - right + 50, ly, label(key, 30)));
    });
    return picture;
  },
};
