"""DM-FNet against values computed with the authors' own classes (tests/golden/dmfnet_tiny.npz, at a tiny width)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fusionbench.methods.dmfnet.diffusion import add_noise, sqrt_alpha_bar
from fusionbench.methods.dmfnet.losses import fusion_loss
from fusionbench.methods.dmfnet.model import PRESETS, DMFNet, Noise, Preset, build_head, build_unet, decoder_maps

TINY = Preset(inner=16, groups=8, dropout=0.2)
GOLDEN = Path(__file__).parent / "golden" / "dmfnet_tiny.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


@pytest.fixture(scope="module")
def tiny(golden):
    model = DMFNet(TINY).eval().requires_grad_(False)
    prefix = "unet/denoise_fn."
    model.unet.load_state_dict({k[len(prefix) :]: v for k, v in golden.items() if k.startswith(prefix)})
    model.head.load_state_dict({k[5:]: v for k, v in golden.items() if k.startswith("head/")})
    return model


def golden_noise(golden):
    eps = [[golden[f"noise_{m}_{t}"][0, 0] for t in (5, 10, 20)] for m in ("MRI", "Other")]
    level = [[golden[f"s_{m}_{t}"][0, 0] for t in (5, 10, 20)] for m in ("MRI", "Other")]
    return Noise(
        torch.stack([torch.stack(row) for row in eps])[:, None],
        torch.stack([torch.stack(row) for row in level])[:, None],
    )


@pytest.mark.parametrize("modality", ["MRI", "Other"])
@pytest.mark.parametrize("step", [5, 10, 20])
def test_unet_predicts_the_golden_x0(golden, tiny, modality, step):
    clean = golden["mri" if modality == "MRI" else "other"]
    level = golden[f"s_{modality}_{step}"][:, 0]
    noisy = add_noise(clean, level, golden[f"noise_{modality}_{step}"])
    torch.testing.assert_close(noisy, golden[f"noisy_{modality}_{step}"], rtol=0, atol=1e-6)
    torch.testing.assert_close(tiny.unet(noisy, level), golden[f"x0_{modality}_{step}"], rtol=0, atol=1e-5)


def test_head_reads_the_golden_maps(golden, tiny):
    maps = decoder_maps(tiny.unet, golden["mri"], golden["other"], golden_noise(golden))
    for got, index in zip(maps, (14, 11, 8, 5, 2), strict=True):
        width = got.shape[1] // 3
        for row, modality in enumerate(("MRI", "Other")):
            expected = golden[f"feat_{modality}_5_{index}"]
            torch.testing.assert_close(got[row : row + 1, :width], expected, rtol=0, atol=1e-5)


def test_fused_image_is_golden(golden, tiny):
    fused = tiny(golden["mri"], golden["other"], golden_noise(golden))
    torch.testing.assert_close(fused, golden["fused"], rtol=0, atol=1e-5)


def test_loss_is_golden(golden):
    total, terms = fusion_loss(golden["loss_F"], golden["loss_mri"], golden["loss_other"])
    assert total.item() == pytest.approx(golden["loss_total"].item(), abs=1e-5)
    assert terms["intensity"].item() == pytest.approx(golden["loss_intensity"].item(), abs=1e-5)
    rest = terms["gradient"] + terms["structure"]
    assert rest.item() == pytest.approx(golden["loss_gradient_plus_structure"].item(), abs=1e-5)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_schedules_are_golden(golden, schedule):
    torch.testing.assert_close(sqrt_alpha_bar(schedule), golden[f"sqrt_alpha_bar_{schedule}"], rtol=0, atol=1e-12)


def test_parameter_counts_of_the_published_size():
    def count(module):
        return sum(p.numel() for p in module.parameters())

    with torch.device("meta"):
        assert count(build_unet(PRESETS["paper"])) == 20_670_081
        assert count(build_head(PRESETS["paper"])) == 3_026_640
