// The whole view lives in the address: #task=...&profile=...; what is as usual is left out.
function address() {
  const told = new URLSearchParams({ task: task().id, profile: profile().name });
  if (state.preset) told.set("only", state.preset);
  for (const key of state.methods ?? []) told.append("m", key);
  for (const id of state.metrics ?? []) told.append("metric", id);
  for (const id of state.columns) told.append("column", id);
  if (state.sort !== "rank" || state.down) told.set("sort", (state.down ? "-" : "") + state.sort);
  if (state.find) told.set("find", state.find);
  if (state.family) told.set("family", state.family);
  if (!state.controls) told.set("controls", "no");
  if (state.every) told.set("metrics", "all");
  if (state.method) told.set("method", state.method);
  return `#${told}`;
}

let written = ""; // the address that this page set itself, which is no news to it
function remember() {
  written = address();
  try { history.replaceState(null, "", written); } catch { /* a sandboxed frame has no history */ }
}

// Take the view from the address; names that this page does not know are passed over.
function recall() {
  const told = new URLSearchParams(location.hash.slice(1));
  const index = DATA.tasks.findIndex((t) => t.id === told.get("task"));
  state.task = Math.max(0, index);
  state.profile = Math.max(0, task().profiles.findIndex((p) => p.name === told.get("profile")));
  state.preset = told.get("only") in PRESETS ? told.get("only") : "";
  const keys = told.getAll("m").filter((key) => method(key)), ids = told.getAll("metric").filter((id) => cohort().metrics[id]);
  state.methods = keys.length ? new Set(keys) : null;
  state.metrics = ids.length ? ids : null;
  state.columns = new Set(told.getAll("column"));
  const sort = told.get("sort") ?? "rank";
  [state.sort, state.down] = [sort.replace(/^-/, ""), sort.startsWith("-")];
  state.find = told.get("find") ?? "";
  state.family = told.get("family") ?? "";
  state.controls = told.get("controls") !== "no";
  state.every = told.get("metrics") === "all";
  state.method = method(told.get("method")) ? told.get("method") : "";
}

// A link that is pasted into an open page, or taken back: the page follows.
function follow() {
  if (location.hash === written) return;
  recall();
  drawTask();
  if (state.method) openDetails(state.method);
  else if ($("details").open) $("details").close();
}
