"""Which metric knows whether the findings can be made: docs/metrics/validation.md and its figure, from committed scores.

    python tools/validation.py --collect RUN      # mean scores of RUN (a results folder) into results/validation
    python tools/validation.py --collect RUN --graded   # the same of tools/graded.py's images, with what was observed
    python tools/validation.py [--check]

Scores are the means over the first 20 pairs of each task of ``lesion`` (docs/observers.md has the rule); the truth is what
results/truth holds. The profile ``recommended`` is what the rule makes of them: a test compares the two.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from fusionbench.files import write_text
from fusionbench.metrics import METRICS
from fusionbench.report.figures import save
from fusionbench.report.validation import (
    Validated,
    csv_text,
    forest,
    kept_means,
    read_means,
    recommend,
    validate,
    write_means,
)

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
PAGE = ROOT / "docs" / "metrics" / "validation.md"
TABLE = PAGE.with_suffix(".csv")
FIGURE = ROOT / "docs" / "figures" / "validation"
DECIDE = ("lesion/ct-mri", "lesion/pet-mri")
CHECK = "lesion/spect-mri"
KEPT = RESULTS / "validation"
GRADED = KEPT / "graded"
SETS = {"methods": (RESULTS, KEPT), "graded": (GRADED, GRADED)}
"""Where truth and mean scores of each kind lie. Graded images are on no board, so their truth is apart from the methods'."""

YARDSTICKS = {
    "joint area, `cho`": ("cho", "joint"),
    "efficiency, the smaller of the two": ("cho", "efficiency"),
    "four states named rightly": ("cho", "states"),
    "joint area, `dog` (bands of the eye, a reader's noise)": ("dog", "joint"),
    "joint area, `search` (place unknown)": ("search", "joint"),
    "Dice of the findings, `pixels`": ("pixels", "dice-finding"),
}
SHOWN = ("cc", "ms-ssim", "ssim", "mi", "vif", "qabf")


def compared(kind: str, observer: str = "cho", figure: str = "joint") -> list[Validated]:
    """Every metric on every task, over the methods or over the graded images."""
    facts = {name: dataclasses.asdict(METRICS[name].facts) for name in METRICS}
    truth, means = SETS[kind]
    return validate(truth, facts=facts, means=kept_means(means), observer=observer, figure=figure)


def page(found: Mapping[str, Sequence[Validated]]) -> str:
    """The document."""
    methods = found["methods"]
    chosen = recommend(methods, DECIDE)
    by_task = {task: {i.metric: i for i in items} for task, items in itertools.groupby(methods, lambda i: i.task)}
    some = next(iter(methods)).agreement.methods
    lines = [
        "# Which metric knows whether the findings can be made?",
        "",
        "Made by `tools/validation.py` from `results/validation` and `results/truth`; do not edit. "
        "[How the truth is measured, and the rule](../observers.md).",
        "",
        "Kendall's tau between a metric, in its own direction, and the joint area of the observer `cho` (grey), over "
        f"{some} methods; 95 % interval by bootstrap of methods. 1: the metric orders the methods as the observer does; 0: "
        "it knows nothing; below 0: it rewards losing a finding.",
        "",
        "![Tau of every metric](../figures/validation.png)",
        "",
        "## What the rule makes of it",
        "",
        *_verdict(chosen, by_task),
        "",
        "## All metrics",
        "",
        "| metric | CT-MRI | PET-MRI | SPECT-MRI (no say) | smaller lower end |",
        "|---|---:|---:|---:|---:|",
    ]
    ends = {m: min(by_task[t][m].agreement.low for t in DECIDE) for m in by_task[DECIDE[0]] if m in by_task[DECIDE[1]]}
    for metric in sorted({i.metric for i in methods}, key=lambda m: (-ends.get(m, -2), m)):
        cells = [_cell(by_task[task].get(metric)) for task in (*DECIDE, CHECK)]
        end = f"{ends[metric]:+.2f}" if metric in ends else ""
        lines.append(f"| `{metric}` | {' | '.join(cells)} | {end} |")
    lines += ["", "## Other yardsticks", "", *_yardsticks()]
    lines += ["", "## Graded images", "", *_graded(found["graded"])]
    return "\n".join([*lines, ""])


def _yardsticks() -> list[str]:
    """How far the answer depends on what is asked of the images."""
    lines = [
        "The same comparison by other things that the observers found; the rule uses the first alone. So many metrics "
        "agree / oppose beyond chance; then tau of some.",
        "",
        f"| task | yardstick | agree / oppose | {' | '.join(f'`{m}`' for m in SHOWN)} |",
        "|---|---|---:|" + "---:|" * len(SHOWN),
    ]
    rows: dict[str, list[str]] = {}
    for name, (observer, figure) in YARDSTICKS.items():
        for task, items in itertools.groupby(compared("methods", observer, figure), lambda item: item.task):
            own = {item.metric: item.agreement for item in items}
            agree, oppose = sum(a.low > 0 for a in own.values()), sum(a.high < 0 for a in own.values())
            taus = [f"{own[m].tau:+.2f}" if m in own else "" for m in SHOWN]
            rows.setdefault(task, []).append(f"| {task} | {name} | {agree} / {oppose} | {' | '.join(taus)} |")
    return [*lines, *(row for task in (*DECIDE, CHECK) for row in rows.get(task, []))]


def _verdict(chosen: Sequence[tuple[str, float]], by_task: Mapping[str, Mapping[str, Validated]]) -> list[str]:
    said = []
    for task in (*DECIDE, CHECK):
        ends = [(item.agreement.low, item.agreement.high) for item in by_task[task].values()]
        agree, oppose = sum(low > 0 for low, _ in ends), sum(high < 0 for _, high in ends)
        name = task.partition("/")[2].upper()
        said.append(f"{name}: of {len(ends)} metrics {agree} agree with the truth beyond chance, {oppose} oppose it.")
    if not chosen:
        none = "Fewer than three families have a metric whose interval lies above 0 in both deciding tasks: "
        return [*said, "", none + "**no profile is recommended.**"]
    names = [f"`{m}` ({merit:+.2f}; SPECT-MRI {_cell(by_task[CHECK].get(m))})" for m, merit in chosen]
    return [*said, "", f"**Profile `recommended`**: {', '.join(names)}."]


def _graded(found: Sequence[Validated]) -> list[str]:
    best: dict[str, list[float]] = {}
    for item in found:
        best.setdefault(item.metric, []).append(item.agreement.tau)
    ordered = sorted(best, key=lambda m: (-min(best[m]), m))
    n = found[0].agreement.methods
    return [
        f"Over {n} grades of one average of the sources, its weights, blur, noise and contrast changed step by step "
        "(`tools/graded.py`; 100 subjects, mean scores over the first 8 pairs). Tau, smallest of the tasks; the ten best "
        "and the ten worst:",
        "",
        "| metric | smallest tau |",
        "|---|---:|",
        *(f"| `{m}` | {min(best[m]):+.2f} |" for m in (*ordered[:10], *ordered[-10:])),
    ]


def _cell(item: Validated | None) -> str:
    if item is None:
        return ""
    a = item.agreement
    return f"{a.tau:+.2f} [{a.low:+.2f}, {a.high:+.2f}]"


@click.command()
@click.option(
    "--collect",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="A results folder to keep the means of.",
)
@click.option("--graded", is_flag=True, help="--collect: of graded images.")
@click.option("--check", is_flag=True, help="Fail where the document is not what would be made.")
def main(collect: Sequence[Path], graded: bool, check: bool) -> None:
    """Write docs/metrics/validation.md, or check it."""
    for folder in collect:
        means = {place: frame for place, frame in read_means(folder).items() if place.base == "lesion"}
        write_means(means, GRADED if graded else KEPT)
    found = {kind: compared(kind) for kind in SETS}
    text, table = page(found), csv_text(found["methods"])
    if check:
        for path, made in ((PAGE, text), (TABLE, table)):
            if path.read_text(encoding="utf-8") != made:
                raise click.ClickException(f"{path}: is not what tools/validation.py makes; run it")
        return
    write_text(PAGE, text)
    write_text(TABLE, table)
    for path in save(forest(found["methods"]), FIGURE):
        if path.suffix == ".pdf":
            path.unlink()


if __name__ == "__main__":
    main()
