// Images from a folder of the reader's own disk: owners of the Harvard pairs see them in a page that may not hold them.
// The browser hands the files to this page; they are shown, and go nowhere.
const given = new Map(); // "task pair" -> {sources: {a, b}, fused: {method name: File}}
const urls = new Map(); // File -> its address in this page

const SOURCE_PATH = /(?:^|\/)((?:ct|pet|spect)-mri)\/(?:(?:train|test)\/)?(mri|ct|pet|spect)\/([^/]+)\.png$/i;
const FUSED_PATH = /(?:^|\/)(?:([^/]+)\/)?([^/]+)\/([^/]+)\/([^/]+)\.png$/i;

// Sources as PET-MRI/test/MRI/25015.png; fused images as fused/DATASET/TASK/METHOD/ID.png or METHOD/TASK/ID.png.
function takeFolder(files) {
  let taken = 0;
  const entry = (name, pair) => { const key = `${name} ${pair}`; if (!given.has(key)) given.set(key, { sources: {}, fused: {} }); return given.get(key); };
  const tasks = new Set(DATA.tasks.map((t) => t.id.split("/")[1]));
  for (const file of files) {
    const path = file.webkitRelativePath || file.name, source = path.match(SOURCE_PATH), fused = path.match(FUSED_PATH);
    if (source) {
      const [, name, part, pair] = source.map((text) => text.toLowerCase());
      entry(name, pair).sources[part === "mri" ? "a" : "b"] = file;
    } else if (fused && tasks.has(fused[2].toLowerCase())) {
      entry(fused[2].toLowerCase(), fused[4].toLowerCase()).fused[fused[3]] = file;
    } else if (fused && tasks.has(fused[3].toLowerCase())) {
      entry(fused[3].toLowerCase(), fused[4].toLowerCase()).fused[fused[2]] = file;
    } else continue;
    taken += 1;
  }
  return taken;
}

function addressOf(file) {
  if (!urls.has(file)) urls.set(file, URL.createObjectURL(file));
  return urls.get(file);
}

// The pairs of a task that the folder holds whole, as the viewer takes them. Fused images of the reader's own methods too.
function localPairs(which) {
  const name = which.id.split("/")[1];
  const pairs = which.cohorts[0]?.pairs ?? [];
  return pairs.flatMap((pair) => {
    const found = given.get(`${name} ${pair.toLowerCase()}`);
    if (!found?.sources.a || !found.sources.b) return [];
    const fused = Object.fromEntries(Object.keys(found.fused).filter((key) => which.methods[key]).map((key) => [key, key]));
    const file = (part) => found.fused[part] ?? found.sources[part === "a" ? "a" : "b"];
    return [{ id: `${pair} (your folder)`, group: "Your folder", color: which.sources[1] !== "CT", fused, url: (part) => addressOf(file(part)) }];
  });
}

function folderPicker() {
  const input = el("input", {
    type: "file", id: "folder", multiple: true, webkitdirectory: true,
    onchange: (event) => {
      const taken = takeFolder(event.target.files);
      drawCompare();
      tell(taken ? `${count(taken, "image")} of your folder can be looked at; none of them leaves this computer.` : "No image in this folder has a name that this page knows: PET-MRI/test/MRI/ID.png, or METHOD/PET-MRI/ID.png.");
    },
  });
  return el("p", { class: "folder" }, el("label", {}, "Images of your own folder: ", input),
    el("span", { class: "muted" }, " the Harvard pairs, a results folder, or METHOD/TASK/ID.png. They are shown here; nothing leaves this computer."));
}
