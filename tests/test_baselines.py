"""The training-free methods: transforms that reconstruct, laws that hold, parts with known answers."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from fusionbench.datasets import create_task
from fusionbench.errors import InputError
from fusionbench.methods import METHODS, create_method, unavailable
from fusionbench.methods.baselines import _convolutional, _dualtree, _nonsubsampled, _search
from fusionbench.methods.baselines import cartoon_texture as denoising
from fusionbench.methods.baselines._filters import guided_filter, leading_weights, window_mean
from fusionbench.methods.baselines._pyramid import expand, extend, make_even, reduce, select
from fusionbench.methods.baselines._sparse import matching_pursuit
from fusionbench.methods.baselines.gradient_transfer import l1_tv
from fusionbench.methods.baselines.pyramids import _divergence, _gradients
from fusionbench.methods.baselines.saliency import histogram_saliency, rolling_layers
from fusionbench.methods.baselines.shearlets import DIRECTIONS, SIZES, firings, otsu

SHAPES = [(64, 48), (61, 83), (17, 17), (33, 20)]


def random_image(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def fuse(spec: str, a: np.ndarray, b: np.ndarray, seed: int = 0) -> np.ndarray:
    method = create_method(spec).method
    method.prepare(torch.device("cpu"))
    x, y = (torch.from_numpy(image)[None, None].float() for image in (a, b))
    return method.fuse(x, y, torch.Generator().manual_seed(seed))[0, 0].double().numpy()


def test_there_are_at_least_28_methods():
    assert len(METHODS.names()) >= 28


@pytest.mark.parametrize("shape", SHAPES)
def test_pyramids_reconstruct_perfectly(shape):
    image = random_image(shape)
    even = make_even(image)
    low = reduce(even)
    assert np.allclose(expand(low, even.shape) + (even - expand(low, even.shape)), even, atol=1e-12)
    for kernel in ("maxflat", "pyr", "pyrexc"):
        low, details = _nonsubsampled.pyramid(image, 4, kernel)
        assert np.abs(_nonsubsampled.pyramid_inverse(low, details, kernel) - image).max() < 1e-10


@pytest.mark.parametrize("shape", SHAPES)
def test_shearlets_and_contourlets_reconstruct_perfectly(shape):
    image = random_image(shape)
    low, bands = _nonsubsampled.shearlet(image, DIRECTIONS, SIZES)
    assert [band.shape for band in bands] == [(count, *shape) for count in DIRECTIONS]
    assert np.abs(_nonsubsampled.shearlet_inverse(low, bands, SIZES) - image).max() < 1e-10
    low, bands = _nonsubsampled.contourlet(image, (3, 3, 2, 2))
    assert [len(band) for band in bands] == [8, 8, 4, 4]
    assert np.abs(_nonsubsampled.contourlet_inverse(low, bands, (3, 3, 2, 2)) - image).max() < 1e-10


MULTISCALE = [
    "laplacian",
    "ratio-pyramid",
    "gradient-pyramid",
    "dwt",
    "swt",
    "dtcwt",
    "nsct",
    "nsst-wlf",
    "nsst-papcnn",
]


@pytest.mark.parametrize("shape", [(64, 48), (61, 83), (17, 17)])
@pytest.mark.parametrize("name", MULTISCALE)
def test_multiscale_methods_rebuild_an_image_fused_with_itself(name, shape):
    """In float64 and unclipped: the selection keeps every coefficient, so this is the transform there and back."""
    image = random_image(shape)
    whole = inspect.unwrap(METHODS[name].factory)
    assert np.abs(whole(image, image) - image).max() < 1e-10


def test_shearlets_and_contourlets_shift_with_the_image():
    image = np.zeros((96, 96))
    image[40:56, 40:56] = random_image((16, 16))
    moved = np.roll(image, (5, -3), (0, 1))
    for transform in (
        lambda x: _nonsubsampled.shearlet(x, DIRECTIONS[:3], SIZES[:3]),
        lambda x: _nonsubsampled.contourlet(x, (3, 2)),
    ):
        (low, bands), (moved_low, moved_bands) = transform(image), transform(moved)
        for one, other in zip([low, *bands], [moved_low, *moved_bands], strict=True):
            # The pyramid's filters reach 18 pixels on the third level; what they carry is inside the border by then.
            assert np.abs(np.roll(one, (5, -3), (-2, -1)) - other).max() < 2e-4


def test_shearing_filters_tile_the_plane_and_point_different_ways():
    filters = _nonsubsampled.shearing_filters(16, 16)
    whole = filters.sum(axis=0)
    assert whole[8, 8] == pytest.approx(1, abs=1e-12)
    assert np.abs(whole).sum() == pytest.approx(1, abs=1e-10)
    stripes = np.tile(np.cos(2 * np.pi * np.arange(64) / 4), (64, 1))
    _, bands = _nonsubsampled.shearlet(stripes, (8,), (8,))
    energy = np.sort((bands[0] ** 2).sum(axis=(1, 2)))[::-1]
    assert energy[:3].sum() > 0.95 * energy.sum()


def test_contourlet_directions_hold_the_stripes_that_lie_there():
    stripes = np.tile(np.cos(2 * np.pi * np.arange(64) / 4), (64, 1))
    for image in (stripes, stripes.T):
        _, bands = _nonsubsampled.contourlet(image, (1,))
        energy = np.sort((bands[0] ** 2).sum(axis=(1, 2)))
        assert energy[1] > 50 * energy[0]


def test_dual_tree_reconstructs_and_hardly_minds_a_shift():
    image = random_image((64, 96))
    low, bands = _dualtree.forward(image, 4)
    assert np.abs(_dualtree.inverse(low, bands) - image).max() < 1e-10
    energies = []
    for shift in range(8):
        block = np.zeros((128, 128))
        block[40:60, 32 + shift : 50 + shift] = 1
        energies.append([(np.abs(band) ** 2).sum() for band in _dualtree.forward(block, 4)[1][2]])
    spread = np.std(energies, axis=0) / np.mean(energies, axis=0)
    assert spread.max() < 0.1  # a decimated wavelet varies by more than a third


def test_gradient_pyramid_filters_make_a_laplacian():
    image = random_image((20, 24))
    blurred = image
    for axis in (0, 1):
        blurred = np.stack([w * np.roll(blurred, k - 2, axis) for k, w in enumerate((1, 4, 6, 4, 1))]).sum(axis=0) / 16
    assert np.abs(_divergence(_gradients(image)) - (image - blurred)).max() < 1e-12


def test_select_takes_the_locally_stronger_source():
    first, second = np.zeros((9, 9)), np.zeros((9, 9))
    first[2, 2], second[6, 6] = 3, -4
    chosen = select(first, second)
    assert chosen[2, 2] == 3
    assert chosen[6, 6] == -4
    assert extend(np.ones((4, 4)), 1)[0, 0] == 0
    assert extend(np.arange(16.0).reshape(4, 4), 1)[1, 0] == 1


def test_window_mean_counts_only_pixels_inside():
    image = np.arange(30.0).reshape(5, 6)
    means = window_mean(image, 1)
    assert means[0, 0] == pytest.approx(image[:2, :2].mean())
    assert means[2, 3] == pytest.approx(image[1:4, 2:5].mean())
    assert window_mean(image, 50) == pytest.approx(np.full((5, 6), image.mean()))


def test_guided_filter_with_itself_and_no_penalty_is_the_image():
    image = random_image((20, 30))
    assert guided_filter(image, image, 3, 1e-12) == pytest.approx(image, abs=1e-6)
    assert guided_filter(image, np.full_like(image, 0.3), 3, 0.1) == pytest.approx(np.full_like(image, 0.3))


def test_leading_weights():
    x = random_image((16, 16))
    assert leading_weights(x, x) == pytest.approx((0.5, 0.5))
    assert leading_weights(x, 3 * x) == pytest.approx((0.25, 0.75))
    assert leading_weights(x, 1 - x) == (0.5, 0.5)
    assert leading_weights(np.ones((4, 4)), np.zeros((4, 4))) == (0.5, 0.5)


def test_histogram_saliency_of_three_levels():
    image = np.array([[0, 0, 0, 10]]) / 255
    assert histogram_saliency(image).tolist() == [[0, 0, 0, 1]]
    assert not histogram_saliency(np.full((3, 3), 0.4)).any()


def test_rolling_layers_add_up():
    image = random_image((40, 33))
    assert sum(rolling_layers(image, 4)) == pytest.approx(image)


def test_l1_tv_removes_a_dot_and_keeps_a_block():
    image = np.zeros((40, 40))
    image[5, 5] = 1
    image[10:35, 10:35] = 0.8
    smooth = l1_tv(image, 1.0, 8)
    assert abs(smooth[5, 5]) < 0.05
    assert smooth[22, 22] == pytest.approx(0.8, abs=0.02)


def test_otsu_parts_two_levels():
    image = np.array([[20, 20, 20, 200, 200]]) / 255
    assert 20 / 255 <= otsu(image) < 200 / 255
    assert otsu(np.zeros((5, 5))) == 0
    assert not firings(np.zeros((5, 5)), 10).any()


def test_stronger_stimulus_fires_more_often():
    stimulus = np.full((20, 20), 0.05)
    stimulus[:, 10:] = 0.6
    counts = firings(stimulus, 110)
    assert counts[:, 12:].min() > counts[:, :8].max()


def test_matching_pursuit_finds_the_atoms_that_made_a_signal():
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((64, 100))
    atoms /= np.linalg.norm(atoms, axis=0)
    signals = np.stack([2 * atoms[:, 3] - 1.5 * atoms[:, 60], np.zeros(64)])
    approximations, norms = matching_pursuit(atoms, signals, 1e-6, 10)
    assert approximations == pytest.approx(signals, abs=1e-6)
    assert norms == pytest.approx([3.5, 0], abs=1e-6)


def test_matching_pursuit_stops_at_the_residual_asked_for():
    rng = np.random.default_rng(1)
    atoms = rng.standard_normal((16, 40))
    atoms /= np.linalg.norm(atoms, axis=0)
    signals = rng.standard_normal((50, 16))
    approximations, _ = matching_pursuit(atoms, signals, 0.5, 16)
    assert np.linalg.norm(signals - approximations, axis=1).max() <= 0.5 + 1e-9


def test_convolutional_codes_solve_their_problem():
    """At the minimum, |D^T (s - D x)| <= lambda everywhere, with equality and matching sign where x is not zero."""
    torch.manual_seed(0)
    filters = torch.randn(6, 5, 5, dtype=torch.float64)
    filters /= filters.flatten(1).norm(dim=1)[:, None, None]
    spectrum = _convolutional.spectra(filters, (24, 21))
    signal = torch.randn(1, 24, 21, dtype=torch.float64)
    codes, _ = _convolutional.sparse_codes(signal, spectrum, 0.3, iterations=3000, tolerance=1e-9)
    rest = torch.fft.rfft2(signal - _convolutional.synthesize(codes, spectrum))
    slope = torch.fft.irfft2(spectrum.conj() * rest[:, None], s=(24, 21))
    assert float(slope.abs().max()) <= 0.3 + 1e-4
    used = codes.abs() > 1e-6
    assert 0 < float(used.double().mean()) < 0.5
    assert float((slope[used] - 0.3 * codes[used].sign()).abs().max()) < 1e-4


def test_split_bands_adds_up_and_keeps_constants_low():
    signal = torch.rand(2, 30, 17, dtype=torch.float64)
    low, high = _convolutional.split_bands(signal, 5.0)
    assert torch.allclose(low + high, signal)
    assert float(_convolutional.split_bands(torch.full((1, 9, 12), 0.4), 60.0)[1].abs().max()) < 1e-6


@pytest.mark.parametrize("search", [_search.jaya, _search.identity_search, _search.grey_wolves])
def test_searches_find_a_peak_inside_the_cube(search):
    peak = np.array([0.2, 0.8, 0.6])

    def score(point: np.ndarray) -> float:
        assert point.min() >= 0
        assert point.max() <= 1
        return -float(((point - peak) ** 2).sum())

    best = search(score, 3, 12, 60, np.random.default_rng(0))
    assert np.abs(best - peak).max() < 0.1


def test_search_prefers_what_the_objective_says():
    flat, noisy = np.full((32, 32), 0.5), random_image((32, 32))
    assert _search.objective(noisy) > _search.objective(flat) == 0


@pytest.mark.parametrize("name", ["nsst-jaya", "nsst-search", "spectrum-mask"])
def test_searched_methods_depend_on_the_generator_alone(name):
    a, b = random_image((24, 24)), random_image((24, 24), 1) ** 2
    spec = f"{name}:population=4,iterations=3"
    assert (fuse(spec, a, b, seed=3) == fuse(spec, a, b, seed=3)).all()
    assert (fuse(spec, a, b, seed=3) != fuse(spec, a, b, seed=4)).any()


EXCHANGEABLE = [
    "laplacian",
    "ratio-pyramid",
    "gradient-pyramid",
    "dwt",
    "swt",
    "dtcwt",
    "nsct",
    "nsst-wlf",
    "guided-filter",
]


@pytest.mark.parametrize("name", EXCHANGEABLE)
def test_choosing_methods_are_symmetric_where_nothing_ties(name):
    """The fact sheets say not symmetric, since a tie takes one side; images without ties show the rest of it."""
    a, b = random_image((48, 40)), random_image((48, 40), 1)
    assert np.abs(fuse(name, a, b) - fuse(name, b, a)).max() < 1e-5


@pytest.mark.parametrize(
    "spec",
    ["laplacian:levels=0", "dwt:wavelet=no-such", "weighted:weight=2", "cartoon-texture:noise=-3", "latlrr:levels=9"],
)
def test_settings_out_of_range_are_refused_in_words(spec):
    with pytest.raises(InputError, match=r"give|take"):
        fuse(spec, random_image((32, 32)), random_image((32, 32)))


def test_ifcnn_without_weights_says_where_to_get_them(tmp_path):
    method = create_method("ifcnn-max").method
    with pytest.raises(InputError, match="weights=FILE"):
        method.prepare(torch.device("cpu"))
    assert "needs weights" in str(unavailable(METHODS["ifcnn-max"]))
    wrong = tmp_path / "wrong.pth"
    torch.save({"conv1.weight": torch.zeros(1)}, wrong)
    with pytest.raises(InputError, match=r"wrong\.pth: conv1\.weight"):
        create_method(f"ifcnn-max:weights={wrong}").method.prepare(torch.device("cpu"))


def psnr(x: np.ndarray, y: np.ndarray) -> float:
    return float(-10 * np.log10(((x - y) ** 2).mean()))


@pytest.mark.parametrize("task", ["phantom/ct-mri", "phantom/pet-mri"])
def test_cartoon_texture_denoises_while_it_fuses(task):
    """Noisy phantom slices against the clean ones: the noise goes, and the result comes nearer to the clean fusion."""
    rng = np.random.default_rng(0)
    pair = create_task(task).load("test-00000")
    clean = [image[64:192, 64:192] / 255 for image in (pair.a, pair.b)]
    noisy = [np.clip(image + rng.normal(0, 0.08, image.shape), 0, 1) for image in clean]
    for one, other in zip(noisy, clean, strict=True):
        assert psnr(fuse("cartoon-texture", one, one), other) > psnr(one, other) + 4
    (a, b), wanted = noisy, fuse("cartoon-texture", clean[0], clean[1])
    assert psnr(fuse("cartoon-texture", a, b), wanted) > psnr(fuse("cartoon-texture:noise=0", a, b), wanted) + 3


def test_noise_is_estimated():
    image = np.clip(0.5 + np.random.default_rng(0).normal(0, 0.05, (128, 128)), 0, 1)
    assert denoising.estimate_noise(image) == pytest.approx(0.05, rel=0.05)
    assert denoising.estimate_noise(np.zeros((20, 20))) == 0


def test_total_variation_smooths_and_keeps_the_mean():
    image = random_image((40, 30))
    smooth = denoising.total_variation(image, 0.2)
    assert smooth.mean() == pytest.approx(image.mean())
    assert np.abs(np.diff(smooth)).sum() < 0.3 * np.abs(np.diff(image)).sum()
