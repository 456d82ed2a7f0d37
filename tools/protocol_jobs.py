"""What docs/protocol.md trains, and on which pairs: the rules of its data and every configuration, for train_protocol.py."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionbench.bench.training import training_pairs
from fusionbench.datasets import create_task
from fusionbench.errors import InputError
from fusionbench.files import write_bytes
from fusionbench.methods.cnnfuse.spec import SPEC as CNNFUSE
from fusionbench.methods.cnnfuse.spec import loss as cnnfuse_loss
from fusionbench.methods.coupledcsc.spec import SPEC as COUPLEDCSC
from fusionbench.methods.coupledcsc.spec import loss as coupledcsc_loss
from fusionbench.methods.densefuse.spec import SPEC as DENSEFUSE
from fusionbench.methods.densefuse.spec import loss as densefuse_loss
from fusionbench.methods.dmfnet import model as dmfnet
from fusionbench.methods.dmfnet.losses import LossWeights as DMFNetLoss
from fusionbench.methods.dmfnet.recipes import DenoiseRecipe, FuseRecipe
from fusionbench.methods.dmfnet.spec import DENOISE
from fusionbench.methods.dmfnet.spec import SPEC as DMFNET
from fusionbench.methods.lkcfunet import network as lkcfunet
from fusionbench.methods.lkcfunet.losses import LossWeights as LKCFUNetLoss
from fusionbench.methods.lkcfunet.spec import SPEC as LKCFUNET
from fusionbench.methods.lkcfunet.spec import Objective
from fusionbench.pairs import pixel_digest
from fusionbench.training import NetworkSpec, PairRecipe, Recipe, Settings, Split, TrainingPair, without_copies
from fusionbench.training.weights import LICENCE

VALIDATION_CASES = ("25", "28")
COUNTS = {"ct-mri": (110, 15), "pet-mri": (86, 86), "spect-mri": (215, 32)}  # to train on, to validate on


@dataclasses.dataclass(frozen=True)
class Job:
    """One training. group: whose steps are equal; reads: the job whose U-Net its features come from."""

    name: str
    group: str
    loss: DMFNetLoss | LKCFUNetLoss | None = None
    reads: str = ""


DIFFUSION, AUTOENCODER, UNTRAINED = "denoise-diffusion", "denoise-autoencoder", "denoise-untrained"
JOBS = (
    Job(DIFFUSION, "denoise"),
    Job(AUTOENCODER, "denoise"),
    Job("dmfnet-a", "fuse", DMFNetLoss(), DIFFUSION),
    Job("dmfnet-b", "fuse", DMFNetLoss(3, 2, 0.5, border="valid"), DIFFUSION),
    Job("dmfnet-c", "fuse", DMFNetLoss(3, 2, 0.5, fidelity=0.25, similarity=0.5, border="valid"), DIFFUSION),
    Job("ablation-autoencoder", "fuse", DMFNetLoss(), AUTOENCODER),
    Job("ablation-untrained", "fuse", DMFNetLoss(), UNTRAINED),
    Job("lkcfunet-a", "lkcfunet", LKCFUNetLoss()),
    Job("lkcfunet-b", "lkcfunet", LKCFUNetLoss(4, 3, 1, border="valid")),
    Job("cnn-fuse", "cnnfuse"),
    Job("densefuse", "densefuse"),
    Job("coupled-csc", "coupledcsc"),
)
SMALL: dict[str, tuple[NetworkSpec[Any, Any], Any]] = {
    "cnnfuse": (CNNFUSE, cnnfuse_loss),
    "densefuse": (DENSEFUSE, densefuse_loss),
    "coupledcsc": (COUPLEDCSC, coupledcsc_loss),
}
SMALL_STEPS = 6000  # they are at rest long before
SETTINGS: dict[str, dict[str, Any]] = {
    "denoise": {"crop": 96, "lr": 1e-3, "optimizer": "adamw", "weight_decay": 0.01, "precision": "bf16"},
    "fuse": {"crop": 96, "lr": 1e-3, "precision": "bf16"},
    "lkcfunet": {"crop": 64, "lr": 1e-3},
    **{group: {"crop": 64, "lr": 2e-3} for group in SMALL},
}


@dataclasses.dataclass(frozen=True)
class Size:
    """Widths, and the settings that differ from the protocol's."""

    dmfnet: dmfnet.Preset
    lkcfunet: lkcfunet.Preset
    changes: Mapping[str, Any]


SIZES = {
    "compact": Size(DMFNET.presets["compact"], LKCFUNET.presets["compact"], {"batch": 16}),
    # To try the machinery.
    "tiny": Size(dmfnet.Preset(8, 4, 0.0), lkcfunet.Preset(2, dropout=0.0), {"batch": 2, "crop": 64}),
}


def protocol_split(data: Path) -> Split:
    """The pairs to train and to validate on. Raises InputError when they are not as many as the protocol says."""
    pairs, _ = training_pairs([f"harvard/{task}" for task in COUNTS], [data], "by-case-train")
    tests = []
    for task in COUNTS:
        published = create_task(f"harvard/{task}", data=[data], split="test")
        for id in published.ids():
            pair = published.load(id)
            tests.append(TrainingPair(task, id, pair.case, pair.a, pair.b))
    names = {(p.task, p.id) for p in tests}
    kept = [p for p in pairs if (p.task, p.id) not in names]
    # No other image is a copy of a test image: if one were, a pair would be missing in the count below.
    kept = [p for p in without_copies(kept, tests) if (p.task, p.id) not in names]
    split = Split([p for p in kept if p.case not in VALIDATION_CASES], [p for p in kept if p.case in VALIDATION_CASES])
    found = {t: tuple(sum(p.task == t for p in part) for part in (split.train, split.validation)) for t in COUNTS}
    if found != COUNTS:
        raise InputError(f"{data}: pairs to train and validate on are {found}, the protocol has {COUNTS}")
    return split


def write_pairs(path: Path, split: Split) -> None:
    """One compressed file: all different images as one uint8 array, and which pair is made of which."""
    images: dict[str, Any] = {}
    rows = []
    for part, pairs in (("train", split.train), ("validation", split.validation)):
        for p in pairs:
            digests = [pixel_digest(p.a), pixel_digest(p.b)]
            images.update(zip(digests, (p.a, p.b), strict=True))
            rows.append({"part": part, "task": p.task, "id": p.id, "case": p.case, "images": digests})
    manifest = json.dumps({"images": list(images), "pairs": rows}).encode()
    arrays = {"images": np.stack(list(images.values())), "manifest": np.frombuffer(manifest, np.uint8)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)
    write_bytes(path, buffer.getvalue())


def read_pairs(path: Path) -> Split:
    """What :func:`write_pairs` wrote. Raises InputError for another or a damaged file."""
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            images, manifest = file["images"], json.loads(bytes(file["manifest"]))
        of_digest = dict(zip(manifest["images"], images, strict=True))
        parts: dict[str, list[TrainingPair]] = {"train": [], "validation": []}
        for row in manifest["pairs"]:
            a, b = (of_digest[digest] for digest in row["images"])
            parts[row["part"]].append(TrainingPair(row["task"], row["id"], row["case"], a, b))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a file of pairs ({error}); write one with: train_protocol.py pack") from error
    return Split(**parts)


@dataclasses.dataclass(frozen=True)
class Built:
    """A job ready to train. tensors: of the weights file, from the trained module's state; card: what it says of them."""

    recipe: Recipe
    settings: Settings
    channels_last: bool
    tensors: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    card: dict[str, Any]


def untrained(size: Size, seed: int = 0) -> dmfnet.DMFNet:
    """DM-FNet at its start; the U-Net is the same for every job."""
    return (DMFNET.initial or DMFNET.build)(size.dmfnet, seed)


def build(job: Job, size: Size, steps: int, graph: bool, features: Path) -> Built:
    """Networks at their start. features: the U-Net's file, for a job of group "fuse"."""
    settings = Settings(
        **{**SETTINGS[job.group], **size.changes}, steps=steps, validate_every=-(-steps // 12), graph=graph
    )
    facts: dict[str, Any] = {"settings": dataclasses.asdict(settings), "licence": LICENCE}
    if job.loss is not None:
        facts["loss"] = dataclasses.asdict(job.loss)
    if job.group == "denoise":
        denoise = DenoiseRecipe(untrained(size).unet, low_noise=0.6, readout=1.0, noise=job.name != AUTOENCODER)
        facts["denoise"] = {**facts.pop("settings"), "low_noise": 0.6, "readout": 1.0, "noise": denoise.noise}
        card = {"kind": f"{DMFNET.name}-{DENOISE.name}", "preset": dataclasses.asdict(size.dmfnet), **facts}
        prefix = "unet."
        return Built(denoise, settings, True, lambda state: {
            key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}, card)  # fmt: skip
    torch.manual_seed(settings.seed)
    if isinstance(job.loss, DMFNetLoss):
        model = dmfnet.DMFNet(size.dmfnet)
        origin = DMFNET.load_part(features, DENOISE, model)
        torch.nn.utils.convert_conv2d_weight_memory_format(model.unet, torch.channels_last)
        frozen = {f"unet.{key}": value.clone() for key, value in model.unet.state_dict().items()}
        facts["fuse"] = facts.pop("settings")
        facts["denoise"] = origin.get("denoise")
        facts["stage_one"] = origin.get("protocol")
        card = {"kind": DMFNET.name, "preset": dataclasses.asdict(size.dmfnet), **facts}
        return Built(FuseRecipe(model.unet, model.head, job.loss), settings, True, lambda state: {
            **frozen, **{f"head.{key}": value for key, value in state.items()}}, card)  # fmt: skip
    if isinstance(job.loss, LKCFUNetLoss):
        facts["train"] = facts.pop("settings")
        recipe = PairRecipe(job.name, lkcfunet.Network(size.lkcfunet), Objective(job.loss))
        return Built(recipe, settings, False, dict,
                     {"kind": "lkcfunet", "preset": dataclasses.asdict(size.lkcfunet), **facts})  # fmt: skip
    spec, loss = SMALL[job.group]
    return Built(
        PairRecipe(job.name, spec.build(spec.presets["compact"]), loss),
        settings,
        False,
        dict,
        {"kind": job.group, **facts},
    )
