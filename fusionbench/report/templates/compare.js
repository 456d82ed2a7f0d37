// Sources and any two methods: a swipe between the two, all views zoomed and moved together, and their difference.
const view = { pair: 0, left: "", right: "", split: 0.5, zoom: 1, x: 0.5, y: 0.5, color: true, ticket: 0 };
const pixels = new Map(); // data URL -> promise of ImageData
const INFERNO = [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];
const GAIN = 64; // grey levels of difference that reach the top of the colour scale

const gallery = () => task().images;
const shownPair = () => gallery().pairs[view.pair];

function decode(url) {
  if (!pixels.has(url)) {
    const image = new Image();
    image.src = url;
    pixels.set(url, image.decode().then(() => {
      const canvas = el("canvas", { width: image.naturalWidth, height: image.naturalHeight });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      return context.getImageData(0, 0, canvas.width, canvas.height);
    }));
  }
  return pixels.get(url);
}

function onCanvas(data) {
  const canvas = el("canvas", { width: data.width, height: data.height });
  canvas.getContext("2d").putImageData(data, 0, 0);
  return canvas;
}

// Chroma of the coloured source put back onto a fused luminance, as the results' rgb/ images are made.
function recolour(grey, color) {
  if (!color || !view.color) return grey;
  const out = new ImageData(grey.width, grey.height);
  for (let i = 0; i < out.data.length; i += 4) {
    const luminance = 0.299 * color.data[i] + 0.587 * color.data[i + 1] + 0.114 * color.data[i + 2];
    for (let c = 0; c < 3; c++) out.data[i + c] = Math.round(grey.data[i] + color.data[i + c] - luminance);
    out.data[i + 3] = 255;
  }
  return out;
}

function difference(a, b) {
  const out = new ImageData(a.width, a.height);
  for (let i = 0; i < out.data.length; i += 4) {
    const at = Math.min(1, Math.abs(a.data[i] - b.data[i]) / GAIN) * (INFERNO.length - 1);
    const low = Math.min(Math.floor(at), INFERNO.length - 2);
    for (let c = 0; c < 3; c++) out.data[i + c] = INFERNO[low][c] + (at - low) * (INFERNO[low + 1][c] - INFERNO[low][c]);
    out.data[i + 3] = 255;
  }
  return out;
}

function panel(name, label, large = false) {
  const canvas = el("canvas", { "data-view": name, tabindex: 0, role: "img", "aria-label": `${label}. Arrow keys move, plus and minus zoom, 0 resets` });
  bindView(canvas);
  return { canvas, figure: el("figure", { class: large ? "view swipe" : "view" }, canvas, el("figcaption", { "data-caption": name }, label)) };
}

function bindView(canvas) {
  let grip = null;
  canvas.addEventListener("wheel", (event) => { if (!event.ctrlKey && !event.shiftKey && view.zoom === 1 && event.deltaY > 0) return; event.preventDefault(); zoomBy(event.deltaY < 0 ? 1.25 : 0.8); }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => { grip = [event.clientX, event.clientY]; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointerup", () => { grip = null; });
  canvas.addEventListener("pointercancel", () => { grip = null; });
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    readout((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    if (!grip) return;
    if (canvas.dataset.view === "swipe" && view.zoom === 1) setSplit((event.clientX - box.left) / box.width);
    else moveBy((grip[0] - event.clientX) / box.width / view.zoom, (grip[1] - event.clientY) / box.height / view.zoom);
    grip = [event.clientX, event.clientY];
  });
  canvas.addEventListener("keydown", (event) => {
    const step = 0.1 / view.zoom;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (moves[event.key]) moveBy(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") zoomBy(1.25);
    else if (event.key === "-") zoomBy(0.8);
    else if (event.key === "0") setZoom(1);
    else return;
    event.preventDefault();
  });
}

function setSplit(part) {
  view.split = Math.min(1, Math.max(0, part));
  const slider = $("split");
  slider.value = Math.round(view.split * 100);
  slider.setAttribute("aria-valuetext", `${slider.value} % ${method(view.left).title}`);
  paint();
}

function setZoom(zoom) {
  view.zoom = Math.min(12, Math.max(1, zoom));
  $("zoom").value = view.zoom;
  moveBy(0, 0);
}
const zoomBy = (factor) => setZoom(view.zoom * factor);

function moveBy(dx, dy) {
  const half = 0.5 / view.zoom;
  view.x = Math.min(1 - half, Math.max(half, view.x + dx));
  view.y = Math.min(1 - half, Math.max(half, view.y + dy));
  paint();
}

let layers = null; // what is on show: name -> canvas, and the grey levels behind them
async function loadLayers() {
  const ticket = ++view.ticket;
  const entry = shownPair();
  const [a, b, color, left, right] = await Promise.all([entry.a, entry.b, entry.color, entry.fused[view.left], entry.fused[view.right]].map((url) => (url ? decode(url) : null)));
  if (ticket !== view.ticket) return; // a later choice has overtaken this one
  layers = {
    grey: { a, b, left, right },
    canvas: { a: onCanvas(a), b: onCanvas(color && view.color ? color : b), left: onCanvas(recolour(left, color)), right: onCanvas(recolour(right, color)), difference: onCanvas(difference(left, right)) },
  };
  const names = { a: task().sources[0], b: task().sources[1], left: method(view.left).title, right: method(view.right).title, difference: `Difference (0 to ${GAIN} or more levels)` };
  for (const [name, text] of Object.entries(names)) {
    const caption = $("compare").querySelector(`[data-caption="${name}"]`);
    if (caption) caption.textContent = text;
  }
  fill("swipe-names", el("span", {}, `◧ ${label(view.left, 26)}`), el("span", {}, `${label(view.right, 26)} ◨`));
  paint();
  $("compare").dataset.ready = `${entry.id}|${view.left}|${view.right}`;
}

function paint() {
  if (!layers) return;
  for (const canvas of $("compare").querySelectorAll("canvas[data-view]")) {
    const name = canvas.dataset.view;
    const source = layers.canvas[name === "swipe" ? "left" : name];
    const width = Math.max(1, Math.round(canvas.clientWidth * (window.devicePixelRatio || 1)));
    const height = Math.round((width * source.height) / source.width);
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = view.zoom < 3;
    const w = source.width / view.zoom, h = source.height / view.zoom;
    const draw = (image) => context.drawImage(image, view.x * source.width - w / 2, view.y * source.height - h / 2, w, h, 0, 0, width, height);
    context.clearRect(0, 0, width, height);
    draw(source);
    if (name === "swipe") {
      const at = Math.round(view.split * width);
      context.save();
      context.beginPath();
      context.rect(at, 0, width - at, height);
      context.clip();
      draw(layers.canvas.right);
      context.restore();
      context.fillStyle = "#fff";
      context.fillRect(at - 1, 0, 2, height);
    }
  }
}

function readout(px, py) {
  if (!layers) return;
  const { a, b, left, right } = layers.grey;
  const x = Math.floor((view.x + (px - 0.5) / view.zoom) * a.width), y = Math.floor((view.y + (py - 0.5) / view.zoom) * a.height);
  if (x < 0 || y < 0 || x >= a.width || y >= a.height) return;
  const level = (image) => image.data[4 * (y * image.width + x)];
  fill("readout", `x ${x}, y ${y}: ${task().sources[0]} ${level(a)}, ${task().sources[1]} ${level(b)}, ${method(view.left).title} ${level(left)}, ${method(view.right).title} ${level(right)}`);
}

function drawCompare() {
  layers = null;
  delete $("compare").dataset.ready;
  if (!gallery() || gallery().reason) {
    fill("compare", el("p", { class: "card muted" }, `No images here: ${gallery()?.reason ?? "none were at hand when this page was written"}.`));
    return;
  }
  view.pair = Math.min(view.pair, gallery().pairs.length - 1);
  const keys = ranked().filter((key) => gallery().pairs.every((entry) => entry.fused[key]));
  const rest = Object.keys(task().methods).filter((key) => !keys.includes(key) && gallery().pairs.every((entry) => entry.fused[key]));
  const choices = [...keys, ...rest];
  if (!choices.includes(view.left)) view.left = choices[0];
  if (!choices.includes(view.right) || view.right === view.left) view.right = choices.find((key) => key !== view.left) ?? view.left;
  const entries = choices.map((key) => [key, method(key).title + (method(key).control ? " (control)" : "")]);
  const select = (id, label, entries, chosen, change) => el("label", {}, label, el("select", { id, onchange: (event) => { change(event.target.value); loadLayers(); } }, ...entries.map(([value, text]) => el("option", { value, selected: String(value) === String(chosen) }, text))));
  const swipe = panel("swipe", "Left method over right method", true);
  swipe.canvas.style.cursor = "ew-resize";
  swipe.figure.replaceChildren(el("div", { id: "swipe-names", class: "names" }), swipe.canvas,
    el("input", { id: "split", type: "range", min: 0, max: 100, value: 50, "aria-label": "Swipe between the two methods", oninput: (event) => setSplit(event.target.value / 100) }));
  const small = ["a", "b", "difference", "left", "right"].map((name) => panel(name, name));
  small[2].figure.append(el("div", { class: "legend", role: "presentation" }));
  const coloured = gallery().pairs.some((entry) => entry.color);
  fill("compare",
    el("div", { class: "viewer-bar" },
      select("pair", "Pair", gallery().pairs.map((entry, n) => [n, entry.id]), view.pair, (value) => { view.pair = Number(value); }),
      select("left", "Left", entries, view.left, (value) => { view.left = value; }),
      select("right", "Right", entries, view.right, (value) => { view.right = value; }),
      el("button", { type: "button", id: "swap", onclick: () => { [view.left, view.right] = [view.right, view.left]; [$("left").value, $("right").value] = [view.left, view.right]; loadLayers(); } }, "⇄ Swap"),
      el("label", {}, "Zoom", el("input", { id: "zoom", type: "range", min: 1, max: 12, step: 0.25, value: view.zoom, oninput: (event) => setZoom(Number(event.target.value)) })),
      el("button", { type: "button", id: "reset", onclick: () => { view.x = view.y = 0.5; setZoom(1); } }, "Whole image"),
      coloured ? el("label", { class: "tick" }, el("input", { type: "checkbox", id: "colour", checked: view.color, onchange: (event) => { view.color = event.target.checked; loadLayers(); } }), "Colour") : null),
    el("div", { class: "viewer card" }, swipe.figure, ...small.map((s) => s.figure), el("p", { id: "readout", class: "readout" }, "Point at an image to read its grey levels. Drag to swipe, or to move when zoomed; wheel or + and − zoom all views together.")),
    el("p", { class: "muted" }, `Pictures are WebP at quality ${gallery().quality}: differences of a level or two are compression. The scores come from the lossless files.`));
  loadLayers();
}
window.addEventListener("resize", () => paint());
