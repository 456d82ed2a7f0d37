"""Which pairs a network learns from: those of any task, less the copies of what it will be tested on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from fusionbench.bench.prior import read_targets
from fusionbench.datasets import Task, create_task, task_plugin
from fusionbench.errors import InputError
from fusionbench.scores import Key, exposure_entry, person
from fusionbench.training import TrainingPair, without_copies

TESTED = {"train": "test", "by-case-train": "by-case-test"}
"""Split to train on -> split that its networks are tested on."""
GENERATED_LICENCE = "Apache-2.0; trained on generated images alone"
USUAL_VALIDATION = ("ct-mri/28", "pet-mri/30", "spect-mri/11", "spect-mri/4")


def training_pairs(
    tasks: Sequence[str], data: Sequence[Path] = (), split: str = "train", count: int | None = None
) -> tuple[list[TrainingPair], int]:
    """All pairs of some tasks (full names), and how many more were left out as pixel-identical to an image of a test split.

    ``split``: one of TESTED; data sets of the user's own have no splits, and nothing of theirs is left out. ``count``: so
    many pairs a task, of a generated data set, which makes any number. Raises InputError for another split, and when
    nothing is left.
    """
    if split not in TESTED:
        raise InputError(f"--split {split}: train on {' or '.join(TESTED)}; the others are for testing")
    pairs: list[TrainingPair] = []
    tests: list[TrainingPair] = []
    for name in tasks:
        opened = create_task(name, data=data, split=split)
        ids = opened.ids() if count is None else [f"{split}-{number:05d}" for number in range(count)]
        pairs += _load(name, opened, ids)
        if not task_plugin(name).facts.named and count is None:
            tested = create_task(name, data=data, split=TESTED[split])
            tests += _load(name, tested, tested.ids())
    kept = without_copies(pairs, tests)
    if not kept:
        raise InputError(f"{', '.join(tasks)}: every pair of split {split} is a copy of one of {TESTED[split]}")
    return kept, len(pairs) - len(kept)


def phantom_pairs(count: int) -> list[TrainingPair]:
    """Generated training pairs, ``count`` of each task of phantom."""
    tasks = ("phantom/ct-mri", "phantom/pet-mri", "phantom/spect-mri")
    return training_pairs(tasks, count=count)[0] if count else []


def validation_cases(pairs: Sequence[TrainingPair]) -> list[str]:
    """The cases ("TASK/CASE") to hold out where the user names none: the usual ones of the Harvard pairs, else the last case
    of each task that has two or more; none where cases are unknown."""
    cases = dict.fromkeys(f"{pair.task}/{pair.case}" for pair in pairs if pair.case)
    usual = [case for case in USUAL_VALIDATION if case in cases]
    if usual:
        return usual
    of_task = {pair.task: sorted({p.case for p in pairs if p.task == pair.task and p.case}) for pair in pairs}
    return [f"{task}/{known[-1]}" for task, known in of_task.items() if len(known) > 1]


def persons_seen(pairs: Sequence[TrainingPair]) -> list[str]:
    """What a weights card says under "trained_on" (see ``scores.exposure``); generated pairs, of whom nobody is tested, are
    named (``phantom@train``) where there are no others, lest it look as if nobody knew."""
    found: dict[str, list[str]] = {}
    generated = set()
    for pair in pairs:
        facts = task_plugin(_full(pair.task)).facts
        if facts.truth:
            generated.add(Key.of(facts.name, split="train").dataset)
        else:
            found.setdefault(Key.of(facts.name).base, []).append(person({"people": facts.people}, pair.case))
    return [exposure_entry(dataset, persons) for dataset, persons in sorted(found.items())] or sorted(generated)


def seen_lines(pairs: Sequence[TrainingPair]) -> dict[str, object]:
    """Lines of a weights card: what was seen, and the use of weights that have seen generated pairs alone."""
    generated = all(task_plugin(_full(pair.task)).facts.truth for pair in pairs)
    return {"trained_on": persons_seen(pairs), **({"licence": GENERATED_LICENCE} if generated else {})}


def with_targets(pairs: Sequence[TrainingPair], prior: Path) -> list[TrainingPair]:
    """The pairs, each with the image that ``fusionbench prior`` chose for it."""
    filled: list[TrainingPair] = []
    for label in dict.fromkeys(pair.task for pair in pairs):
        of_task = [pair for pair in pairs if pair.task == label]
        name = _full(label)
        targets = read_targets(prior, name, {pair.id: (pair.a, pair.b) for pair in of_task})
        filled += [dataclasses.replace(pair, target=targets[pair.id]) for pair in of_task]
    return filled


def _full(label: str) -> str:
    """The full name of a task from its label on weights cards."""
    return label if "/" in label else f"harvard/{label}"


def _load(name: str, task: Task, ids: Sequence[str]) -> list[TrainingPair]:
    label = name.removeprefix("harvard/")  # as weights cards and validation cases have named them from the start
    return [TrainingPair(label, pair.id, pair.case, pair.a, pair.b) for pair in map(task.load, ids)]
