// Ranks, intervals and tests of any choice of methods and metrics, with the patient as the unit: what fusionbench.stats
// does, on means by patient and the order of methods within each pair. Pure functions of a cohort; no page, no state.
const RESAMPLES = 1000;
const ALPHA = 0.05;
const ENOUGH = 5; // patients, for intervals
const DIGITS = [...Array(92).keys()].map((n) => String.fromCharCode(35 + n)).filter((c) => !"&<>\\".includes(c)).join("");

// Average ranks of values, 1 the best; null comes last.
function ranksOf(values, better) {
  const loss = values.map((v) => (v === null ? Infinity : better === "lower" ? v : -v));
  const order = [...loss.keys()].sort((i, j) => (loss[i] < loss[j] ? -1 : loss[i] > loss[j] ? 1 : 0));
  const ranks = new Array(values.length);
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to + 1 < order.length && loss[order[to + 1]] === loss[order[from]]) to++;
    for (let n = from; n <= to; n++) ranks[order[n]] = 1 + (from + to) / 2;
    from = to + 1;
  }
  return ranks;
}

// A mean over pairs that are not all defined ranks last.
const meanOf = (held, id, n) => (held.metrics[id].undefined?.[held.methods[n]] ? null : held.metrics[id].mean[n]);

// Mean rank over metrics of some contenders, and the rank that controls would have among them: [contenders, controls].
function meanRanks(held, metrics, own, controls) {
  const total = own.map(() => 0), beside = controls.map(() => 0);
  for (const id of metrics) {
    const { better } = metric(id);
    const values = own.map((n) => meanOf(held, id, n));
    ranksOf(values, better).forEach((rank, n) => { total[n] += rank; });
    const loss = (v) => (v === null ? Infinity : better === "lower" ? v : -v);
    controls.forEach((control, n) => {
      const value = loss(meanOf(held, id, control));
      for (const other of values) beside[n] += loss(other) < value ? 1 : loss(other) === value ? 0.5 : 0;
      beside[n] += 1;
    });
  }
  return [total, beside].map((sums) => sums.map((sum) => sum / metrics.length));
}

// Whether the page, with the file beside it, has what re-ranking needs.
const rerankable = (held, metrics) => !task().lost && metrics.every((id) => held.metrics[id]?.detail);

// (patients) lists of means by patient, a value a method, null where undefined.
function patientMeans(held, id) {
  const found = held.metrics[id], base = DIGITS.length;
  found.decoded ??= found.patients.codes.map((codes, p) => found.mean.map((mean, n) => {
    const steps = DIGITS.indexOf(codes[2 * n]) * base + DIGITS.indexOf(codes[2 * n + 1]);
    return mean === null || steps > DATA.levels ? null : mean + found.patients.low[p] + steps * found.patients.step[p];
  }));
  return found.decoded;
}

// (pairs) lists of positions, a value a contender; equal scores share one.
function pairOrders(held, id) {
  const found = held.metrics[id];
  if (!found.positions) {
    let last = new Array(held.contenders).fill(0);
    found.positions = found.orders.map((text) => {
      last = last.map((before, n) => {
        const code = text.charCodeAt(n);
        const step = code >= 256 ? DIGITS.length + code - 256 : DIGITS.indexOf(text[n]);
        return before + (step % 2 ? -(step + 1) / 2 : step / 2);
      });
      return last;
    });
  }
  return found.positions;
}

// Patient x contender: mean rank over the metrics within each pair, averaged over the patient's pairs.
function patientBlocks(held, metrics, own) {
  const sums = held.patients.map(() => own.map(() => 0)), pairs = held.patients.map(() => 0);
  held.of.forEach((patient) => { pairs[patient] += 1; });
  for (const id of metrics) {
    pairOrders(held, id).forEach((positions, pair) => {
      const ranks = ranksOf(own.map((n) => positions[n]), "lower");
      ranks.forEach((rank, n) => { sums[held.of[pair]][n] += rank; });
    });
  }
  return sums.map((row, p) => row.map((sum) => sum / metrics.length / pairs[p]));
}

// Mulberry32: the same numbers in every browser.
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const quantile = (sorted, q) => {
  const at = (sorted.length - 1) * q, low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
};

// Whole patients drawn anew: of each contender the interval of its mean rank and the shares of its places.
function bootstrap(held, metrics, own) {
  const number = held.patients.length, random = generator(0);
  const pairs = held.patients.map((_, p) => held.of.filter((patient) => patient === p).length);
  const parts = metrics.map((id) => ({
    better: metric(id).better, counts: held.metrics[id].counts ?? pairs, means: patientMeans(held, id),
    lost: own.map((n) => meanOf(held, id, n) === null),
  }));
  const drawn = own.map(() => new Float64Array(RESAMPLES)), places = own.map(() => new Float64Array(own.length + 1));
  for (let r = 0; r < RESAMPLES; r++) {
    const times = new Array(number).fill(0);
    for (let n = 0; n < number; n++) times[Math.floor(random() * number)] += 1;
    const total = new Float64Array(own.length);
    for (const { better, counts, means, lost } of parts) {
      const weights = times.map((t, p) => t * counts[p]), size = weights.reduce((x, y) => x + y, 0);
      const values = own.map((n, k) => {
        if (lost[k] || !size) return null;
        let sum = 0;
        for (let p = 0; p < number; p++) if (weights[p]) sum += weights[p] * means[p][n];
        return sum / size;
      });
      ranksOf(values, better).forEach((rank, k) => { total[k] += rank; });
    }
    const ranks = [...total].map((sum) => Math.round(1e9 * sum / metrics.length) / 1e9);
    ranks.forEach((rank, k) => { drawn[k][r] = rank; });
    const sorted = [...ranks].sort((x, y) => x - y);
    ranks.forEach((rank, k) => {
      const first = sorted.indexOf(rank), last = sorted.lastIndexOf(rank);
      for (let place = first; place <= last; place++) places[k][place + 1] += 1 / (last - first + 1) / RESAMPLES;
    });
  }
  const ends = drawn.map((values) => { values.sort(); return [quantile(values, 0.025), quantile(values, 0.975)]; });
  return { ends, places };
}

// Differences of every two contenders over patients: first and second, scaled differences by patient, statistic, sign.
function comparisons(blocks, size) {
  const found = [];
  for (let i = 0; i < size; i++) {
    for (let j = i + 1; j < size; j++) {
      const d = blocks.map((row) => row[i] - row[j]);
      const sum = d.reduce((x, y) => x + y, 0), norm = Math.sqrt(d.reduce((x, y) => x + y * y, 0)) || 1;
      found.push({ i, j, d: d.map((v) => v / norm), sum, observed: Math.abs(sum) / norm });
    }
  }
  return found;
}

// p of each step by sign flips of whole patients, step-down over comparisons that are sorted by their step (Westfall and
// Young): all flips where they are few, taken in Gray's order so that each changes one sign; else drawn ones.
function stepDown(sorted, steps, many) {
  const patients = sorted[0]?.d.length ?? 0, size = sorted.length;
  const exact = patients <= 16 && size * 2 ** (patients - 1) <= 6e7;
  const flips = exact ? 2 ** Math.max(0, patients - 1) : 2000, random = generator(0);
  const sums = Float64Array.from(sorted, ({ d }) => d.reduce((x, y) => x + y, 0));
  const columns = Array.from({ length: patients }, (_, p) => Float64Array.from(sorted, ({ d }) => d[p]));
  const signs = new Array(patients).fill(1), hits = new Float64Array(many), largest = new Float64Array(many);
  const top = (value) => {
    largest.fill(0);
    for (let c = 0; c < size; c++) { const v = value(c); if (v > largest[steps[c]]) largest[steps[c]] = v; }
    for (let s = many - 2; s >= 0; s--) if (largest[s + 1] > largest[s]) largest[s] = largest[s + 1];
  };
  top((c) => sorted[c].observed * (1 - 1e-9));
  const reached = Float64Array.from(largest);
  const flip = (p) => {
    signs[p] = -signs[p];
    const column = columns[p], change = 2 * signs[p];
    for (let c = 0; c < size; c++) sums[c] += change * column[c];
  };
  for (let n = 0; n < flips; n++) {
    if (exact && n) flip(31 - Math.clz32(n & -n));
    if (!exact) for (let p = 0; p < patients; p++) if (random() < 0.5) flip(p);
    top((c) => Math.abs(sums[c]));
    for (let s = 0; s < many; s++) if (largest[s] >= reached[s]) hits[s] += 1;
  }
  let least = 0;
  return Array.from(hits, (h) => { least = Math.max(least, exact ? h / flips : (1 + h) / (1 + flips)); return least; });
}

const smallestP = (patients) => (patients <= 20 ? Math.min(1, 2 ** (1 - patients)) : 1e-5);

// p that each contender is among the best (Hansen, Lunde and Nason, with sign flips); `names` break ties.
function confidenceSet(blocks, names) {
  const size = names.length, all = comparisons(blocks, size);
  if (size < 2) return names.map(() => 1);
  const worse = names.map(() => new Float64Array(size));
  for (const { i, j, sum, observed } of all) { worse[i][j] = Math.sign(sum) * observed; worse[j][i] = -worse[i][j]; }
  let left = [...names.keys()];
  const leaves = names.map(() => size - 1);
  for (let step = 0; step < size - 1; step++) {
    const badness = (m) => Math.max(...left.map((n) => worse[m][n]));
    const scored = left.map((m) => [badness(m), names[m], m]);
    const [, , out] = scored.reduce((x, y) => (y[0] > x[0] || (y[0] === x[0] && y[1] > x[1]) ? y : x));
    leaves[out] = step;
    left = left.filter((m) => m !== out);
  }
  const sorted = all.map((c) => ({ ...c, step: Math.min(leaves[c.i], leaves[c.j]) })).sort((x, y) => x.step - y.step);
  const p = [...stepDown(sorted, sorted.map((c) => c.step), size - 1), 1];
  return leaves.map((step) => p[step]);
}

// Every two contenders, (0, 1), (0, 2) ...: "b" the first is better, "w" worse, "n" not separable, "u" not decidable.
function verdictLetters(blocks, size) {
  if (smallestP(blocks.length) > ALPHA) return "u".repeat((size * (size - 1)) / 2);
  const all = comparisons(blocks, size), order = [...all.keys()].sort((x, y) => all[y].observed - all[x].observed || x - y);
  const p = stepDown(order.map((n) => all[n]), order.map((_, n) => n), order.length);
  const letters = new Array(all.length);
  order.forEach((n, at) => { letters[n] = p[at] > ALPHA ? "n" : all[n].sum < 0 ? "b" : "w"; });
  return letters.join("");
}

// Share of patients on whom the row is ahead of the column; ties count half.
function winRates(blocks, size) {
  const rate = (i, j) => blocks.reduce((sum, row) => sum + (row[i] < row[j] ? 1 : row[i] === row[j] ? 0.5 : 0), 0);
  return [...Array(size).keys()].map((i) => [...Array(size).keys()].map((j) => (i === j ? null : rate(i, j) / blocks.length)));
}
