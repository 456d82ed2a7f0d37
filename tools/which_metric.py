"""The page docs/metrics/which.md from docs/metrics/published.csv (written by tools/score_published.py) and from
docs/metrics/validation.csv (tools/validation.py): no image is read."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scipy import stats

from fusionbench.metrics import METRICS, PROFILES
from fusionbench.report.verdicts import and_
from fusionbench.scores import Column
from fusionbench.stats.conventions import Comparison, compare_means

TABLE = Path(__file__).resolve().parents[1] / "docs" / "metrics" / "published.csv"
VALIDATION = TABLE.with_name("validation.csv")
DECIDE = {"CT-MRI": "lesion/ct-mri", "PET-MRI": "lesion/pet-mri"}
OBSERVED = DECIDE | {"SPECT-MRI": "lesion/spect-mri"}
COPIES = ("MRI alone", "other alone")
CONTROLS = ("average", "maximum", *COPIES)
# What the page advises: a question each, so that no two answer the same one.
ADVICE = {
    "ms-ssim": "Is structure at several scales that of the sources?",
    "cc@worst": "Do grey levels follow both sources, and the one less followed too?",
    "viff": "Is what either source shows at a place still visible there?",
    "ssim@strict": "Are local structures those of the sources? Inside the foreground too.",
}
Means = Mapping[str, Mapping[str, float]]


def read_means() -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, int]]:
    """(task -> method -> column -> mean, NaN where undefined or not scored; task -> number of pairs)."""
    results: dict[str, dict[str, dict[str, float]]] = {}
    pairs = {}
    with TABLE.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            task, method, count = row.pop("task"), row.pop("method"), row.pop("pairs")
            pairs[task] = int(count)
            results.setdefault(task, {})[method] = {c: float(v) if v else math.nan for c, v in row.items()}
    return results, pairs


def customary(column: str) -> str:
    return METRICS[Column.parse(column).metric].facts.customary


def columns_of(means: Means) -> list[str]:
    """Columns that at least half of the methods have, in the table's order."""
    columns = list(next(iter(means.values())))
    return [c for c in columns if 2 * sum(not math.isnan(s[c]) for s in means.values()) >= len(means)]


def best_control(means: Means, column: str) -> tuple[str, int, int]:
    """(best control, published methods that it beats, published methods)."""
    sign = 1 if customary(column) == "higher" else -1
    known = {m: sign * s[column] for m, s in means.items() if not math.isnan(s[column])}
    best = max((m for m in known if m in CONTROLS), key=lambda m: known[m])
    methods = [m for m in known if m not in CONTROLS]
    return best, sum(known[best] > known[m] for m in methods), len(methods)


def rho(means: Means, first: str, second: str) -> float:
    """Spearman correlation over published methods of two columns, each in the direction that papers rank by."""
    methods = [m for m in means if m not in CONTROLS and not any(math.isnan(means[m][c]) for c in (first, second))]
    signs = [1 if customary(c) == "higher" else -1 for c in (first, second)]
    values = [[sign * means[m][c] for m in methods] for c, sign in zip((first, second), signs, strict=True)]
    return float(stats.spearmanr(*values).statistic)


def _cell(means: Means, column: str) -> str:
    if column not in columns_of(means):
        return "-"
    name, beaten, of = best_control(means, column)
    text = f"{beaten} of {of} ({name})"
    return f"**{text}**" if beaten == of else text


def controls_table(results: Mapping[str, Means], columns: Sequence[str]) -> list[str]:
    lines = [f"| metric | {' | '.join(results)} |", "| --- |" + " --- |" * len(results)]
    return lines + [f"| `{c}` | {' | '.join(_cell(means, c) for means in results.values())} |" for c in columns]


def _leaders(results: Mapping[str, Means], column: str) -> list[str]:
    """The controls that beat every published method in some task."""
    held = [best_control(m, column) for m in results.values() if column in columns_of(m)]
    return list(dict.fromkeys(name for name, beaten, of in held if beaten == of))


def read_agreement() -> dict[str, dict[str, tuple[float, float, float]]]:
    """Task of ``lesion`` -> metric -> Kendall's tau with what an observer finds, and the ends of its interval."""
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    with VALIDATION.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            own = found.setdefault(row["task"], {})
            own[row["metric"]] = (float(row["tau"]), float(row["tau_low"]), float(row["tau_high"]))
    return found


def _tau(agreement: Mapping[str, tuple[float, float, float]], metric: str) -> str:
    if metric not in agreement:
        return "-"
    return "{:+.2f} [{:+.2f}, {:+.2f}]".format(*agreement[metric]).replace("-", "\N{MINUS SIGN}")


def _opposing(agreement: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> list[str]:
    """The metrics whose interval lies below 0 in a task that decides."""
    return list(dict.fromkeys(m for task in DECIDE.values() for m, (_, _, high) in agreement[task].items() if high < 0))


def _check_advice(results: Mapping[str, Means], opposing: Sequence[str]) -> None:
    copied = [c for c in ADVICE if any(name in COPIES for name in _leaders(results, c))]
    if wrong := [*copied, *(c for c in ADVICE if c in opposing)]:
        raise ValueError(
            f"the page advises {wrong}, on which a copy of a source beats every published method or which opposes the "
            "observer; change ADVICE"
        )


def _advice(results: Mapping[str, Means]) -> list[str]:
    columns = list(dict.fromkeys(c for means in results.values() for c in columns_of(means)))
    directed = [c for c in columns if METRICS[Column.parse(c).metric].facts.direction != "describes"]
    led = [c for c in directed if _leaders(results, c)]
    agreement = read_agreement()
    opposing = _opposing(agreement)
    _check_advice(results, opposing)
    moves = ", ".join(f"{rho(means, 'viff', 'sd'):.2f} in {task}" for task, means in results.items())
    taus = {c: [_tau(agreement[place], c) for place in OBSERVED.values()] for c in ADVICE}
    agree = [c for c in ADVICE if all(agreement[place][c][1] > 0 for place in OBSERVED.values())]
    mixed = [c for c in ADVICE if _leaders(results, c)]
    averaged = f"; on {and_([f'`{c}`' for c in mixed])} the plain average does" if mixed else ""
    known = [c for c in ("qabf", "qabf@petrovic", "vif", "mi", "fmi@pixel", "ssim", "qcb", "qcv") if c in opposing]
    return [
        "## The short answer",
        "",
        "**Ask an observer first**: `fusionbench observe` tells whether findings of known truth can be made in the fused "
        "images ([observers](../observers.md)). No metric replaces it: by a rule written down before the comparison was "
        "made, [no profile is recommended](validation.md).",
        "",
        "Then report these, each under its id, with the four controls in the same table. Tau: agreement with the observer "
        "over 22 methods, with its 95 % interval.",
        "",
        f"| id | question | {' | '.join(f'tau, {task}' for task in OBSERVED)} |",
        "| --- | --- |" + " --: |" * len(OBSERVED),
        *(f"| `{name}` | {question} | {' | '.join(taus[name])} |" for name, question in ADVICE.items()),
        "| `ciede2000`, `tracer-correlation` | Are colour and order of intensities still the tracer's? | | | |",
        "| `lesion-recovery`, `tissue-edge-recall` | Phantom pairs, where the truth is known. | | | |",
        "",
        f"Why these: {and_([f'`{c}`' for c in agree])} {'agrees' if len(agree) == 1 else 'agree'} with the observer beyond "
        "chance in all three tasks; the others ask different questions and at least do not oppose it. On none does a copy "
        f"of a source beat every published method{averaged}. None is a yardstick to train by.",
        "",
        f"Why not the usual ones: {len(opposing)} metrics order methods against the observer beyond chance in CT-MRI or "
        f"PET-MRI, {', '.join(f'`{c}`' for c in known)} among them. And on {len(led)} of the {len(directed)} directed "
        "columns scored below a control (a plain average, a maximum, a copy of one source) beats every published method in "
        "some task (bold in the table). Such a number may describe an image; it cannot show that one method fuses better "
        "than another. Report it for comparison with older tables only, and say which control leads.",
        "",
        "`psnr@meandb` only seems to escape: a copy of a source has an infinite value under it. Even the advised ones put a "
        "control ahead of many published methods: keep the controls in sight. `viff` moves with `sd` (Spearman "
        f"{moves}): contrast stretching raises it too.",
        "",
        "1. Name the convention or the profile with every number: below are the rankings that turn over without it.",
        "2. EN, SD, SF, AG, EI and MLI describe an image. Noise and stretching raise them; do not rank by them.",
        "3. Take one metric from a group that moves together (below), not five.",
        "4. Most of a slice is background: score inside the foreground too (`--mask foreground`).",
        "5. `fusionbench sensitivity` makes these tables of your own results; every leaderboard has the controls.",
        "",
        "## How many published methods the best control beats",
        "",
        *controls_table(results, directed),
        "",
    ]


def conventions_table(comparisons: Iterable[Comparison]) -> str:
    """A table, one row a comparison; a leading control is named after the winner."""
    lines = ["| heading | convention | other convention | Kendall tau | winner | winner under the other |"]
    lines.append("| --- | --- | --- | ---: | --- | --- |")
    for c in comparisons:
        winners = [
            winner + (f" (behind {', '.join(ahead)})" if ahead else "")
            for winner, ahead in zip(c.winners, c.leading_controls, strict=True)
        ]
        lines.append(f"| {c.metric} | {c.first} | {c.second} | {c.tau:.2f} | {winners[0]} | {winners[1]} |")
    return "\n".join(lines) + "\n"


def _task(task: str, means: Means, count: int) -> list[str]:
    columns = columns_of(means)
    known = {c: Column.parse(c, {c: {"customary": customary(c)}}) for c in columns}
    unstable = [c for c in compare_means(means, known, controls=CONTROLS) if not c.tau >= 0.9]
    core = [*(c for c in PROFILES["dmfnet"].metrics if c in columns), *(c for c in ADVICE if c in columns)]
    core = list(dict.fromkeys(core))
    same = [(rho(means, x, y), x, y) for i, x in enumerate(core) for y in core[i + 1 :]]
    lines = [
        f"## {task} ({count} pairs)",
        "",
        "### Conventions that rank methods differently (Kendall tau below 0.9)",
        "",
    ]
    lines += [
        conventions_table(unstable).rstrip(),
        "",
        "### Metrics that say the same (Spearman over methods, 0.85 and more)",
        "",
    ]
    lines += ["| metric | metric | rho |", "| --- | --- | ---: |"]
    lines += [f"| {x} | {y} | {value:.2f} |" for value, x, y in sorted(same, reverse=True) if value >= 0.85]
    among = [(rho(means, x, y), x, y) for i, x in enumerate(ADVICE) for y in list(ADVICE)[i + 1 :]]
    strongest = max(among)
    lines += [
        "",
        f"Strongest correlation among the advised: {strongest[0]:.2f} ({strongest[1]}, {strongest[2]}).",
        "",
    ]
    return lines


def page() -> str:
    """The Markdown text. Raises ValueError where the recommendation no longer follows from the table."""
    results, pairs = read_means()
    methods = {m for means in results.values() for m in means if m not in CONTROLS}
    lines = [
        "# Which metric should I report?",
        "",
        f"Evidence: released outputs of {len(methods)} published methods and four controls on Harvard test pairs "
        f"({', '.join(f'{task}: {count}' for task, count in pairs.items())}), scored by `tools/score_published.py`; the "
        "means are in [published.csv](published.csv), and this page is computed from them.",
        "",
        *_advice(results),
    ]
    for task, means in results.items():
        lines += _task(task, means, pairs[task])
    return "\n".join(lines).rstrip() + "\n"
