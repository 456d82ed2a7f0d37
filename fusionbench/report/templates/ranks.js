// Charts of ranks: intervals, distributions of places, places under each profile.
CHARTS.forest = {
  title: "Mean rank with its 95 % interval",
  note: () => (Object.values(view().ends).some(Boolean) ? "Whole patients are drawn anew; a filled dot is in the confidence set of the best." : "Too few patients for intervals."),
  height: () => (view().order.length + view().controls.length) * ROW + 36,
  draw() {
    const shown = view(), keys = [...shown.order, ...shown.controls];
    if (!keys.length) return "No method is ranked.";
    const width = 620, height = this.height();
    const most = Math.max(2, ...keys.map((key) => Math.max(shown.rank[key], shown.ends[key]?.[1] ?? 0)));
    const x = (value) => SIDE + ((value - 1) / (most - 1)) * (width - SIDE - 16);
    const picture = frame(width, height, `Mean ranks with intervals. ${answer(shown)[0]}`);
    for (const t of ticks(1, most, 6)) picture.append(rule(x(t), 4, x(t), height - 26), soft(x(t), height - 10, t, { "text-anchor": "middle" }));
    keys.forEach((key, n) => {
      const y = 14 + n * ROW, ends = shown.ends[key], control = method(key).control;
      picture.append(nameRow(key, y));
      if (ends) picture.append(rule(x(ends[0]), y, x(ends[1]), y, "interval"));
      const kind = control ? "dot control" : shown.among && !shown.among.has(key) ? "dot open" : "dot";
      picture.append(svg("circle", { class: kind, cx: x(shown.rank[key]), cy: y, r: 4 }, hint(`${method(key).title}: ${shown.rank[key].toFixed(2)}${ends ? ` (${ends[0].toFixed(2)} to ${ends[1].toFixed(2)})` : ""}`)));
    });
    return picture;
  },
};

CHARTS.blobs = {
  title: "Places when patients are drawn anew",
  note: () => "The area of a dot is the share of resamples in which a method has that place; a cross: its place. Methods without a dot are left out.",
  reaching: () => (view().places ?? []).flatMap((row, n) => (row.some(([, share]) => share >= 0.005) ? [n] : [])),
  height() { return Math.max(12, this.reaching().length) * ROW + 40; },
  draw() {
    const shown = view();
    if (!shown.places?.length) return shown.ready ? "Too few patients, or not in this page for this choice." : "Being drawn …";
    const told = shown.places.flatMap((row) => row.map(([place, share]) => (share >= 0.005 ? place : 0)));
    const deepest = Math.min(Math.max(...told), 40);
    const width = 620, height = this.height();
    const x = (place) => SIDE + 14 + ((place - 1) / Math.max(1, deepest - 1)) * (width - SIDE - 30);
    const picture = frame(width, height, "Share of resamples of patients in which each method has each place");
    for (let place = 1; place <= deepest; place += place === 1 ? 4 : 5) picture.append(rule(x(place), 6, x(place), height - 26), soft(x(place), height - 10, place, { "text-anchor": "middle" }));
    this.reaching().forEach((n, row) => {
      const key = shown.order[n], y = 14 + row * ROW, place = shown.place[key];
      picture.append(nameRow(key, y));
      for (const [at, share] of shown.places[n]) if (at <= deepest && share >= 0.005) picture.append(svg("circle", { class: "blob", cx: x(at), cy: y, r: 9 * Math.sqrt(share) }, hint(`${method(key).title}: place ${at} in ${(100 * share).toFixed(1)} %`)));
      if (place <= deepest) picture.append(svg("path", { class: "cross", d: `M${x(place) - 3} ${y - 3}l6 6m0 -6l-6 6` }));
    });
    return picture;
  },
};

CHARTS.bump = {
  title: "Places under each profile",
  wide: true,
  there: () => task().profiles.filter((p) => p.order.length > 1).length > 1,
  note: () => "The first ten of the profile shown are named and coloured; all methods, whatever is ticked.",
  height: () => 26 * ROW + 60,
  draw() {
    const all = task().profiles.filter((p) => p.order.length > 1), now = profile(), deepest = 25;
    const width = Math.max(620, 300 + 96 * all.length), height = this.height(), wide = width - SIDE - 70;
    const x = (n) => SIDE + 26 + (n / (all.length - 1)) * wide, y = (place) => 34 + Math.min(place, deepest + 1) * ROW;
    const places = all.map((p) => placesOf(p.order, Object.fromEntries(p.order.map((key, n) => [key, p.columns.rank[n]]))));
    const picture = frame(width, height, "Place of each method under each profile");
    all.forEach((p, n) => picture.append(said(x(n), 16, p.name, { "text-anchor": "middle", class: p === now ? "name strong" : "soft" }), rule(x(n), 26, x(n), height - 14)));
    for (const place of [1, 5, 10, 15, 20, 25]) picture.append(soft(width - 26, y(place) + 4, place));
    let level = 0;
    [...now.order].reverse().forEach((key, back) => {
      const n = now.order.length - 1 - back, named = n < 10, points = places.map((held, at) => (held[key] ? `${x(at)} ${y(held[key])}` : null)).filter(Boolean);
      const line = svg("path", { class: "curve", d: `M${points.join("L")}`, "stroke-dasharray": n < 6 ? "none" : "6 3" }, hint(`${method(key).title}: ${all.map((p, at) => `${p.name} ${places[at][key] ?? "–"}`).join(", ")}`));
      line.setAttribute("stroke", named ? LINES[n % 6] : "var(--line)");
      line.setAttribute("stroke-width", named ? 2.4 : 1);
      picture.append(line);
    });
    now.order.slice(0, 10).forEach((key) => {
      level = Math.max(level + 1, places[all.indexOf(now)][key]); // those that tie stand below each other
      picture.append(nameRow(key, y(level), SIDE + 8));
    });
    return picture;
  },
};
