"""Recompute the public leaderboard: every method on the Harvard test pairs, and images that others released.

    python tools/leaderboard.py --data HARVARD_FOLDER --published FOLDER [--results results]
    python tools/leaderboard.py --data HARVARD_FOLDER --published FOLDER --verify

``--published`` holds METHOD/TASK/ID.png, as released by third parties or submitted; of generated pairs METHOD/phantom/TASK.
Scores go to RESULTS/scores, tables and figures to RESULTS/leaderboard; only what is missing or stale is done, and a run that
was killed goes on where it was. Images of the atlas are never written into the leaderboard.

What is committed holds nothing that changes from run to run: seconds, versions and the device of a run are taken out of the
score files and kept in RESULTS/made.json. What `fusionbench profile` measured (seconds a pair, FLOPs, memory) stays in the
score files until a method's settings or weights change. ``--verify`` computes everything else anew in an empty folder (the
methods, metrics and data sets that RESULTS holds, unless told otherwise), takes those measurements over, and compares file
by file, byte by byte; exit code 1 when anything differs.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
import shutil
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import Any

import click

from fusionbench.audit.profiling import profile, sample_pair, store
from fusionbench.audit.submission import published_place, record_path
from fusionbench.audit.submission import settle as settle_table
from fusionbench.bench import Notify, run, score_folders
from fusionbench.bench.ledger import Scoring
from fusionbench.bench.observe import SOURCES, observe
from fusionbench.bench.provenance import making
from fusionbench.bench.work import Mask
from fusionbench.cli.common import DIRECTORY, METHOD, progress_bar
from fusionbench.datasets import resolve_tasks
from fusionbench.datasets.degraded import KINDS
from fusionbench.errors import InputError
from fusionbench.methods import METHODS, unavailable
from fusionbench.methods.published import published_facts
from fusionbench.metrics import PROFILES
from fusionbench.report import write_report
from fusionbench.scores import Key, find_tables, read_table, write_json, write_table

COMPARED = ("scores", "truth", "leaderboard")
"""Below RESULTS, what --verify compares."""
DERIVED = ("index.html", "patients/*", "images/*", "figures/*", "*.tex", "*-pairwise.csv", "*-pair-ranks.csv")
SHOWN = (
    "figures/lesion/*/truth-cho.png",
    "figures/harvard/*/rank-blobs.png",
    "figures/harvard/*/significance-map.png",
    "figures/phantom/pet-mri/robustness-noise-b.png",
    "figures/phantom/pet-mri/robustness-undersample-a.png",
)
"""Below RESULTS/leaderboard: what `fusionbench report` makes of the rest in minutes and is not committed (.gitignore has the
same patterns), but for the dozen figures that documents show."""

BY_CASE = "by-case-test"
"""Patients apart from training patients: our methods alone, under profile dmfnet; nobody released images of it."""
SAMPLE = "phantom/pet-mri"
STEPS = {
    "noise": (0.02, 0.05, 0.1),
    "shift": (1, 2, 4),
    "rotate": (1, 2, 4),
    "jpeg": (75, 50, 25),
    "blur": (1, 2, 4),
    "bias": (0.2, 0.4, 0.8),
    "undersample": (2, 4, 8),
}
"""Robustness: strengths of each kind of degradation, weak to strong."""
PHANTOM_PAIRS = 8
"""Phantom pairs a task: enough to show our methods against ground truth; the ranking to quote is that of the real pairs."""
ROBUST_PAIRS = 4
QUICK = ("average", "maximum", "source-a", "laplacian", "dtcwt", "guided-filter", "cbf", "mgff")
"""Methods of the robustness track, beside all trained ones that are quicker than QUICK_SECONDS a pair."""
QUICK_SECONDS = 3.0


@click.command()
@click.option("--data", type=DIRECTORY, help="The Harvard pairs; without it, phantom pairs only.")
@click.option("--published", type=DIRECTORY, help="METHOD/TASK/ID.png of other people's runs.")
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
@click.option(*METHOD, multiple=True, help="Only these of our methods.")
@click.option("--profile", "profiles", multiple=True, help="Only these profiles' core metrics.")
@click.option(
    "--by-case/--no-by-case", default=True, show_default=True, help="Our methods on the by-case test split too."
)
@click.option("--phantom/--no-phantom", default=True, show_default=True, help="Our methods on phantom pairs too.")
@click.option("--robustness/--no-robustness", default=True, show_default=True, help="And on degraded phantom pairs.")
@click.option("--truth/--no-truth", default=True, show_default=True, help="And what RESULTS holds of model observers.")
@click.option("--costs/--no-costs", default=True, show_default=True, help="Measure methods that were not profiled yet.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many pairs of a task.")
@click.option(
    "--engine", default="local:2", show_default=True, help="Where the work is done; the numbers are the same."
)
@click.option("--verify", is_flag=True, help="Compute anew in an empty folder, and compare with --results.")
@click.option("--work", type=click.Path(path_type=Path), help="With --verify: that folder, to go on after a kill.")
def main(
    data: Path | None,
    published: Path | None,
    results: Path,
    method: Sequence[str],
    profiles: Sequence[str],
    by_case: bool,
    phantom: bool,
    robustness: bool,
    truth: bool,
    costs: bool,
    limit: int | None,
    engine: str,
    verify: bool,
    work: Path | None,
) -> None:
    """Recompute the public leaderboard, or verify the one that is there."""
    held = [key for key in find_tables(results) if verify]
    published_split = [key for key in held if key.split == "test"]
    methods = list(method) or _held_methods(results, held)
    methods = methods or [name for name in METHODS.names() if not unavailable(METHODS[name])]
    core = [m for name in ("dmfnet", *(profiles or PROFILES)) for m in PROFILES[name].core]
    metrics = list(dict.fromkeys([*PROFILES["dmfnet"].metrics, *core]))
    if held and not profiles:
        metrics = _held_metrics(results, published_split)
    if held:
        by_case &= any(key.split == BY_CASE for key in held)
        phantom &= any(key.dataset == "phantom" for key in held)
        robustness &= any(key.base == "phantom" and key.flaw for key in held)
    options: dict[str, Any] = {"metrics": metrics, "limit": limit, "engine": engine}
    with tempfile.TemporaryDirectory(prefix="fusionbench-") as temporary, progress_bar() as notify:
        target = (work or Path(temporary)) if verify else results
        done = 0
        if data is not None:
            real, harvard = {**options, "data": [data], "notify": notify}, resolve_tasks(["all"], "harvard", [data])
            done += _scored(methods, published, harvard, target, results, real)
            if by_case:
                wanted = {**real, "metrics": PROFILES["dmfnet"].metrics, "split": BY_CASE}
                done += sum(_counts(run(methods, harvard, target, **wanted)))
        if phantom:
            few = {**options, "limit": min(limit or PHANTOM_PAIRS, PHANTOM_PAIRS), "notify": notify}
            done += _scored(methods, published, resolve_tasks(["all"], "phantom"), target, results, few)
        if verify:
            _take_costs(results, target)
            if (results / "made.json").exists():  # the page says it
                shutil.copy(results / "made.json", target)
        elif costs:
            _measure(methods, target, notify)
        if phantom and robustness:
            done += _robustness(methods, target, engine, notify)
        if truth:
            done += _observe(results, target, engine, notify)
        if done and not verify:
            today = str(datetime.datetime.now(datetime.UTC).date())
            write_json(results / "made.json", {**making("cpu"), "date": today})
        settle(target, metrics)
        written = write_report(target, target / "leaderboard", images="public", notify=notify)
        if verify:
            raise SystemExit(_told(results, target))
    click.echo(f"{done} images fused or scored; {len(written)} files in {results / 'leaderboard'}")


def _scored(
    methods: Sequence[str],
    published: Path | None,
    tasks: Sequence[str],
    target: Path,
    results: Path,
    options: dict[str, Any],
) -> int:
    """Others' images and those of our methods on some tasks; how many were fused or scored."""
    others = _published(published, tasks, target, results, options)
    return others + sum(_counts(run(methods, tasks, target, **options)))


def _told(results: Path, target: Path) -> int:
    """Tell what differs; the exit code."""
    found = differences(results, target)
    click.echo("\n".join([*found, f"{len(files(target))} files computed anew, {len(found)} differ"]))
    return 1 if found else 0


def _held_methods(results: Path, keys: Sequence[Key]) -> list[str]:
    """Our own methods of some tables, as they were named on the command line."""
    abouts = [read_table(results, key).about for key in keys]
    return sorted({str(about["spec"]) for about in abouts if not about["method"].get("foreign")})


def _held_metrics(results: Path, keys: Sequence[Key]) -> list[str]:
    """The metrics that were asked for, also where a pair lacks what one needs."""
    clean = [read_table(results, key).about for key in keys if not key.flaw]
    return sorted({metric for about in clean for metric in about["metric_versions"]})


def _published(folder: Path | None, tasks: Sequence[str], target: Path, held: Path, options: dict[str, Any]) -> int:
    """Score the images that others released or submitted; returns how many. ``held``: the results with the submissions."""
    done = 0
    for task in tasks:
        keys = [Key.of(task, method=item.name) for item in sorted(folder.iterdir()) if item.is_dir()] if folder else []
        places = {key: folder / published_place(key) for key in keys if folder}
        found = [(place, _foreign_facts(key, held)) for key, place in places.items() if place.is_dir()]
        if found:
            done += score_folders(found, task, target, **options).scored
    return done


def _foreign_facts(key: Key, held: Path) -> dict[str, Any]:
    """What is known of a method whose images are scored: what its submission says, or else what is known of the name; where
    that was corrected, what is right."""
    submission = record_path(held, key.method)
    if submission.exists():
        facts = dict(json.loads(submission.read_text("utf-8"))["facts"])
    else:
        facts = {"family": "foreign", "origin": "third-party run"} | published_facts(key.method)
    about = read_table(held, key).about
    corrected = {field for entry in about.get("corrections", []) for field in entry["changed"]}
    return {field: about["method"].get(field) if field in corrected else value for field, value in facts.items()}


def _counts(outcome: Any) -> tuple[int, int]:
    for key, pair, reason in outcome.failed:
        click.echo(f"failed {key.dataset}/{key.task} {key.method} {pair}: {reason}", err=True)
    if outcome.broken:
        raise InputError(f"methods broke the contract: {', '.join(key.method for key, _ in outcome.broken)}")
    return outcome.fused, outcome.scored


def _measure(methods: Sequence[str], results: Path, notify: Notify) -> None:
    """What each method costs, for those of which nothing is on record."""
    known = {key.method for key in find_tables(results) if _costs(results, key)}
    todo = [name for name in methods if name not in known]
    pair = sample_pair(SAMPLE, ()) if todo else None
    for done, name in enumerate(todo):
        notify("costs", done, len(todo))
        if pair is not None:
            store(results, name, profile(name, pair, device="cpu", runs=3))


def _costs(results: Path, key: Key) -> dict[str, Any]:
    return dict(read_table(results, key).about.get("profile_stats") or {})


def _take_costs(source: Path, target: Path) -> None:
    """Copy what was measured and what was corrected: neither is computed anew, nor would it come out alike."""
    for key in set(find_tables(source)) & set(find_tables(target)):
        table = read_table(target, key)
        table.about.pop("profile_stats", None)
        if stats := _costs(source, key):
            table.about["profile_stats"] = stats
        before = read_table(source, key).about
        if "corrections" in before:
            table.about["corrections"] = before["corrections"]
            table.about["method"] |= {f: before["method"].get(f) for e in before["corrections"] for f in e["changed"]}
        write_table(target, table)


def _robustness(methods: Sequence[str], results: Path, engine: str, notify: Notify) -> int:
    """The quick methods on degraded pairs of one task."""
    dataset, _, task = SAMPLE.partition("/")
    chosen = [name for name in methods if name in QUICK]
    for name in methods:
        seconds = _costs(results, Key(dataset, task, name)).get("seconds")
        if name not in chosen and METHODS[name.partition(":")[0]].facts.trained and seconds is not None:
            chosen += [name] if seconds <= QUICK_SECONDS else []
    flaws = [f"{kind}:{KINDS[kind].parameter}={strength:g}" for kind, steps in STEPS.items() for strength in steps]
    wanted = PROFILES["dmfnet"].metrics
    done = _counts(
        run(chosen, [SAMPLE], results, metrics=wanted, limit=ROBUST_PAIRS, corrupt=flaws, engine=engine, notify=notify)
    )
    return sum(done)


def _observe(held: Path, target: Path, engine: str, notify: Notify) -> int:
    """Model observers on the methods and tasks of which ``held`` has results, the same ones on as many subjects."""
    fused = 0
    for folder in sorted((held / "truth").glob("*/*")):
        place = Key(folder.parent.name, folder.name)
        groups: dict[tuple[int, tuple[str, ...]], list[str]] = {}
        for path in sorted(folder.glob("*.json")):
            content = json.loads(path.read_text("utf-8"))
            if path.stem != SOURCES:
                readers = tuple(name for name in content["observers"] if not name.endswith(" colour"))
                groups.setdefault((content["about"]["subjects"], readers), []).append(
                    content["about"]["method"]["name"]
                )
        for (subjects, readers), methods in sorted(groups.items()):
            out = observe(
                methods,
                [f"{place.base}/{place.task}"],
                target,
                subjects=subjects,
                channel=place.channel,
                observers=readers,
                engine=engine,
                notify=notify,
            )
            fused += out.fused
    return fused


def settle(results: Path, metrics: Sequence[str]) -> None:
    """Take out of all score files what differs from run to run, and write the fact sheets of the metrics as they are now."""
    (results / "scores" / "metrics.json").unlink(missing_ok=True)
    Scoring(tuple(metrics), Mask(), "cpu").publish(results)
    for key in find_tables(results):
        table = read_table(results, key)
        settle_table(table)
        write_table(results, table)


def files(results: Path) -> list[str]:
    """Names of all files below a results folder that --verify compares."""
    every = (path.relative_to(results) for path in results.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in every if path.parts[0] in COMPARED and not derived(path))


def derived(path: PurePath) -> bool:
    """Whether a path below a results folder is of what is made when it is wanted."""
    inside = PurePath(*path.parts[1:])
    if path.parts[0] != "leaderboard" or any(fnmatch(inside.as_posix(), shown) for shown in SHOWN):
        return False
    return any(fnmatch(inside.as_posix(), pattern) for pattern in DERIVED)


def differences(before: Path, after: Path) -> list[str]:
    """A line a file that is not the same in both folders."""
    old, new = files(before), files(after)
    found = [f"{name}: only in {before}" for name in old if name not in new]
    found += [f"{name}: not in {before}" for name in new if name not in old]
    for name in sorted({*old} & {*new}):
        one, two = ((folder / name).read_bytes() for folder in (before, after))
        if one != two:
            found.append(f"{name}: differs{_values(one, two) if name.endswith('.csv') else ''}")
    return found


def _values(one: bytes, two: bytes) -> str:
    """How many cells of two CSV files differ, and the largest relative difference of numbers."""
    rows = [list(csv.reader(io.StringIO(content.decode()))) for content in (one, two)]
    cells = [[cell for row in table for cell in row] for table in rows]
    if len(cells[0]) != len(cells[1]):
        return " in shape"
    apart = [(a, b) for a, b in zip(*cells, strict=True) if a != b]
    worst = 0.0
    for a, b in apart:
        try:
            worst = max(worst, abs(float(a) - float(b)) / (abs(float(a)) or 1.0))
        except ValueError:
            continue
    return f" in {len(apart)} of {len(cells[0])} cells, by at most {worst:.2g} of the value"


if __name__ == "__main__":
    main()
