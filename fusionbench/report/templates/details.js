// A method's fact sheet and its score on every pair.
const LABELS = { reference: "Reference", authors: "Authors", venue: "Venue", year: "Year", doi: "DOI", family: "Family", licence: "Licence", note: "Note", trained: "Trained", stochastic: "Stochastic", theirs: "From the authors", ours: "Filled in here", version: "Version", url: "Link" };

// A DOI or an https address becomes a link; everything else stays text.
function linked(label, text) {
  const address = label === "DOI" && /^10\.\d{4,}\/\S+$/.test(text) ? `https://doi.org/${text}` : label === "Link" && /^https:\/\/\S+$/.test(text) ? text : null;
  return address ? el("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, text) : text;
}

function openDetails(key) {
  const found = method(key);
  const facts = Object.entries(LABELS).filter(([name]) => found.facts[name] !== undefined).map(([name, label]) => [label, String(found.facts[name] === true ? "yes" : found.facts[name])]);
  const settings = Object.entries(found.settings).map(([name, value]) => `${name} = ${value}`).join(", ");
  if (settings) facts.push(["Settings", settings]);
  if (found.foreign) facts.push(["Images", `made elsewhere, scored here (${found.origin})`]);
  for (const column of DATA.columns) if (found.columns[column.id] && !(column.id in LABELS)) facts.push([column.title, found.columns[column.id].text + (column.id === "seconds" ? ` (median; ${found.device || "device not named"})` : "")]);
  if (found.made.seed && !found.foreign) facts.push(["Seed", found.made.seed]);
  const metrics = profile().metrics.filter((id) => task().scores[key]?.[id]);
  const rows = task().pairs.map((pair, n) => [pair, n]).filter(([pair, n]) => pair in found.errors || metrics.some((id) => task().scores[key][id][n] !== null));
  const cases = task().cases.some(Boolean);
  const table = el("table", {},
    el("thead", {}, el("tr", {}, el("th", { class: "left", scope: "col" }, "Pair"), cases ? el("th", { class: "left", scope: "col" }, "Case") : null, ...metrics.map((id) => el("th", { scope: "col", title: metric(id).title }, heading(id))))),
    el("tbody", {}, ...rows.map(([pair, n]) => el("tr", {}, el("th", { class: "left", scope: "row" }, pair), cases ? el("td", { class: "left" }, task().cases[n]) : null,
      ...(pair in found.errors ? [el("td", { class: "left", colspan: metrics.length }, found.errors[pair])] : metrics.map((id) => el("td", {}, number(task().scores[key][id][n]))))))));
  $("details").replaceChildren(
    el("div", { class: "head" }, el("div", {}, el("h2", { id: "details-title" }, found.title), el("p", { class: "muted" }, `${task().title} · ${task().dataset} · ${key}`)),
      el("button", { type: "button", onclick: () => $("details").close(), "aria-label": "Close" }, "✕")),
    el("div", { class: "body" }, el("dl", {}, ...facts.flatMap(([label, text]) => [el("dt", {}, label), el("dd", {}, linked(label, text))])),
      el("h3", {}, `Every pair, profile ${profile().name}`), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Scores of every pair" }, table)));
  $("details").showModal();
}
