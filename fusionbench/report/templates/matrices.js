// Charts of every two methods. One path a colour, so that 3,000 cells are a handful of elements; the cell pointed at is read out.
const MOST = 30; // the first so many are shown, of more no name could be read
const WORDS = { b: "better than", w: "worse than", e: "equivalent to", n: "not separable from", u: "not decidable against" };
const TURNED = { b: "w", w: "b" };

// size x size cells; kind(i, j): class of a cell or ""; read(i, j): what is said of it.
function matrix(keys, text, kind, read) {
  const cell = 13, size = keys.length * cell, width = SIDE + size + 20, height = size + 110;
  const picture = frame(width, height, text), cells = {};
  keys.forEach((key, i) => {
    picture.append(nameRow(key, i * cell + cell / 2), said(0, 0, label(key, 16), { class: "name", "text-anchor": "end", transform: `translate(${SIDE + i * cell + cell / 2 + 4} ${size + 10}) rotate(-60)` }));
    keys.forEach((_, j) => {
      const name = i === j ? "self" : kind(i, j);
      if (name) (cells[name] ??= []).push(`M${SIDE + j * cell} ${i * cell}h${cell - 1}v${cell - 1}h${1 - cell}z`);
    });
  });
  for (const [name, parts] of Object.entries(cells)) picture.append(svg("path", { class: `cell ${name}`, d: parts.join("") }));
  const out = el("p", { class: "muted readout", "aria-live": "off" }, "Point at a cell to read it.");
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect(), scale = width / box.width;
    const i = Math.floor(((event.clientY - box.top) * scale) / cell), j = Math.floor(((event.clientX - box.left) * scale - SIDE) / cell);
    if (keys[i] && keys[j] && i !== j) out.textContent = read(i, j);
  });
  return el("div", {}, out, picture);
}

const legend = (entries) => entries.flatMap(([name, text], n) => [svgKey(name), ` ${text}${n + 1 < entries.length ? ", " : "; "}`]);
const svgKey = (name) => svg("svg", { width: 12, height: 12, class: "key", "aria-hidden": "true" }, svg("rect", { width: 12, height: 12, class: `cell ${name}` }));
const twoMethods = () => (view().order.length < 2 ? "There is only one method to compare." : "");
const firstOnes = () => (view().order.length > MOST ? `; the first ${MOST} are shown` : "");
const compared = () => view().order.slice(0, MOST);

CHARTS.significance = {
  title: "Who is better than whom, by patient",
  note: () => (view().undecidable ? `No two methods can be told apart: ${view().undecidable}.`
    : el("span", {}, ...legend([["b", "row better"], ["w", "worse"], ...(view().whole ? [["e", "equivalent"]] : []), ["n", "not separable"]]), `sign flips by patient, step-down max-T over all methods${firstOnes()}.`)),
  height: () => compared().length * 13 + 140,
  needs: () => !view().whole && view().known,
  draw() {
    const shown = view(), keys = compared();
    if (twoMethods() || (!shown.whole && !shown.known)) return twoMethods() || "Not in this page for a choice on this task.";
    shown.letters ??= shown.whole ? profile().pairs : verdictLetters(choiceBlocks(shown), shown.order.length);
    const size = shown.order.length, at = (i, j) => shown.letters[i * size - (i * (i + 1)) / 2 + j - i - 1];
    const letter = (i, j) => (i < j ? at(i, j) : TURNED[at(j, i)] ?? at(j, i));
    const text = `Verdicts of every two methods: ${Object.entries(WORDS).map(([l, word]) => `${[...shown.letters].filter((c) => c === l).length} ${word.split(" ").slice(0, -1).join(" ")}`).join(", ")}`;
    return matrix(keys, text, letter, (i, j) => `${method(keys[i]).title} is ${WORDS[letter(i, j)]} ${method(keys[j]).title}`);
  },
};

CHARTS.wins = {
  title: "Win rate of every two methods",
  there: () => Boolean(view().whole ? rerankable(cohort(), core()) : view().known),
  note: () => el("span", {}, "Share of patients on whom the row has the better mean rank: ", ...legend([["r0", "0"], ["r2", "¼"], ["r4", "½"], ["r6", "¾"], ["r8", "1"]]), firstOnes().slice(2) || "by mean rank within pairs"),
  height: () => compared().length * 13 + 140,
  needs: () => true,
  draw() {
    const shown = view(), keys = compared();
    if (twoMethods()) return twoMethods();
    shown.rates ??= winRates(choiceBlocks(shown), shown.order.length);
    return matrix(keys, "Win rates of every two methods", (i, j) => `r${Math.round(8 * shown.rates[i][j])}`,
      (i, j) => `${method(keys[i]).title} is ahead of ${method(keys[j]).title} on ${(100 * shown.rates[i][j]).toFixed(0)} % of ${count(cohort().patients.length, "patient")}`);
  },
};
