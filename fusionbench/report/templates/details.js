// A method's fact sheet, its means by patient, and a link to it.
const FACTS = {
  reference: "Reference", authors: "Authors", venue: "Venue", year: "Year", doi: "DOI", family: "Family", licence: "Licence", note: "Note",
  trained_on: "Trained on", trained_for: "Made for", stochastic: "Stochastic", theirs: "From the authors", ours: "Filled in here", version: "Version", url: "Link",
};

// A DOI or an https address becomes a link; everything else stays text.
function linked(name, text) {
  const doi = name === "DOI" && /^10\.\d{4,}\/\S+$/.test(text) ? `https://doi.org/${text}` : null;
  const href = doi ?? (name === "Link" && /^https:\/\/\S+$/.test(text) ? text : null);
  return href ? el("a", { href, target: "_blank", rel: "noopener noreferrer" }, text) : text;
}

function factsOf(key) {
  const found = method(key), sheet = shared(key, "sheet"), facts = [];
  for (const [name, title] of Object.entries(FACTS)) if (sheet[name] !== undefined) facts.push([title, String(sheet[name] === true ? "yes" : sheet[name])]);
  const settings = Object.entries(shared(key, "settings")).map(([name, value]) => `${name} = ${value}`).join(", ");
  if (settings) facts.push(["Settings", settings]);
  facts.push(["Images", `${found.origin}${sheet.foreign ? ", made elsewhere and scored here" : ""}`]);
  for (const column of DATA.columns) {
    if (found.columns[column.id] && !(column.id in FACTS) && column.id !== "origin") facts.push([column.title, found.columns[column.id].text + (column.id === "seconds" ? ` (median; ${found.device || "device not named"})` : "")]);
  }
  for (const study of task().truth) {
    for (const [name, areas] of Object.entries(study.observers)) if (areas[key]) facts.push([`Task truth, ${study.id}, ${name === "cho" ? "grey" : "colour"}`, study.modalities.map((m, n) => `${m} finding ${areas[key][n].map((v) => v.toFixed(3)).join(" [")}]`.replace(" [", " [").replace(/\[(.*) \[/, "[$1, ")).join("; ")]);
  }
  return facts;
}

function patientTable(key) {
  const group = cohort(), n = positionOf(group, key), ids = core().filter((id) => rerankable(group, [id]));
  if (n < 0 || !ids.length) return [];
  const means = ids.map((id) => patientMeans(group, id));
  const pairs = group.patients.map((_, p) => group.of.filter((patient) => patient === p).length);
  const head = ["Patient", "Pairs", ...ids.map(heading)];
  return [el("h3", {}, "Means by patient"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Means by patient" }, el("table", {},
    el("thead", {}, el("tr", {}, ...head.map((text, at) => el("th", { scope: "col", class: at ? null : "text" }, text)))),
    el("tbody", {}, ...group.patients.map((name, p) => el("tr", {}, el("th", { scope: "row", class: "text" }, name), el("td", {}, pairs[p]), ...means.map((m) => el("td", {}, number(m[p][n], 3)))))))),
  el("p", { class: "muted" }, "To within a five-hundredth of the methods' span on a patient; the CSV files beside this page hold every number.")];
}

// Shown at once where its figures are here, else when they come and the sheet is still open.
async function drawPatients(key) {
  if (!task().patients) return;
  const box = $("by-patient");
  if (!here()) await withPatients().catch(() => {});
  if (box === $("by-patient")) box.replaceChildren(...patientTable(key));
}

function openDetails(key) {
  const found = method(key), now = view(), ends = now.ends[key];
  state.method = key;
  remember();
  const errors = Object.entries(found.errors).map(([pair, why]) => el("li", {}, `${pair}: ${why}`));
  const place = now.place[key] ? `Place ${now.place[key]} of ${now.order.length}, ` : found.control ? "A control, " : "";
  $("details").replaceChildren(
    el("div", { class: "head" }, el("div", {}, el("h2", { id: "details-title" }, found.title), el("p", { class: "muted" }, `${task().title} · ${task().dataset} · ${key}`)),
      el("span", { class: "grow" }),
      el("button", { type: "button", onclick: async () => { await copyText(location.href); tell("The link to this method is in the clipboard."); } }, "Copy link"),
      el("button", { type: "button", class: "close", onclick: () => $("details").close(), "aria-label": "Close" }, "✕")),
    el("div", { class: "body" },
      now.rank[key] !== undefined ? el("p", {}, `${place}mean rank ${now.rank[key].toFixed(2)}${ends ? ` (95 % interval ${ends[0].toFixed(2)} to ${ends[1].toFixed(2)})` : ""}.`) : null,
      el("dl", {}, ...factsOf(key).flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, linked(name, text))])),
      errors.length ? el("h3", {}, "Failed on") : null, errors.length ? el("ul", {}, ...errors) : null,
      el("div", { id: "by-patient" })));
  drawPatients(key);
  if (!$("details").open) $("details").showModal();
}
