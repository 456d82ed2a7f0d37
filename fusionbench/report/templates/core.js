// State and small helpers. All text goes through textContent: names from the results never become markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const state = { task: 0, profile: 0, sort: "rank", down: false, find: "", family: "", controls: true, spread: false, hidden: new Set() };

const $ = (id) => document.getElementById(id);
const task = () => DATA.tasks[state.task];
const profile = () => task().profiles[state.profile];
const method = (key) => task().methods[key];
const metric = (id) => DATA.metrics[id];
// What a method scored on the n-th metric of the profile shown.
function score(key, n) {
  const all = profile().rows[key].scores, id = profile().metrics[n];
  return { mean: all.mean[n], std: all.std[n], rank: all.rank[n], best: all.best.includes(id), second: all.second.includes(id), tied: all.tied.includes(id), undefined: all.undefined[id] ?? 0 };
}
const ranked = () => [...profile().order, ...profile().controls];

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined).map((c) => (c instanceof Node ? c : String(c))));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.map((c) => (c instanceof Node ? c : document.createTextNode(String(c)))));
  return node;
}

function fill(id, ...children) {
  $(id).replaceChildren(...children);
}

function options(id, entries, chosen) {
  fill(id, ...entries.map(([value, text]) => el("option", { value, selected: String(value) === String(chosen) }, text)));
}

// A title too long for its place becomes its acronym, or else the name that is typed, or is cut.
const label = (key, length) => { const { title, short } = method(key); return title.length <= length ? title : short.length <= length ? short : `${title.slice(0, length - 1)}…`; };
const number = (value, decimals = 4) => (value === null || value === undefined ? "–" : Math.abs(value) < 1e5 ? value.toFixed(decimals) : value.toFixed(0));
const arrow = (id) => (metric(id).better === "lower" ? "↓" : "↑");
const heading = (id) => `${metric(id).short}${metric(id).describes ? "*" : ""} ${arrow(id)}`;

// A round step that gives about `count` ticks between two values.
function ticks(low, high, count = 5) {
  if (!(high > low)) return [low];
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const found = [];
  for (let t = Math.ceil(low / step); t <= Math.floor(high / step + 1e-9); t++) found.push(Number((t * step).toPrecision(10)));
  return found;
}

// cividis, sampled: dark blue to yellow; readable in grey and with any colour vision.
const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
function shade(part) {
  const index = Math.round((1 - Math.min(1, Math.max(0, part))) * (CIVIDIS.length - 1));
  return { background: CIVIDIS[index], color: index < 5 ? "#fff" : "#000" };
}
const LINES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8a8a8a"];
