// Sources and any two methods: a swipe between the two, all views zoomed and moved together, and their difference.
// Everything is drawn by the canvas's own blending, which works on files of a disk too, where a browser lets no script read pixels.
const look = { pair: "", left: "", right: "", split: 0.5, zoom: 1, x: 0.5, y: 0.5, color: true, ticket: 0, task: "" };
const loaded = new Map(); // address -> promise of a picture

// Pairs at hand: those beside the page, and those of a folder that the reader gave. Each: id, title, url(name), color, fused.
function gallery() {
  const own = task().images ?? {};
  const beside = (entry) => ({ ...entry, url: (name) => `${entry.folder}/${name}.webp` });
  return [...(own.pairs ?? []).map(beside), ...localPairs(task()), ...(own.findings ?? []).map(beside)];
}

function picture(url) {
  if (!loaded.has(url)) {
    const image = new Image();
    image.src = url;
    loaded.set(url, image.decode().then(() => image));
    if (loaded.size > 200) loaded.delete(loaded.keys().next().value);
  }
  return loaded.get(url);
}

function sheet(width, height, paint) {
  const canvas = el("canvas", { width, height });
  paint(canvas.getContext("2d"), canvas);
  return canvas;
}

// A fused luminance with the hue of the coloured source; a source in grey where colour is off.
function shown(image, color, grey) {
  return sheet(image.naturalWidth, image.naturalHeight, (to, { width, height }) => {
    to.drawImage(image, 0, 0);
    if (color && look.color) {
      to.globalCompositeOperation = "color";
      to.drawImage(color, 0, 0, width, height);
    } else if (grey) {
      to.globalCompositeOperation = "saturation";
      to.fillStyle = "#000";
      to.fillRect(0, 0, width, height);
    }
  });
}

// |left - right|, four times as bright: 64 levels are white.
function difference(left, right) {
  const once = sheet(left.naturalWidth, left.naturalHeight, (to) => {
    to.drawImage(left, 0, 0);
    to.globalCompositeOperation = "difference";
    to.drawImage(right, 0, 0);
  });
  return sheet(once.width, once.height, (to) => {
    to.globalCompositeOperation = "lighter";
    for (let n = 0; n < 4; n++) to.drawImage(once, 0, 0);
  });
}

const SOURCES = ["a", "b"];
const choiceName = (name) => (SOURCES.includes(name) ? task().sources[SOURCES.indexOf(name)] : method(name)?.title ?? name);
const fileOf = (entry, name) => (SOURCES.includes(name) ? (name === "b" && entry.color ? "color" : name) : entry.fused[name]);

let imagesSeen = false;
let layers = null; // what is on show: name -> canvas; `grey`: the pictures behind them
async function loadLayers() {
  const ticket = ++look.ticket, entry = gallery().find((e) => e.id === look.pair), host = $("compare");
  delete host.dataset.ready;
  const names = ["a", "b", entry.color ? "color" : null, fileOf(entry, look.left), fileOf(entry, look.right)];
  let a, b, color, left, right;
  try {
    [a, b, color, left, right] = await Promise.all(names.map((name) => (name ? picture(entry.url(name)) : null)));
  } catch {
    if (ticket === look.ticket) fill("readout", "These images could not be read; the page looks for them in the folder images/ beside it.");
    return;
  }
  if (ticket !== look.ticket) return; // a later choice has overtaken this one
  const draw = (image, name) => (SOURCES.includes(name) ? shown(image, null, !look.color) : shown(image, color, false));
  const grey = (image, name) => (name === "b" ? b : image); // levels are compared, not colours
  layers = {
    grey: { a, b, left: grey(left, look.left), right: grey(right, look.right) },
    canvas: { a: shown(a), b: shown(color ?? b, null, !look.color), left: draw(left, look.left), right: draw(right, look.right), difference: difference(grey(left, look.left), grey(right, look.right)) },
  };
  const titles = { a: task().sources[0], b: task().sources[1], left: choiceName(look.left), right: choiceName(look.right), difference: "Difference of the two; white: 64 levels or more" };
  for (const [name, text] of Object.entries(titles)) for (const caption of host.querySelectorAll(`[data-caption="${name}"]`)) caption.textContent = text;
  fill("swipe-names", el("span", {}, `◧ ${titles.left}`), el("span", {}, `${titles.right} ◨`));
  paint();
  host.dataset.ready = [entry.id, look.left, look.right].join("|");
}

function paint() {
  if (!layers) return;
  for (const canvas of $("compare").querySelectorAll("canvas[data-view]")) {
    const name = canvas.dataset.view, source = layers.canvas[name === "swipe" ? "left" : name];
    const width = Math.max(1, Math.round(canvas.clientWidth * (devicePixelRatio || 1))), height = Math.round((width * source.height) / source.width);
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const to = canvas.getContext("2d"), w = source.width / look.zoom, h = source.height / look.zoom;
    to.imageSmoothingEnabled = look.zoom < 3;
    const draw = (image) => to.drawImage(image, look.x * source.width - w / 2, look.y * source.height - h / 2, w, h, 0, 0, width, height);
    to.clearRect(0, 0, width, height);
    draw(source);
    if (name !== "swipe") continue;
    const at = Math.round(look.split * width);
    to.save();
    to.beginPath();
    to.rect(at, 0, width - at, height);
    to.clip();
    draw(layers.canvas.right);
    to.restore();
    to.fillStyle = "#fff";
    to.fillRect(at - 1, 0, 2, height);
  }
}

function setSplit(part) {
  look.split = Math.min(1, Math.max(0, part));
  $("split").value = Math.round(look.split * 100);
  $("split").setAttribute("aria-valuetext", `${Math.round(look.split * 100)} % ${choiceName(look.left)}`);
  paint();
}

function setZoom(zoom) {
  look.zoom = Math.min(12, Math.max(1, zoom));
  $("zoom").value = look.zoom;
  moveBy(0, 0);
}

function moveBy(dx, dy) {
  const half = 0.5 / look.zoom;
  look.x = Math.min(1 - half, Math.max(half, look.x + dx));
  look.y = Math.min(1 - half, Math.max(half, look.y + dy));
  paint();
}

function readout(px, py) {
  if (!layers) return;
  const { a } = layers.grey, x = Math.floor((look.x + (px - 0.5) / look.zoom) * a.naturalWidth), y = Math.floor((look.y + (py - 0.5) / look.zoom) * a.naturalHeight);
  if (x < 0 || y < 0 || x >= a.naturalWidth || y >= a.naturalHeight) return;
  const level = (image) => {
    layers.pixels ??= new Map();
    if (!layers.pixels.has(image)) layers.pixels.set(image, sheet(image.naturalWidth, image.naturalHeight, (to) => to.drawImage(image, 0, 0)).getContext("2d"));
    return layers.pixels.get(image).getImageData(x, y, 1, 1).data[0];
  };
  try {
    const { b, left, right } = layers.grey;
    fill("readout", `x ${x}, y ${y}: ${task().sources[0]} ${level(a)}, ${task().sources[1]} ${level(b)}, ${choiceName(look.left)} ${level(left)}, ${choiceName(look.right)} ${level(right)}`);
  } catch {
    fill("readout", "From disk a browser lets no page read grey levels; served over http, or from a folder that you choose, they are told here.");
  }
}

function bindView(canvas) {
  let grip = null;
  const at = (event) => { const box = canvas.getBoundingClientRect(); return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, box]; };
  canvas.addEventListener("wheel", (event) => {
    if (look.zoom === 1 && event.deltaY > 0) return;
    event.preventDefault();
    setZoom(look.zoom * (event.deltaY < 0 ? 1.25 : 0.8));
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => { grip = [event.clientX, event.clientY]; canvas.setPointerCapture(event.pointerId); });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { grip = null; });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y, box] = at(event);
    readout(x, y);
    if (!grip) return;
    if (canvas.dataset.view === "swipe" && look.zoom === 1) setSplit(x);
    else moveBy((grip[0] - event.clientX) / box.width / look.zoom, (grip[1] - event.clientY) / box.height / look.zoom);
    grip = [event.clientX, event.clientY];
  });
  canvas.addEventListener("keydown", (event) => {
    const step = 0.1 / look.zoom, moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (moves[event.key]) moveBy(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") setZoom(look.zoom * 1.25);
    else if (event.key === "-") setZoom(look.zoom * 0.8);
    else if (event.key === "0") setZoom(1);
    else return;
    event.preventDefault();
  });
}

function panel(name, large = false) {
  const canvas = el("canvas", { "data-view": name, tabindex: 0, role: "img", width: 256, height: 256, "aria-label": `${name}; arrow keys move, plus and minus zoom, 0 resets` });
  bindView(canvas);
  return el("figure", { class: large ? "view swipe" : "view" }, ...(large ? [el("div", { id: "swipe-names", class: "names" })] : []), canvas,
    large ? el("input", { id: "split", type: "range", min: 0, max: 100, value: 50, "aria-label": "Swipe between the two", oninput: (event) => setSplit(event.target.value / 100) }) : el("figcaption", { "data-caption": name }, name));
}

const pick = (id, text, groups, value, change) => el("label", {}, text, el("select", { id, onchange: (event) => { change(event.target.value); drawCompare(); } },
  ...Object.entries(groups).filter(([, entries]) => entries.length).map(([name, entries]) => el("optgroup", { label: name },
    ...entries.map(([key, title]) => el("option", { value: key, selected: key === value }, title))))));

// The viewer of the present task; drawn when it is scrolled to.
function drawCompare() {
  layers = null;
  const entries = gallery(), host = $("compare");
  delete host.dataset.ready;
  host.replaceChildren(folderPicker());
  if (task().images?.reason) host.append(el("p", { class: "muted" }, `No images of this board here: ${task().images.reason}.`));
  if (!entries.length) return;
  if (look.task !== task().id) Object.assign(look, { task: task().id, pair: "", left: "", right: "", x: 0.5, y: 0.5, zoom: 1 });
  const entry = entries.find((e) => e.id === look.pair) ?? entries[0];
  look.pair = entry.id;
  const keys = [...view().order, ...Object.keys(task().methods)].filter((key, n, all) => entry.fused[key] && all.indexOf(key) === n);
  const names = [...keys, ...SOURCES];
  if (!names.includes(look.left)) look.left = names[0];
  if (!names.includes(look.right) || look.right === look.left) look.right = names.find((name) => name !== look.left);
  const methods = { Methods: keys.map((key) => [key, method(key).title]), Sources: SOURCES.map((name) => [name, choiceName(name)]) };
  const pairs = {};
  for (const e of entries) (pairs[e.group ?? "This board"] ??= []).push([e.id, e.title ?? e.id]);
  host.append(el("div", { class: "bar" },
    pick("pair", "Pair", pairs, look.pair, (value) => { look.pair = value; }),
    pick("left", "Left", methods, look.left, (value) => { look.left = value; }),
    pick("right", "Right", methods, look.right, (value) => { look.right = value; }),
    el("button", { type: "button", id: "swap", onclick: () => { [look.left, look.right] = [look.right, look.left]; drawCompare(); } }, "⇄ Swap"),
    el("label", {}, "Zoom", el("input", { id: "zoom", type: "range", min: 1, max: 12, step: 0.25, value: look.zoom, oninput: (event) => setZoom(Number(event.target.value)) })),
    el("button", { type: "button", id: "reset", onclick: () => { look.x = look.y = 0.5; setZoom(1); } }, "Whole image"),
    entry.color ? el("label", { class: "tick" }, el("input", { type: "checkbox", id: "colour", checked: look.color, onchange: (event) => { look.color = event.target.checked; loadLayers(); } }), "Colour") : null),
  el("div", { class: "viewer" }, panel("swipe", true), panel("a"), panel("b"), panel("difference"), panel("left"), panel("right")),
  el("p", { id: "readout", class: "readout muted" }, "Point at an image to read its grey levels. Drag to swipe, or to move when zoomed; wheel or + and − zoom all views together."));
  loadLayers();
}

function startImages() {
  window.addEventListener("resize", () => paint());
  if (!("IntersectionObserver" in window)) return;
  new IntersectionObserver((entries) => {
    imagesSeen = entries.at(-1).isIntersecting;
    if (imagesSeen && $("compare").dataset.task !== task().id) showImages();
  }, { rootMargin: "200px" }).observe($("images"));
}

function showImages() {
  $("compare").dataset.task = task().id;
  drawCompare();
}

// Another task: what is on the screen follows at once, else when it is scrolled to.
function imagesChanged() {
  layers = null;
  delete $("compare").dataset.task;
  $("compare").classList.toggle("full", gallery().length > 0);
  if (!("IntersectionObserver" in window) || imagesSeen) showImages();
}
