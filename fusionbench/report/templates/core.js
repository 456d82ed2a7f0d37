// Data, state and small helpers. All text goes through textContent: names from the results never become markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const state = {
  task: 0, profile: 0, sort: "rank", down: false, find: "", family: "", controls: true, every: false,
  preset: "", methods: null, // null: all; else the keys that are ticked
  metrics: null, // null: the profile's core; else the ids that are ticked
  columns: new Set(), method: "", // columns asked for beside the usual ones; the method whose sheet is open
};

const $ = (id) => document.getElementById(id);
const task = () => DATA.tasks[state.task];
const profile = () => task().profiles[state.profile];
const cohort = () => task().cohorts[profile().cohort];
// Where a method stands in the lists of a cohort.
function positionOf(group, key) {
  group.position ??= new Map(group.methods.map((name, n) => [name, n]));
  return group.position.get(key) ?? -1;
}
const method = (key) => task().methods[key];
const metric = (id) => DATA.metrics[id];
const shared = (key, name) => DATA.shared[method(key)[name]]; // sheet, settings, cite: held once for all tasks

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined).map((c) => (c instanceof Node ? c : String(c))));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.map((c) => (c instanceof Node ? c : document.createTextNode(String(c)))));
  return node;
}

const fill = (id, ...children) => $(id).replaceChildren(...children.filter((c) => c !== null && c !== undefined));

function options(id, entries, chosen) {
  fill(id, ...entries.map(([value, text]) =>
    el("option", { value, selected: String(value) === String(chosen) }, text)));
}

const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const and = (names) => [names.slice(0, -1).join(", "), ...names.slice(-1)].filter(Boolean).join(" and ");

// "a, b and 3 more": as the sentences that Python writes.
function listed(names) {
  return and(names.length > 8 ? [...names.slice(0, 8), `${names.length - 8} more`] : names);
}

// A title too long for its place becomes its acronym, or else the name that is typed, or is cut.
function label(key, length) {
  const { title, short } = method(key);
  if (title.length <= length) return title;
  return short.length <= length ? short : `${title.slice(0, length - 1)}…`;
}

function number(value, decimals = 4) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) < 1e5 ? value.toFixed(decimals) : value.toFixed(0);
}

const heading = (id) => `${metric(id).short}${metric(id).describes ? "*" : ""} ${metric(id).better === "lower" ? "↓" : "↑"}`;

// A round step that gives about `many` ticks between two values.
function ticks(low, high, many = 5) {
  if (!(high > low)) return [low];
  const power = 10 ** Math.floor(Math.log10((high - low) / many));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= (high - low) / many);
  const found = [];
  for (let t = Math.ceil(low / step); t <= Math.floor(high / step + 1e-9); t++) found.push(Number((t * step).toPrecision(10)));
  return found;
}

// Okabe and Ito's colours, the readable ones; more lines are told apart by their dashes.
const LINES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];

// Where a document may not write to the clipboard, a hidden field is copied from.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = el("textarea", { "aria-hidden": "true" }, text);
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}

function tell(text) {
  fill("told", text);
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => fill("told"), 4000);
}

function save(name, type, content) {
  const link = el("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
