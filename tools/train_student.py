"""Train dmfnet-fast as docs/protocol.md says: the teacher's images of the protocol's pairs, then the student on them.

    python tools/train_protocol.py pack HARVARD_FOLDER pairs.npz
    python tools/train_student.py teach pairs.npz teacher --weights results/protocol/dmfnet-a.safetensors
    python tools/train_student.py train pairs.npz teacher --out training/dmfnet-fast [--minutes M] [--resume]

``teach`` writes teacher/TASK/ID.png and teacher.json, which says whose images they are; repeated, it goes on where it was
stopped. ``train`` needs all of them, checks that the pairs are the same, and writes OUT/dmfnetfast.safetensors.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from protocol_jobs import COUNTS, read_pairs

from fusionbench.bench.training import seen_lines
from fusionbench.errors import InputError
from fusionbench.files import write_bytes
from fusionbench.methods import create_method
from fusionbench.methods.dmfnetfast.spec import SPEC
from fusionbench.pairs import UInt8, read_picture, to_uint8, write_png
from fusionbench.training import Split, TrainingPair, load_weights, spread

DRAWS = {"train": 1, "validation": 8}
VALIDATED = 4  # of each task


def chosen(pairs: Path) -> Split:
    """The protocol's pairs to train on, and those of its validation pairs that the student is validated on."""
    split = read_pairs(pairs)
    few = [p for task in COUNTS for p in spread([p for p in split.validation if p.task == task], VALIDATED)]
    return Split(split.train, few)


def teach(pairs: Path, folder: Path, weights: Path) -> None:
    """Fuse every pair by the teacher, once. Raises InputError where the folder holds another teacher's images."""
    split = chosen(pairs)
    facts = _facts(split, weights)
    about = folder / "teacher.json"
    if about.is_file() and json.loads(about.read_text()) != facts:
        raise InputError(f"{about}: images of another teacher or of other pairs; give an empty folder")
    write_bytes(about, json.dumps(facts, indent=1).encode())
    waiting = [
        (part, p)
        for part, of_part in (("validation", split.validation), ("train", split.train))
        for p in of_part
        if not _image(folder, p).is_file()
    ]
    methods = {part: create_method(f"dmfnet:weights={weights},draws={draws}").method for part, draws in DRAWS.items()}
    for method in methods.values():
        method.prepare(torch.device("cpu"))
    for number, (part, p) in enumerate(waiting, 1):
        a, b = (torch.from_numpy(image).float()[None, None] / 255 for image in (p.a, p.b))
        fused = methods[part].fuse(a, b, torch.Generator().manual_seed(0))
        write_png(_image(folder, p), to_uint8(fused[0, 0].numpy()))
        print(f"{number} of {len(waiting)}: {p.task}/{p.id}", flush=True)


def _facts(split: Split, weights: Path) -> dict[str, Any]:
    _, card = load_weights(weights, "dmfnet")
    return {
        "teacher": card.get("protocol", {}).get("configuration", weights.stem),
        "weights": create_method(f"dmfnet:weights={weights}").weights,
        "draws": DRAWS,
        "seed": 0,
        "pairs": split.describe(),
    }


def _image(folder: Path, pair: TrainingPair) -> Path:
    return folder / pair.task / f"{pair.id}.png"


def _target(folder: Path, pair: TrainingPair) -> UInt8:
    file = _image(folder, pair)
    if not file.is_file():
        raise InputError(f"{file}: the teacher has not fused this pair yet; go on with: train_student.py teach")
    return read_picture(file).grey


def train(options: argparse.Namespace) -> Path:
    """Train on the images that there are. Raises InputError where one is missing, or they are of other pairs."""
    split, about = chosen(options.pairs), options.teacher / "teacher.json"
    facts = json.loads(about.read_text()) if about.is_file() else {}
    if facts.get("pairs") != json.loads(json.dumps(split.describe())):
        raise InputError(f"{about}: no account of images of these pairs; make them with: train_student.py teach")
    taught = [
        [dataclasses.replace(p, target=_target(options.teacher, p)) for p in part]
        for part in (split.train, split.validation)
    ]
    protocol = {
        "page": "docs/protocol.md",
        "commit": options.commit,
        "configuration": "dmfnet-fast",
        "board_looks": 0,
        **{key: facts[key] for key in ("teacher", "weights", "draws", "seed")},
    }
    started = time.monotonic()
    return SPEC.train(
        Split(*taught),
        options.out,
        overrides={"steps": options.steps} if options.steps else {},
        resume=options.resume,
        until=None if options.minutes is None else started + 60 * options.minutes,
        card={"protocol": protocol, **seen_lines([*split.train, *split.validation])},
        notify=lambda stage, done, total, item: (
            print(f"{done} of {total} {item}", flush=True) if done % 50 == 0 else None
        ),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    teacher = commands.add_parser("teach", help="write the teacher's images")
    student = commands.add_parser("train", help="train the student on them")
    for command in (teacher, student):
        command.add_argument("pairs", type=Path)
        command.add_argument("teacher", type=Path, help="folder of the teacher's images")
    teacher.add_argument("--weights", type=Path, required=True, help="of the teacher, a dmfnet")
    student.add_argument("--out", type=Path, default=Path("training/dmfnet-fast"))
    student.add_argument("--steps", type=int, help="as long as the run is; default: the protocol's")
    student.add_argument("--minutes", type=float, help="stop then, and write the best weights so far")
    student.add_argument("--resume", action="store_true")
    student.add_argument("--commit", default="", help="of this source tree, for the card")
    options = parser.parse_args()
    try:
        if options.command == "teach":
            teach(options.pairs, options.teacher, options.weights)
        else:
            print(f"wrote {train(options)}")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
