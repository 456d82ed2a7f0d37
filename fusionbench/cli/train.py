"""``train`` and ``weights``: from pairs to a weights file, and from the authors' checkpoints to ours."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fusionbench.bench.training import phantom_pairs, seen_lines, training_pairs, validation_cases, with_targets
from fusionbench.cli.common import DIRECTORY, FILE, METHOD, chosen_tasks, config_option, is_quiet, progress_bar
from fusionbench.errors import InputError
from fusionbench.methods import METHODS
from fusionbench.methods._authors import BASE, fetch_authors, importer, lookup, published, spec_of
from fusionbench.methods._learned import Trained
from fusionbench.methods.reconstruction import RECONSTRUCTIONS
from fusionbench.training import NetworkSpec, Settings, split_by_case


@click.command("train")
@click.argument("method")
@click.option("--stage", default="all", show_default=True, help="A stage of the method's training, or all.")
@click.option("--preset", default="compact", show_default=True, help="Size of the network: compact or paper.")
@click.option("-t", "--task", multiple=True, default=("all",), show_default=True, help="Task name or all; repeatable.")
@click.option(
    "--dataset", default="harvard", show_default=True, help="Data set of the tasks; folders:NAME for your own."
)
@click.option("--data", type=DIRECTORY, multiple=True, help="Where its images are, as for fusionbench run.")
@click.option("--split", default="train", show_default=True, help="train, or by-case-train.")
@click.option("--validation-case", multiple=True, metavar="TASK/CASE", help="Case held out of training; repeatable.")
@click.option("--phantom", type=click.IntRange(min=0), default=0, help="Generated pairs to add, a task.")
@click.option("--steps", type=int, help="Optimiser steps of each stage that runs.")
@click.option("--minutes", type=click.FloatRange(min=0), help="Stop then, and write the best weights so far.")
@click.option("--batch", type=int, help="Crops a step and process.")
@click.option("--crop", type=int, help="Side of the crops, a multiple of 16.")
@click.option("--lr", type=float, help="Highest learning rate.")
@click.option("--pool", type=int, help="Different crops a batch position; their U-Net maps are kept in memory.")
@click.option("--precision", type=click.Choice(["no", "bf16", "fp16"]), help="Autocast of the training.")
@click.option("--accumulate", type=int, help="Batches to a step.")
@click.option("--validate-every", type=int, help="Steps between two validations.")
@click.option("--seed", type=int, help="Seed of weights, crops and noise.")
@click.option("--loss", multiple=True, metavar="TERM=WEIGHT", help="Weight of a loss term; repeatable.")
@click.option("--network", multiple=True, metavar="NAME=VALUE", help="Change of the preset's network; repeatable.")
@click.option("--device", default="auto", show_default=True, help="auto or cpu.")
@click.option("--start", type=FILE, help="Weights to go on from, to fine-tune; default: random ones.")
@click.option("--prior", type=DIRECTORY, help="Folder that fusionbench prior wrote: fused images to learn from.")
@click.option("--out", type=DIRECTORY, default=Path("training"), show_default=True, help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@config_option
def train_command(
    method: str,
    stage: str,
    preset: str,
    task: Sequence[str],
    dataset: str,
    data: Sequence[Path],
    split: str,
    validation_case: Sequence[str],
    phantom: int,
    loss: Sequence[str],
    network: Sequence[str],
    device: str,
    start: Path | None,
    prior: Path | None,
    out: Path,
    resume: bool,
    minutes: float | None,
    **overrides: Any,
) -> None:
    """Train METHOD, or a reconstruction, on the training pairs of some tasks, by themselves or with generated ones.

    \b
    fusionbench train dmfnet --data HARVARD_FOLDER --out training/dmfnet
    fusionbench train dmfnet --dataset folders:mine -t pet-mri --data MRI --data PET
    fusionbench train dmfnet --data HARVARD_FOLDER --out training/dmfnet --resume
    accelerate launch --num_processes 4 $(which fusionbench) train dmfnet --data HARVARD_FOLDER
    \b
    Ctrl-C and SIGTERM save at the end of the step at hand; --resume goes on from there, as if it had not stopped.
    """
    spec = _spec(method, f"method {method!r} is not trained here; methods with a network are, such as dmfnet")
    chosen = _settings(device, overrides)
    pairs, copies = training_pairs(chosen_tasks(task, dataset, data), data, split)
    cases = validation_case or validation_cases(pairs)
    if not is_quiet():
        held_out = f"held out for validation: {', '.join(cases) or 'none, so that the last weights are kept'}"
        click.echo(f"{len(pairs)} training pairs; {copies} left out as copies of test images; {held_out}")
    pairs += phantom_pairs(phantom)
    if prior is not None:
        pairs = with_targets(pairs, prior)
    parts = split_by_case(pairs, cases)
    try:
        with progress_bar() as notify:
            written = spec.train(
                parts,
                out,
                stage=stage,
                preset=preset,
                overrides=chosen,
                loss=_assignments("--loss", loss),
                network=_assignments("--network", network),
                start=start,
                resume=resume,
                until=None if minutes is None else time.monotonic() + 60 * minutes,
                card={"split": split, "phantom_pairs_a_task": phantom, **seen_lines(pairs), "commit": _commit()},
                notify=notify,
            )
    except KeyboardInterrupt as error:
        raise type(error)(_how_to_go_on(out)) from None
    click.echo(f"wrote {written}")


def _settings(device: str, overrides: dict[str, Any]) -> dict[str, Any]:
    """The training settings that were given. Raises InputError for a device or setting that there is not."""
    if device not in ("auto", "cpu"):
        raise InputError(f"--device {device}: give auto or cpu; accelerate and CUDA_VISIBLE_DEVICES choose GPUs")
    if device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"  # what accelerate reads
    chosen = {key: value for key, value in overrides.items() if value is not None}
    unknown = chosen.keys() - {field.name for field in dataclasses.fields(Settings)}
    if unknown:
        raise InputError(f"no such training setting: {', '.join(sorted(unknown))}")
    return chosen


def _how_to_go_on(out: Path) -> str:
    """What to type after a stop: as before, with --resume if a checkpoint was written."""
    command = [arg for arg in sys.argv[1:] if arg != "--resume"]
    if not any(out.rglob("state.pt")):
        return f"nothing was trained yet: start again with\n{_command_line(command)}"
    return f"{out} holds the run up to here: go on with\n{_command_line([*command, '--resume'])}"


def _command_line(arguments: Sequence[str]) -> str:
    processes = os.environ.get("WORLD_SIZE", "1")  # what accelerate's launcher sets
    if processes != "1":
        return f"accelerate launch --num_processes {processes} $(which fusionbench) {shlex.join(arguments)}"
    return f"{click.get_current_context().find_root().info_name} {shlex.join(arguments)}"


def _spec(method: str, refusal: str) -> NetworkSpec[Any, Any]:
    factory = (RECONSTRUCTIONS if method.lower() in RECONSTRUCTIONS else METHODS)[method].factory
    if not (isinstance(factory, type) and issubclass(factory, Trained)):
        raise InputError(refusal)
    return factory.spec()


def _assignments(option: str, items: Sequence[str]) -> dict[str, str]:
    for item in items:
        if not item.partition("=")[1]:
            raise InputError(f"{option} {item}: write NAME=VALUE, such as gradient=1.5")
    return {name: value for name, _, value in (item.partition("=") for item in items)}


def _commit() -> str:
    """The commit of this source tree, "" outside a repository."""
    try:
        here = Path(__file__).parent
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


@click.group("weights")
def weights_command() -> None:
    """Look into weights files; fetch and convert the authors' checkpoints."""


@weights_command.command("fetch")
@click.argument("name", metavar=f"[{'|'.join(published())}]")
@click.option("--accept-terms", is_flag=True, help="You have read the terms, and accept them.")
@click.option("--mirror", default=BASE, show_default=True, metavar="URL", help="Server that has the same repositories.")
@click.option("--force", is_flag=True, help="Fetch again what is here already.")
def fetch_weights(name: str, accept_terms: bool, mirror: str, force: bool) -> None:
    """Fetch the weights that a method's authors published, from their own page; then use METHOD:weights=authors.

    Each file is checked against the digest that is on record, and its keys against the network. They are kept in the
    user's data folder, or where FUSIONBENCH_WEIGHTS says; an interrupted download goes on where it was.

    \b
    fusionbench weights fetch dmfnet --accept-terms
    fusionbench run -m dmfnet:weights=authors -t pet-mri
    """
    entry = lookup(name)
    importer(entry)
    files = ", ".join(file.path for file in entry.files)
    click.echo(f"{entry.title}: {files} of {entry.page}\n{entry.terms}", err=True)
    if not accept_terms:
        raise InputError("nothing was fetched; to accept these terms, repeat the command with --accept-terms")
    with progress_bar() as notify:
        written = fetch_authors(entry, base=mirror, notify=notify, force=force)
    click.echo(f"{written}; use it as: fusionbench run -m {spec_of(entry)} ...")


@weights_command.command("show")
@click.argument("file", type=FILE)
def show_weights(file: Path) -> None:
    """Print a weights file's card."""

    import safetensors  # heavy; only here

    try:
        with safetensors.safe_open(file, framework="pt") as content:
            card = json.loads((content.metadata() or {}).get("card", "{}"))
            count = len(list(content.keys()))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{file}: not a readable safetensors file ({error}); give another") from error
    click.echo(json.dumps({"tensors": count, **card}, indent=2))


@weights_command.command("import")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("-o", "--output", type=FILE, required=True, help="The .safetensors file to write.")
@click.option(*METHOD, default="dmfnet", show_default=True, help="Whose files they are.")
@click.option("--preset", default="paper", show_default=True, help="Size of the network: paper or compact.")
def import_weights(files: Sequence[Path], output: Path, method: str, preset: str) -> None:
    """Convert the files that a method's authors published (.pth) into one of ours.

    DM-FNet has two, Stage I and Stage II in this order; LKC-FUNet, Diff-IF, FRUFN and EFRUFN have one. Every key must be
    known and of the right shape; nothing in the files can run.

    \b
    fusionbench weights import GEN.pth FUSION.pth -o paper.safetensors
    fusionbench weights import best_MIF.pth -o paper.safetensors --method lkcfunet
    """
    refusal = f"no published files of method {method!r} can be read; those of dmfnet, for one, can"
    _spec(method, refusal).convert_published(files, output, preset)
    click.echo(f"wrote {output}; use it as: fusionbench run -m {method}:weights={output} ...")
