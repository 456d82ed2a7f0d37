// What can be taken away: this view as CSV or LaTeX, what to cite, a chart as SVG or PNG.
const stem = () => `${task().id.replace("/", "-")}-${profile().name}`;
const listedKeys = () => [...document.querySelectorAll("#board tr[data-row]:not(.apart)")].map((row) => row.dataset.row);

function viewCsv() {
  const quote = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const now = view(), group = cohort(), ids = columns().filter((c) => c.metric).map((c) => c.metric);
  const rows = [["place", "method", "title", "mean_rank", "mean_rank_low", "mean_rank_high", "first_share", "patients_seen", ...ids]];
  for (const key of listedKeys()) {
    const n = positionOf(group, key), ends = now.ends[key] ?? [];
    rows.push([now.place[key], key, method(key).title, now.rank[key], ends[0], ends[1], now.first[key], method(key).columns.exposed?.text, ...ids.map((id) => group.metrics[id].mean[n])]);
  }
  return rows.map((row) => row.map(quote).join(",")).join("\n") + "\n";
}

const TEX = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}" };
const tex = (text) => text.replace(/[\\~^<>&%$#_{}]/g, (c) => TEX[c] ?? `\\${c}`).replaceAll("–", "--");

function viewLatex() {
  const now = view(), group = cohort(), ids = columns().filter((c) => c.metric).map((c) => c.metric);
  const marks = Object.fromEntries(ids.map((id) => [id, podium(id, now.order)]));
  const cell = (key) => (id) => {
    const text = number(group.metrics[id].mean[positionOf(group, key)]);
    return { best: `\\textbf{${text}}`, second: `\\underline{${text}}` }[marks[id][key]] ?? text.replace("–", "--");
  };
  const head = ["Method", "Mean rank", ...ids.map((id) => `${tex(metric(id).short)} ${metric(id).better === "lower" ? "$\\downarrow$" : "$\\uparrow$"}`)];
  const lines = listedKeys().map((key) => [tex(method(key).title), now.rank[key].toFixed(2), ...ids.map(cell(key))].join(" & ") + " \\\\");
  return [`% ${answer(now).join(" ")}`, `% ${location.href.replaceAll("%", "\\%")}`, `\\begin{tabular}{l${"r".repeat(ids.length + 1)}}`, "\\toprule",
    head.join(" & ") + " \\\\", "\\midrule", ...lines, "\\bottomrule", "\\end{tabular}", ""].join("\n");
}

// BibTeX of fusionbench, of the pairs and of the methods listed, each entry once.
function viewBibtex() {
  const entries = [DATA.cite, task().cite, ...listedKeys().map((key) => shared(key, "cite"))];
  return [...new Set(entries.filter(Boolean))].join("\n");
}

// A drawing with the colours that it has on the page, so that it stands by itself.
function standalone(picture) {
  const copy = picture.cloneNode(true), nodes = [picture, ...picture.querySelectorAll("*")], copies = [copy, ...copy.querySelectorAll("*")];
  const kept = ["fill", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-family", "font-weight", "opacity"];
  nodes.forEach((node, n) => {
    const style = getComputedStyle(node);
    for (const name of kept) copies[n].setAttribute(name, style.getPropertyValue(name));
    copies[n].removeAttribute("class");
  });
  const paper = svg("rect", { width: "100%", height: "100%", fill: getComputedStyle(document.body).getPropertyValue("--card") });
  copy.prepend(paper);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return new XMLSerializer().serializeToString(copy);
}

async function saveChart(id, type) {
  await drawChart(id);
  const picture = $(`chart-${id}`).querySelector("svg");
  if (!picture) return tell("There is nothing to save.");
  const text = standalone(picture), name = `${stem()}-${id}.${type}`;
  if (type === "svg") return save(name, "image/svg+xml", text);
  const image = new Image(), url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  image.src = url;
  await image.decode();
  const canvas = el("canvas", { width: 2 * picture.width.baseVal.value, height: 2 * picture.height.baseVal.value });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(url);
  canvas.toBlob((blob) => save(name, "image/png", blob));
}

function startDownloads() {
  $("save-csv").addEventListener("click", () => save(`${stem()}.csv`, "text/csv", viewCsv()));
  $("save-tex").addEventListener("click", () => save(`${stem()}.tex`, "text/x-tex", viewLatex()));
  $("save-bib").addEventListener("click", () => save(`${stem()}.bib`, "text/x-bibtex", viewBibtex()));
  $("copy-cite").addEventListener("click", async () => { await copyText($("cite").textContent); tell("The entry is in the clipboard."); });
  fill("cite", DATA.cite.trim());
}
