"""Rerun a part of the committed study of task truth and compare: python tools/rerun_study.py [--subjects 100]

The methods of results/truth that take less than a tenth of a second a pair are fused and observed anew on the first
subjects of each task, in an empty folder. Where a committed study has as many subjects the areas must be equal; where it
has more, the committed area must lie in the new 95 % interval for nine in ten. Exit code 1 otherwise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from fusionbench.bench.observe import observe
from fusionbench.cli.common import progress_bar
from fusionbench.report.truth import read_truth

QUICK = (
    "source-a", "source-b", "average", "maximum", "weighted", "pca", "dwt", "ratio-pyramid", "laplacian", "tif", "lp-sr",
    "dtcwt", "gradient-pyramid", "fpde", "guided-filter",
)  # fmt: skip
AREAS = ("first", "second", "joint")


@click.command()
@click.option("--subjects", type=click.IntRange(min=20), default=100, show_default=True)
@click.option("-t", "--task", multiple=True, default=("ct-mri", "pet-mri", "spect-mri"), show_default=True)
@click.option("--engine", default="local:2", show_default=True)
@click.option("--results", type=click.Path(path_type=Path, exists=True), default=Path("results"), show_default=True)
def main(subjects: int, task: Sequence[str], engine: str, results: Path) -> None:
    """Observe anew, compare, tell."""
    held = {f"{judged.dataset}/{judged.task}": judged for judged in read_truth(results)}
    inside = total = 0
    for name in (f"lesion/{t}" for t in task):
        judged = held[name]
        methods = [method for method in QUICK if "cho" in judged.methods.get(method, {})]
        with tempfile.TemporaryDirectory() as folder, progress_bar() as notify:
            out = observe(
                methods, [name], Path(folder), subjects=subjects, observers=("cho",), engine=engine, notify=notify
            )
        for key, found in out.found.items():
            exact = judged.abouts[key.method]["subjects"] == subjects
            for area in AREAS:
                value, low, high = found["cho"][area]
                before = judged.methods[key.method]["cho"][area][0]
                agrees = value == before if exact else low <= before <= high
                inside, total = inside + agrees, total + 1
                if not agrees:
                    click.echo(f"{name} {key.method}, {area}: {value} [{low}, {high}], committed {before}")
    click.echo(f"{inside} of {total} areas agree with the committed study")
    raise SystemExit(0 if inside >= 0.9 * total else 1)


if __name__ == "__main__":
    main()
