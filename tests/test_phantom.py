"""The generated pairs: the same pixels everywhere, plausible anatomy and physics, no slice shared by train and test."""

from __future__ import annotations

import time

import numpy as np
import pytest

from fusionbench.datasets import TASKS, create_task, levels, phantom
from fusionbench.datasets import _anatomy as anatomy
from fusionbench.errors import InputError
from fusionbench.pairs import grey, pixel_digest

TASK_NAMES = ("phantom/ct-mri", "phantom/pet-mri", "phantom/spect-mri")

# SHA-256 over a, b and colour (pairs.pixel_digest), first 16 digits; a change of any pixel needs a new phantom.VERSION.
PINNED = {
    ("phantom/ct-mri", "test-00000"): "03bb7c573eb14440",
    ("phantom/ct-mri", "train-00041"): "9b14c32ae0bf0506",
    ("phantom/pet-mri", "test-00007"): "646a1d191a8f8a73",
    ("phantom/pet-mri", "train-00012"): "39f2265f48dbec5a",
    ("phantom/spect-mri", "test-00015"): "94d1ce5f5f4e90b6",
    ("phantom/spect-mri", "train-19999"): "0681dd20f6603e4f",
}


@pytest.fixture(scope="module")
def tasks():
    return {name: create_task(name) for name in TASK_NAMES}


@pytest.mark.parametrize(("name", "id"), PINNED)
def test_pixels_are_pinned(tasks, name, id):
    pair = tasks[name].load(id)
    assert pixel_digest(pair.a, pair.b, pair.color)[:16] == PINNED[name, id]


def test_atlas_is_small_and_whole():
    arrays = anatomy.atlas()
    assert arrays["t1"].shape == arrays["gm"].shape == arrays["wm"].shape == (30, 205, 169)
    assert arrays["z_mm"].tolist() == list(range(-17, 71, 3))
    assert sum(arrays[name].dtype == np.uint8 for name in ("t1", "gm", "wm")) == 3


@pytest.mark.parametrize("name", TASK_NAMES)
def test_pair_is_well_formed(tasks, name):
    pair = tasks[name].load("test-00003")
    assert pair.a.shape == pair.b.shape == (256, 256)
    assert pair.a.dtype == pair.b.dtype == np.uint8
    assert pair.case == tasks[name].case("test-00003") == "test-00003"
    if name == "phantom/ct-mri":
        assert pair.color is None
    else:
        assert pair.color.shape == (256, 256, 3)
        np.testing.assert_array_equal(pair.b, grey(pair.color))
    facts = TASKS[name].facts
    assert facts.truth
    assert facts.modalities[0] == "MRI"


@pytest.mark.parametrize("name", TASK_NAMES)
def test_truth_is_a_partition_with_lesions_in_the_brain(tasks, name):
    for number in range(4):
        truth = tasks[name].load(f"train-{number:05d}").truth
        tissue = truth["gm"] + truth["wm"]
        total = tissue + truth["csf"] + truth["bone"]
        assert total.min() >= 0.0
        assert total.max() <= 1.0 + 1e-5
        assert set(np.unique(truth["lesion"])) <= {0, 1, 2}
        assert tissue[truth["lesion"] > 0].min(initial=1.0) > 0.4
        assert ("tracer" in truth) == (name != "phantom/ct-mri")
        # Brain and skull fill the frame about as much as in the atlas pairs, and stay inside it.
        rows, columns = np.nonzero(truth["bone"] > 0.5)
        assert 100 < np.ptp(rows) < 250
        assert 90 < np.ptp(columns) < 230


def test_numbers_are_independent_between_tasks_and_ids(tasks):
    images = [tasks[name].load(id).truth["gm"] for name in TASK_NAMES for id in ("test-00000", "test-00010")]
    for i, one in enumerate(images):
        for other in images[i + 1 :]:
            assert np.abs(one - other).mean() > 0.01


def test_any_number_works_and_names_do_not_depend_on_count():
    small, large = create_task("phantom/ct-mri"), phantom.PhantomCtMri(count=20_000)
    assert len(large.ids()) == 20_000
    assert large.ids() == sorted(large.ids())
    assert large.ids()[:24] == small.ids()
    np.testing.assert_array_equal(large.load("test-19999").a, small.load("test-19999").a)
    assert len(create_task("phantom/ct-mri", split="train").ids()) == 60


def test_settings_can_be_given_as_text():
    plugin, settings = TASKS.parse("phantom/pet-mri:count=7")
    assert len(plugin.factory(**settings).ids()) == 7


@pytest.mark.parametrize("id", ["test-1", "../test-00001", "val-00001", "00001", "test-00001.png", ""])
def test_foreign_names_are_refused(tasks, id):
    for call in (tasks["phantom/ct-mri"].load, tasks["phantom/ct-mri"].case, tasks["phantom/ct-mri"].digest):
        with pytest.raises(InputError, match="names look like"):
            call(id)


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="no split 'validation'"):
        create_task("phantom/ct-mri", split="validation")
    with pytest.raises(InputError, match="count=0"):
        phantom.PhantomCtMri(count=0)


def test_splits_share_no_slice():
    train, test = phantom.SLICES["train"], phantom.SLICES["test"]
    assert not set(train) & set(test)
    assert sorted(train + test) == list(range(30))


def test_digest_tells_pairs_tasks_and_versions_apart(tasks, monkeypatch):
    digests = {tasks[name].digest(id) for name in TASK_NAMES for id in ("test-00000", "test-00001", "train-00000")}
    assert len(digests) == 9
    before = tasks["phantom/ct-mri"].digest("test-00000")
    monkeypatch.setattr(phantom, "VERSION", phantom.VERSION + 1)
    assert tasks["phantom/ct-mri"].digest("test-00000") != before


def test_loading_leaves_numpys_global_state_alone(tasks):
    before = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002 - the global state is what is tested
    first = tasks["phantom/pet-mri"].load("test-00002")
    np.testing.assert_array_equal(before, np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002
    np.testing.assert_array_equal(first.color, tasks["phantom/pet-mri"].load("test-00002").color)


def _mean(values, weight):
    return float((values * weight).sum() / weight.sum())


def test_ct_shows_a_bright_skull_dim_brain_and_black_air(tasks):
    for number in range(3):
        pair = tasks["phantom/ct-mri"].load(f"test-{number:05d}")
        healthy = pair.truth["lesion"] == 0
        bone, csf = (pair.b[pair.truth[k] > 0.95] for k in ("bone", "csf"))
        gm, wm = (pair.b[(pair.truth[k] > 0.95) & healthy] for k in ("gm", "wm"))
        assert np.median(bone) == 255
        assert 50 < np.median(wm) < np.median(gm) < 190
        assert np.median(csf) < np.median(wm)
        assert np.median(pair.b[:20, :20]) == 0


def test_mri_contrasts_are_ordered_as_t1_and_t2():
    head = anatomy.make_head(np.random.default_rng(1), 13)
    t1 = phantom.mri(np.random.default_rng(2), head, t2=False)
    t2 = phantom.mri(np.random.default_rng(2), head, t2=True)
    assert _mean(t1, head.wm) > _mean(t1, head.gm) > _mean(t1, head.csf)
    assert _mean(t2, head.csf) > _mean(t2, head.gm) > _mean(t2, head.wm)
    assert t1[:15, :15].mean() < 12  # Rician noise, mostly below the window


def test_uptake_is_four_to_one_to_zero(tasks):
    ratios = []
    for number in range(6):
        truth = tasks["phantom/pet-mri"].load(f"train-{number:05d}").truth
        healthy = truth["lesion"] == 0
        pure = {k: truth["tracer"][(truth[k] > 0.97) & healthy].mean() for k in ("gm", "wm", "csf")}
        assert pure["csf"] < 0.15
        ratios.append(pure["gm"] / pure["wm"])
    assert np.mean(ratios) == pytest.approx(4.0, rel=0.1)


def test_lesions_change_uptake_in_their_direction(tasks):
    seen: dict[int, list[float]] = {1: [], 2: []}
    for number in range(12):
        truth = tasks["phantom/pet-mri"].load(f"train-{number:05d}").truth
        expected = 4.0 * truth["gm"] + truth["wm"]
        for label in seen:
            inside = truth["lesion"] == label
            if inside.sum() > 20:
                seen[label].append(truth["tracer"][inside].sum() / expected[inside].sum())
    assert min(seen[1]) > 1.15
    assert max(seen[2]) < 0.85


@pytest.mark.parametrize(("tracer", "fwhm"), [(phantom.PET, 6.0), (phantom.SPECT, 11.0)])
def test_resolution_is_as_stated(tracer, fwhm):
    """A strong point source: its second moment is that of a Gaussian of the stated width."""
    point = np.zeros((256, 256))
    point[128, 128] = 1e8
    offset = (np.arange(256) - 128) * 0.9
    profile = phantom.scan(np.random.default_rng(0), point, tracer, 0.9).sum(axis=0)
    sigma = np.sqrt((profile * offset**2)[88:169].sum() / profile[88:169].sum())
    assert sigma * 2.3548 == pytest.approx(fwhm, rel=0.02)


@pytest.mark.parametrize("tracer", [phantom.PET, phantom.SPECT])
def test_counts_scatter_like_poisson(tracer):
    """Even activity: the mean is kept, and the variance is that of counts averaged by the reconstruction filter."""
    mm = 0.9
    image = phantom.scan(np.random.default_rng(5), np.full((256, 256), 4.0), tracer, mm)
    filter_sigma = 0.6 * tracer.fwhm / 2.3548 / mm
    gain = 1.0 / (4.0 * np.pi * filter_sigma**2)  # sum of squared weights of a 2-D Gaussian
    assert image.mean() == pytest.approx(1.01, rel=0.005)
    assert image.var() == pytest.approx(1.01 / tracer.counts * gain, rel=0.15)


def test_colour_tables_pass_through_their_anchors():
    for anchors in levels.TABLES.values():
        table = levels.color_table(anchors)
        assert table.shape == (256, 3)
        assert table.dtype == np.uint8
        assert tuple(table[0]) == anchors[0] == (0, 0, 0)
        assert tuple(table[255]) == anchors[-1]
        assert len(np.unique(table, axis=0)) > 240


def test_smooth_field_has_unit_variance_and_no_bias():
    fields = np.stack([anatomy.smooth_field(np.random.default_rng(k), 12.0) for k in range(20)])
    assert fields.std() == pytest.approx(1.0, abs=0.1)
    assert abs(fields.mean()) < 0.1


def test_generation_is_quick(tasks):
    task = tasks["phantom/spect-mri"]
    task.load("test-00000")
    start = time.process_time()
    for number in range(0, 50, 10):  # one atlas slice, prepared above
        task.load(f"test-{number:05d}")
    assert (time.process_time() - start) / 5 < 0.25  # about 0.045 s on one core of 2020; room for slow machines
