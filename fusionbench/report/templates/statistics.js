// Tests among the contenders: Friedman, the critical-difference diagram, and every two methods.
const PAIR_VALUES = [["p", "p by patient"], ["difference", "difference in mean rank"], ["verdict", "verdict by patient"], ["agree", "share of patients who agree"], ["wilcoxon", "p, Wilcoxon with Holm"], ["nemenyi", "p, Nemenyi"]];

function drawFriedman() {
  const test = profile().friedman;
  const text = typeof test === "string"
    ? `No overall test: ${test}.`
    : `Friedman test over ${profile().units} (Iman–Davenport F = ${number(test.f, 2)}, χ² = ${number(test.chi2, 2)}): p ${test.p}; the methods ${test.significant ? "differ" : "are not shown to differ"}. Kendall's W = ${test.w.toFixed(2)} (0: pairs disagree, 1: all pairs rank the methods alike).`;
  fill("friedman", el("p", {}, text), el("p", { class: "muted" }, "Tested is the mean rank over the core metrics within each pair; controls take no part."));
}

function drawCd() {
  const test = profile().nemenyi;
  if (typeof test === "string") return fill("cd", el("p", { class: "muted" }, `No diagram: ${test}.`));
  const names = test.ranks.map(([key]) => key), values = test.ranks.map(([, value]) => value);
  const count = names.length, half = Math.ceil(count / 2), row = 19;
  const width = 1060, side = 270, base = 62;
  const levels = base + 14 + test.groups.length * 9;
  const height = levels + half * row + 16;
  const x = (rank) => side + ((rank - 1) / (count - 1 || 1)) * (width - 2 * side);
  const picture = frame(width, height, `Critical-difference diagram: critical difference ${test.difference.toFixed(2)} at α = ${test.alpha}. ` + test.ranks.map(([key, value]) => `${method(key).title} ${value.toFixed(2)}`).join(", "));
  picture.append(svg("line", { class: "axis", x1: x(1), x2: x(count), y1: base, y2: base }));
  const step = Math.max(1, Math.round(count / 10));
  for (let rank = 1; rank <= count; rank++) if (rank === 1 || rank === count || (rank % step === 0 && rank < count - step / 2)) picture.append(svg("line", { class: "axis", x1: x(rank), x2: x(rank), y1: base - 6, y2: base }), svg("text", { class: "soft", x: x(rank), y: base - 10, "text-anchor": "middle" }, rank));
  picture.append(svg("line", { class: "cdbar", x1: x(1), x2: x(Math.min(count, 1 + test.difference)), y1: 28, y2: 28 }), svg("text", { class: "soft", x: x(1), y: 20 }, `critical difference ${test.difference.toFixed(2)} (α = ${test.alpha})`));
  names.forEach((key, n) => {
    const left = n < half, y = levels + 12 + (left ? n : count - 1 - n) * row, end = left ? side - 14 : width - side + 14;
    picture.append(svg("path", { class: "lead", d: `M${x(values[n])} ${base}V${y}H${end}` }),
      svg("text", { x: left ? end - 6 : end + 6, y: y + 4, "text-anchor": left ? "end" : "start" }, left ? `${label(key, 30)}  ${values[n].toFixed(2)}` : `${values[n].toFixed(2)}  ${label(key, 30)}`));
  });
  test.groups.forEach((group, n) => {
    const y = base + 9 + n * 9;
    picture.append(svg("line", { class: "join", x1: x(values[names.indexOf(group[0])]) - 4, x2: x(values[names.indexOf(group.at(-1))]) + 4, y1: y, y2: y }, svg("title", {}, group.map((key) => method(key).title).join(", "))));
  });
  fill("cd", picture);
}

function drawPairwise() {
  const what = $("pair-value").value || "p";
  const keys = profile().order;
  if (keys.length < 2) return fill("pairwise", el("p", { class: "muted" }, "There is only one method to compare."));
  const values = new Map();
  const { first, second, [what]: found } = profile().pairwise;
  found.forEach((value, n) => {
    values.set(`${first[n]},${second[n]}`, value);
    const turned = { better: "worse", worse: "better" };
    values.set(`${second[n]},${first[n]}`, what === "difference" && value !== null ? -value : what === "verdict" ? turned[value] ?? value : value);
  });
  const cell = (value, row, column) => {
    if (value === null || value === undefined) return el("td", {}, "–");
    if (what === "verdict") return el("td", { class: value === "better" ? "best" : "", title: `${method(row).title} ${value} ${method(column).title}` }, { better: "+", worse: "−", equivalent: "=" }[value] ?? "");
    const p = what !== "difference" && what !== "agree";
    const text = !p ? value.toFixed(2) : value < 0.001 ? "<.001" : value.toFixed(3).replace(/^0/, "");
    const strong = p && value <= 0.05;
    return el("td", { class: strong ? "best" : "", title: `${method(row).title} and ${method(column).title}` }, text);
  };
  const table = el("table", { class: "cells" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, ""), ...keys.map((key) => el("th", { scope: "col", title: method(key).title }, label(key, 12))))),
    el("tbody", {}, ...keys.map((row, i) => el("tr", {}, el("th", { scope: "row" }, method(row).title), ...keys.map((column, j) => (i === j ? el("td", {}, "·") : cell(values.get(`${i},${j}`), row, column)))))));
  const notes = {
    p: profile().undecidable ? `No two methods can be told apart: ${profile().undecidable}.` : "Sign-flip permutation by patient, step-down max-T over all comparisons in this table. Marked up to 0.05: patients tell the two methods apart.",
    difference: "Mean over patients. Negative: the row's method is better.",
    verdict: "+ the row's method is better, − worse, = equivalent; empty: the patients do not separate the two.",
    agree: "Share of the patients whose difference has the sign of the mean difference.",
  };
  const note = notes[what] ?? `Over ${profile().units}, corrected for all comparisons in this table; beside the tests by patient, for those who are asked for it.`;
  fill("pairwise", table, el("p", { class: "muted" }, note));
}

function drawStatistics() {
  options("pair-value", PAIR_VALUES, $("pair-value").value || "p");
  $("pair-value").onchange = drawPairwise;
  drawFriedman();
  drawCd();
  drawPairwise();
}

function drawConventions() {
  const lines = task().conventions;
  $("conventions").hidden = !lines.length;
  const winner = (key, ahead) => el("td", { class: "left" }, key ? method(key).title : "–", ahead ? el("span", { class: "tag" }, `behind ${ahead} control${ahead > 1 ? "s" : ""}`) : null);
  const about = (id) => el("td", { class: "left", title: metric(id)?.title ?? null }, id);
  const head = ["Printed as", "Convention", "Other convention", "Kendall's tau", "Best", "Best under the other"];
  $("convention-table").replaceChildren(
    el("thead", {}, el("tr", {}, ...head.map((text, n) => el("th", { scope: "col", class: n === 3 ? "" : "left" }, text)))),
    el("tbody", {}, ...lines.map((line) => el("tr", {}, el("th", { class: "left", scope: "row" }, line.name.toUpperCase()), ...line.columns.map(about),
      el("td", { class: line.tau !== null && line.tau < 0.5 ? "best" : "" }, number(line.tau, 2)), ...line.best.map((key, n) => winner(key, line.controls_ahead[n]))))));
}
