"""Metrics whose weights the user fetches: what they say without them, that they never ask the network, piq's values."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionbench.errors import InputError
from fusionbench.metrics import METRICS, PROFILES, evaluate
from fusionbench.metrics.learned import URLS, files_for
from fusionbench.metrics.perceptual import piq_module
from tools.golden_table import load_triple

NAMES = ("lpips", "dists", "brisque")
CONVOLUTIONS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256)}
CONVOLUTIONS |= {17: (256, 512), **dict.fromkeys((19, 21, 24, 26, 28), (512, 512))}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of weights of one's own, and every attempt to open a connection fails the test."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a metric tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)


def put(name: str, content: object) -> None:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / name)


def put_vgg(random: torch.Generator) -> None:
    """The layout of torchvision's file. The classifier, nine tenths of it, is one number repeated: nothing here reads it."""
    state: dict[str, torch.Tensor] = {}
    for place, (inside, outside) in CONVOLUTIONS.items():
        weight = torch.randn(outside, inside, 3, 3, generator=random) * (2 / (9 * inside)) ** 0.5
        state[f"features.{place}.weight"] = weight
        state[f"features.{place}.bias"] = torch.randn(outside, generator=random) * 0.1
    for place, shape in ((0, (4096, 25088)), (3, (4096, 4096)), (6, (1000, 4096))):
        state[f"classifier.{place}.weight"] = torch.zeros(1).expand(shape)
        state[f"classifier.{place}.bias"] = torch.zeros(1).expand(shape[:1])
    put("vgg16-397923af.pth", state)


@pytest.mark.parametrize("name", NAMES)
def test_without_its_files_a_metric_says_which_and_where_from(name: str) -> None:
    a, b, f = load_triple("brain")
    with pytest.raises(InputError) as told:
        evaluate(f, a, b, name)
    for path in files_for(name):
        assert str(path) in str(told.value)
        assert URLS[path.name] in str(told.value)
    assert not list(Path(torch.hub.get_dir()).rglob("*.p*"))


def test_no_profile_has_them() -> None:
    assert not {*NAMES} & {name for profile in PROFILES.values() for name in profile.metrics}
    assert {name for name in METRICS if "weights" in METRICS[name].facts.needs} == {*NAMES}


def test_the_addresses_are_those_that_piq_has() -> None:
    spec = importlib.util.find_spec("piq")
    assert spec is not None
    assert spec.origin is not None
    text = "".join(
        (Path(spec.origin).parent / f"{module}.py").read_text("utf-8") for module in ("perceptual", "brisque")
    )
    for name in ("lpips", "dists", "brisque_svm"):
        assert URLS[f"{name}_weights.pt"].rpartition("/releases/")[2] in text


def test_brisque_is_piqs() -> None:
    random = torch.Generator().manual_seed(0)
    vectors = torch.rand(774, 36, generator=random) * 2 - 1
    put("brisque_svm_weights.pt", (torch.randn(774, 1, generator=random), vectors))
    a, b, f = load_triple("brain")
    own = evaluate(np.stack([f, a, b]), np.stack([a] * 3), np.stack([b] * 3), "brisque")["brisque"]
    for value, image in zip(own, (f, a, b), strict=True):
        tensor = torch.from_numpy(image.astype(float))[None, None]
        assert value == pytest.approx(float(piq_module("brisque").brisque(tensor / 255, data_range=1.0)), rel=1e-9)
    assert len(set(own)) == 3
    assert np.isnan(evaluate(np.zeros_like(f), a, b, "brisque")["brisque"][0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning", "ignore:Arguments other than:UserWarning")
def test_lpips_and_dists_are_piqs() -> None:
    try:
        piq_module("perceptual")
    except (ImportError, RuntimeError, AttributeError) as error:
        pytest.skip(f"torchvision cannot be imported here: {error}")
    import piq

    random = torch.Generator().manual_seed(0)
    put_vgg(random)
    put("lpips_weights.pt", [torch.rand(1, width, 1, 1, generator=random) for width in (64, 128, 256, 512, 512)])
    both = torch.rand(2, 1, 1475, 1, 1, generator=random, dtype=torch.float64)
    both = both / both.sum()  # as the published ones
    put("dists_weights.pt", {"alpha": both[0], "beta": both[1]})
    triple = tuple(np.ascontiguousarray(x[64:160, 64:160]) for x in load_triple("brain"))
    a, b, f = (torch.from_numpy(x / 255)[None, None].expand(1, 3, -1, -1) for x in triple)
    for name, network in (("lpips", piq.LPIPS()), ("dists", piq.DISTS())):
        own = evaluate(triple[2], triple[0], triple[1], name)[name][0]
        assert own == pytest.approx((float(network(f, a)) + float(network(f, b))) / 2, rel=1e-9)
        assert evaluate(triple[0], triple[0], triple[0], name)[name][0] == pytest.approx(0.0, abs=1e-5)
        assert own > 1e-3


def test_a_torchvision_that_is_missing_or_does_not_fit_is_told() -> None:
    for name in ("vgg16-397923af.pth", "lpips_weights.pt"):
        put(name, {})
    told = ""
    try:
        evaluate(*load_triple("brain"), "lpips")
    except InputError as error:
        told = str(error)
    except (RuntimeError, AssertionError):
        pytest.skip("torchvision can be imported here (the empty file is refused after that)")
    assert "pip install fusionbench-mmif[iqa]" in told
