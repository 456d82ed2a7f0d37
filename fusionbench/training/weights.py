"""Weights on disk: safetensors with a card (what was trained, on what), and strict loading of anything into a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from fusionbench.errors import InputError
from fusionbench.files import write_bytes


def save_weights(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any], half: bool = False) -> None:
    """Write tensors and card atomically; `half` stores float16, which loading turns back into float32."""
    dtype = torch.float16 if half else torch.float32
    kept = {
        key: t.detach().to("cpu", dtype if t.is_floating_point() else t.dtype).contiguous()
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
    except (safetensors.SafetensorError, json.JSONDecodeError, OSError) as error:
        raise InputError(
            f"{path}: not a readable safetensors file ({error}); give a file written by this program"
        ) from error
    if card.get("kind") != kind:
        raise InputError(
            f"{path}: holds weights of {card.get('kind', 'something unknown')!r}, not of {kind!r}; give another file"
        )
    return {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}, card


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
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: holds a {type(content).__name__}, a dictionary of tensors was expected; give another file"
        )
    return content


def load_strict(network: nn.Module, tensors: Mapping[str, Any], source: str) -> None:
    """Copy tensors into a network. Raises InputError listing every missing, extra or misshapen key."""
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
    network.load_state_dict(dict(tensors))
