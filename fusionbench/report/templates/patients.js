// What re-ranking needs of a task (means by patient, order of methods within each pair) lies in a file beside the page: a script,
// since from disk a browser lets a page read nothing else. It is fetched when the page has been drawn.
const coming = new Map(); // id of a task -> promise that its figures are here
const here = () => coming.get(task().id)?.here === true;

function withPatients() {
  const now = task();
  if (!coming.has(now.id)) {
    const promise = new Promise((resolve, reject) => {
      document.head.append(el("script", { src: now.patients, onload: resolve, onerror: () => { now.lost = true; reject(new Error(now.patients)); } }));
    });
    coming.set(now.id, promise);
    promise.then(() => { promise.here = true; }, () => {});
  }
  return coming.get(now.id);
}

// Called by the file: for each cohort, metric -> what is added to it.
window.fusionbenchPatients = (id, cohorts) => {
  const { cohorts: held } = DATA.tasks.find((t) => t.id === id);
  cohorts.forEach((metrics, n) => { for (const [name, found] of Object.entries(metrics)) Object.assign(held[n].metrics[name], found); });
};

function fetchPatients() {
  const fetched = () => { if (task().patients) withPatients().catch(() => {}); };
  if ("requestIdleCallback" in window) requestIdleCallback(fetched, { timeout: 3000 });
  else setTimeout(fetched, 1000);
}
