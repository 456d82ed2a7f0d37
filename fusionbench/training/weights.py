"""Weights on disk: safetensors with a card (what was trained, on what), and strict loading of anything into a network."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from fusionbench.errors import InputError
from fusionbench.files import write_bytes

N = TypeVar("N", bound=nn.Module)
P = TypeVar("P")
LICENCE = "research use only; trained on images of the Harvard Whole Brain Atlas (AANLIB)"


def save_weights(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any], half: bool = False) -> None:
    """Write tensors and card atomically; `half` stores float16, which loading turns back into float32."""
    dtype = torch.float16 if half else torch.float32
    kept = {
        # A copy of each: a parameter that serves in several places is stored in each of them.
        key: t.detach()
        .to("cpu", dtype if t.is_floating_point() else t.dtype)
        .clone(memory_format=torch.contiguous_format)
        for key, t in tensors.items()
    }
    for key, tensor in kept.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(
                f"tensor {key} holds values that are not finite as {dtype}; these weights cannot be stored"
            )
    metadata = {"card": json.dumps(dict(card), sort_keys=True)}
    write_bytes(path, safetensors.torch.save(kept, metadata))


def load_weights(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read (tensors as float32, card). `kind` is what the card must say under "kind", such as "dmfnet".

    Raises InputError for a file that is missing, damaged, not safetensors, without a card or of another kind.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such weights file; check the path")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {}).get("card", "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, ValueError, RecursionError, OSError) as error:
        raise InputError(
            f"{path}: not a readable safetensors file ({error}); give a file written by this program"
        ) from error
    card = card if isinstance(card, dict) else {}
    if card.get("kind") != kind:
        raise InputError(
            f"{path}: holds weights of {card.get('kind', 'something unknown')!r}, not of {kind!r}; give another file"
        )
    return {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}, card


def save_network(
    path: Path, network: nn.Module, kind: str, preset: Any, card: Mapping[str, Any], half: bool = False
) -> None:
    """Write a network with a card that says how to build it (``preset``, a dataclass) and what was trained on what."""
    save_weights(
        path,
        network.state_dict(),
        {"kind": kind, "preset": dataclasses.asdict(preset), "licence": LICENCE, **card},
        half,
    )


def load_network(
    path: Path, kind: str, preset: Callable[..., P], build: Callable[[P], N], expected: P | None = None
) -> tuple[N, dict[str, Any]]:
    """Build the network that a file's card describes, ``build(preset(**fields))``, and fill it: (network, card).

    Raises InputError for a missing, damaged or foreign file, or one whose preset is not the ``expected`` one.
    """
    tensors, card = load_weights(path, kind)
    try:
        p = preset(**card.get("preset", {}))
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise InputError(f"{path}: its card does not describe this network ({error}); give another file") from error
    if expected is not None and p != expected:
        raise InputError(f"{path}: holds a network of {p}, not of {expected}; give its own --preset and --network")
    return build_strict(lambda: build(p), tensors, str(path)), card


def load_pickle(path: Path) -> dict[str, Any]:
    """Read a .pth file with `weights_only=True`, so that no code in it can run.

    Raises InputError when it is missing, damaged or holds anything but tensors and plain containers.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises almost anything on foreign bytes
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: not a checkpoint of plain tensors ({first[:200]}); give another file") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(
            f"{path}: holds a {type(content).__name__}, a dictionary of named tensors was expected; give another file"
        )
    return content


def build_strict(make: Callable[[], N], tensors: Mapping[str, Any], source: str) -> N:
    """A network of the size that a file claims, filled with its tensors.

    It is made without memory at first: a damaged or hostile file may claim any size, and only what fits its own tensors is
    made for real. Raises InputError when nothing can be made of the claim, or a key is missing, extra or misshapen.
    """
    try:
        with torch.device("meta"):
            sketch = make()
    except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError, InputError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{source}: its card does not describe this network ({reason}); give another file") from error
    _refuse_others(sketch, tensors, source)
    network = make()
    load_strict(network, tensors, source)
    return network


def load_strict(network: nn.Module, tensors: Mapping[str, Any], source: str) -> None:
    """Copy tensors into a network. Raises InputError listing every missing, extra or misshapen key."""
    _refuse_others(network, tensors, source)
    network.load_state_dict(dict(tensors))


def _refuse_others(network: nn.Module, tensors: Mapping[str, Any], source: str) -> None:
    expected = network.state_dict()
    problems = [f"missing {key}" for key in expected.keys() - tensors.keys()]
    problems += [f"extra {key}" for key in tensors.keys() - expected.keys()]
    for key in expected.keys() & tensors.keys():
        value = tensors[key]
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if shape != tuple(expected[key].shape):
            problems.append(f"{key} is {shape}, must be {tuple(expected[key].shape)}")
    if problems:
        shown = "; ".join(sorted(problems)[:20]) + (f"; and {len(problems) - 20} more" if len(problems) > 20 else "")
        raise InputError(
            f"{source}: not weights of this network ({len(problems)} keys differ): {shown}; check preset and file"
        )
