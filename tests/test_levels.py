"""Fusing by level: the colour table inverted, on generated pairs exactly, on the atlas with its residual."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fusionbench.bench.observe import observe
from fusionbench.bench.work import TaskRef
from fusionbench.cli import main
from fusionbench.datasets import create_task
from fusionbench.datasets.levels import PET_TABLE, SPECT_TABLE, TABLES, ByLevel, color_table, levels_of
from fusionbench.errors import InputError
from fusionbench.pairs import Pair, grey, read_picture
from fusionbench.scores import Key, read_table

HARVARD = Path(__file__).parents[2] / "shared" / "harvard"


@pytest.mark.parametrize("anchors", TABLES.values(), ids=TABLES)
def test_the_level_is_what_went_into_the_table(anchors: tuple[tuple[int, int, int], ...]) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    back, apart = levels_of(color_table(anchors)[levels], anchors)
    assert np.abs(back.astype(int) - levels).max() <= 1  # two levels may share a colour after rounding
    assert not apart.any()
    shifted, apart = levels_of(np.clip(color_table(anchors)[levels].astype(int) + 2, 0, 255).astype(np.uint8), anchors)
    assert np.abs(shifted.astype(int) - levels).max() <= 6
    assert 0 < apart.max() <= np.sqrt(12)


@pytest.mark.skipif(not HARVARD.is_dir(), reason="the Harvard pairs are not at hand (../shared/harvard)")
@pytest.mark.parametrize(("task", "anchors", "residual"), [("pet", PET_TABLE, 2.2), ("spect", SPECT_TABLE, 1.1)])
def test_colours_of_the_atlas_lie_on_the_table(
    task: str, anchors: tuple[tuple[int, int, int], ...], residual: float
) -> None:
    """The residual that ``levels`` and the docs state: root mean square over all pixels that are not black."""
    pairs = create_task(f"harvard/{task}-mri", data=[HARVARD], split="train")
    apart = []
    for name in pairs.ids()[::10]:
        color = pairs.load(name).color
        assert color is not None
        apart.append(levels_of(color, anchors)[1][color.sum(-1) > 30])
    assert np.sqrt((np.concatenate(apart) ** 2).mean()) == pytest.approx(residual, abs=0.15)


def test_a_pair_by_level_is_shown_through_its_table() -> None:
    by_level = TaskRef("phantom/pet-mri", channel="level").open()
    usual = create_task("phantom/pet-mri")
    name = usual.ids()[0]
    pair, plain = by_level.load(name), usual.load(name)
    assert np.array_equal(pair.a, plain.a)
    assert plain.color is not None
    assert np.array_equal(plain.b, grey(plain.color))
    assert np.array_equal(color_table(PET_TABLE)[pair.b], plain.color)
    shown = pair.show(pair.b)
    assert shown is not None
    assert np.array_equal(shown, plain.color)  # the level fused alone is the picture itself
    assert pair.b.max() > plain.b.max()  # the hottest uptake is not the brightest colour
    assert by_level.digest(name) != usual.digest(name)
    assert by_level.case(name) == usual.case(name)


def test_a_run_by_level_is_a_data_set_of_its_own(tmp_path: Path) -> None:
    asked = ["run", "-m", "average", "-t", "phantom/pet-mri", "--limit", "2", "--results", str(tmp_path)]
    for more in ([], ["--channel", "level"]):
        result = CliRunner().invoke(main, [*asked, *more])
        assert result.exit_code == 0, result.output
    luma, level = (Key(name, "pet-mri", "average") for name in ("phantom", "phantom~level"))
    assert (level.base, level.split, level.channel, level.flaw) == ("phantom", "test", "level", "")
    assert Key("harvard@train~level", "pet-mri").split == "train"
    one, two = (read_table(tmp_path, key) for key in (luma, level))
    assert two.about["channel"] == "level"
    assert "channel" not in one.about
    for pair in one.pairs:
        assert one.pairs[pair]["image"] != two.pairs[pair]["image"]
        assert set(one.pairs[pair]["scores"]) == set(two.pairs[pair]["scores"])
        shown = read_picture(level.picture(tmp_path, pair)).pixels
        assert np.array_equal(shown, color_table(PET_TABLE)[read_picture(level.image(tmp_path, pair)).grey])
    result = CliRunner().invoke(main, ["reproduce", str(level.json(tmp_path))])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(main, ["report", "--results", str(tmp_path), "--out", str(tmp_path / "report")])
    assert result.exit_code == 0, result.output
    assert r"phantom\~level" in (tmp_path / "report" / "README.md").read_text(encoding="utf-8")


def test_what_luminance_costs_the_level_keeps(tmp_path: Path) -> None:
    """The reason for the channel: the average of MRI and level shows both findings, that of MRI and luminance does not."""
    areas = {}
    for channel in ("luma", "level"):
        out = observe(
            ["average", "source-b"], ["lesion/pet-mri"], tmp_path, subjects=40, channel=channel, observers=("cho",)
        )
        found = {key.method: of for key, of in out.found.items()}
        areas[channel] = found["average"]["cho"]["joint"][0]
        # Shown through the table, the level alone is the PET picture: the MRI's finding is in no colour of it.
        if channel == "level":
            assert found["source-b"]["cho colour"]["second"][0] > 0.8
            assert found["source-b"]["cho colour"]["first"][0] < 0.65
    assert areas["level"] > areas["luma"] + 0.15


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["-t", "phantom/ct-mri", "--channel", "level"], "CT is grey"),
        (["-t", "phantom/pet-mri", "--channel", "level", "--corrupt", "noise"], "leave out --channel or --corrupt"),
        (["-t", "phantom/pet-mri", "--channel", "hue"], "is not one of"),
    ],
)
def test_bad_channels_are_told(asked: list[str], says: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["run", "-m", "average", *asked, "--results", str(tmp_path / "r")])
    assert result.exit_code == 2
    assert says in result.output
    assert not (tmp_path / "r").exists()


def test_colours_of_another_table_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    task = ByLevel("phantom/pet-mri")
    name = task.ids()[0]
    usual = create_task("phantom/pet-mri").load(name)
    assert usual.color is not None
    swapped = Pair(id=name, a=usual.a, b=usual.b, color=np.ascontiguousarray(usual.color[..., ::-1]))
    monkeypatch.setattr(task._task, "load", lambda id: swapped)
    with pytest.raises(InputError, match="levels from the known table"):
        task.load(name)
    monkeypatch.setattr(task._task, "load", lambda id: Pair(id=name, a=usual.a, b=usual.b))
    with pytest.raises(InputError, match="is grey"):
        task.load(name)
