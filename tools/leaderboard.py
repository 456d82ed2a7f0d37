"""Recompute the public leaderboard: every method on the Harvard test pairs, and images that others released.

    python tools/leaderboard.py --data HARVARD_FOLDER --published FOLDER [--results results]

``--published`` holds METHOD/TASK/ID.png, as released by third parties. Scores go to RESULTS/scores, tables and figures to
RESULTS/leaderboard; only what is missing or stale is done. Images of the atlas are never written into the leaderboard.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from fusionbench.bench import run, score_folder
from fusionbench.cli.common import DIRECTORY, progress_bar
from fusionbench.datasets import resolve_tasks
from fusionbench.methods import METHODS, unavailable
from fusionbench.metrics import PROFILES
from fusionbench.published import published_facts
from fusionbench.report import write_report


@click.command()
@click.option("--data", type=DIRECTORY, required=True, help="The Harvard pairs.")
@click.option("--published", type=DIRECTORY, help="METHOD/TASK/ID.png of other people's runs.")
@click.option("--results", type=DIRECTORY, default=Path("results"), show_default=True)
@click.option("--method", multiple=True, help="Only these of our methods.")
@click.option("--profile", multiple=True, default=tuple(PROFILES), help="Only these profiles' core metrics.")
@click.option("--phantom/--no-phantom", default=True, show_default=True, help="Run our methods on phantom pairs too.")
def main(
    data: Path, published: Path | None, results: Path, method: Sequence[str], profile: Sequence[str], phantom: bool
) -> None:
    """Recompute the public leaderboard."""
    metrics = list(dict.fromkeys(m for name in ("dmfnet", *profile) for m in PROFILES[name].core))
    metrics = list(dict.fromkeys([*PROFILES["dmfnet"].metrics, *metrics]))
    methods = list(method) or [name for name in METHODS.names() if not unavailable(METHODS[name])]
    with progress_bar() as notify:
        for folder in sorted(published.iterdir()) if published else []:
            for task in resolve_tasks(["all"], "harvard", [data]):
                images = folder / task.partition("/")[2].upper()
                if images.is_dir():
                    facts = {"family": "foreign"} | published_facts(folder.name)
                    score_folder(images, facts, task, results, metrics=metrics, data=[data], notify=notify)
        run(methods, resolve_tasks(["all"], "harvard", [data]), results, metrics=metrics, data=[data], notify=notify)
        if phantom:
            run(methods, resolve_tasks(["all"], "phantom"), results, metrics=metrics, notify=notify)
        written = write_report(results, results / "leaderboard", images="public", notify=notify)
    click.echo(f"{len(written)} files in {results / 'leaderboard'}")


if __name__ == "__main__":
    main()
