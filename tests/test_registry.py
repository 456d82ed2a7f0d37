"""Names, settings, discovery: the registry by itself."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionbench.errors import InputError
from fusionbench.registry import Registry, convert, import_module

if TYPE_CHECKING:
    from decimal import Decimal


@dataclasses.dataclass(frozen=True)
class Sheet:
    name: str


def make_registry(group: str = "fusionbench.tests", parts: int = 1) -> Registry[Sheet]:
    return Registry("thing", (), group, parts)


@pytest.fixture
def registry() -> Registry[Sheet]:
    things = make_registry()

    @things.register(Sheet("blur"))
    def blur(
        image: Decimal,  # a type that exists for checkers only must not stand in the way of the settings
        *,
        levels: int = 4,
        sigma: float = 1.5,
        soft: bool = False,
        border: Literal["wrap", "mirror"] = "wrap",
        weights: Path | None = None,
        generator: Any = None,
    ) -> None:
        """Nothing."""

    @things.register(Sheet("sharpen"))
    class Sharpen:
        def __init__(self, *, steps: int = 1, rate: float | None = None) -> None:
            self.steps, self.rate = steps, rate

    return things


def test_settings_are_converted_to_their_types(registry: Registry[Sheet]) -> None:
    plugin, values = registry.parse("blur:levels=5,sigma=2,soft=yes,border=mirror,weights=a/b.npz")
    assert plugin.facts.name == "blur"
    assert values == {"levels": 5, "sigma": 2.0, "soft": True, "border": "mirror", "weights": Path("a/b.npz")}
    assert isinstance(values["sigma"], float)
    assert registry.parse("blur:weights=none")[1] == {"weights": None}
    assert registry.parse("sharpen:steps=3,rate=0.5")[1] == {"steps": 3, "rate": 0.5}
    assert registry.parse("blur")[1] == {}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("blurr", ["unknown thing 'blurr'", "did you mean 'blur'"]),
        ("xyz", ["unknown thing 'xyz'", "known: blur, sharpen"]),
        ("", ["unknown thing ''"]),
        ("blur:level=5", ["no setting 'level'", "levels, sigma, soft, border, weights"]),
        ("blur:generator=5", ["no setting 'generator'"]),
        ("blur:image=5", ["no setting 'image'"]),
        ("blur:levels", ["needs a value", "blur:levels=VALUE"]),
        ("blur:levels=2.5", ["levels='2.5'", "type int"]),
        ("blur:sigma=wide", ["sigma='wide'", "type float"]),
        ("blur:sigma=nan", ["sigma='nan'", "number"]),
        ("blur:soft=perhaps", ["soft='perhaps'", "true or false"]),
        ("blur:border=zero", ["border='zero'", "wrap, mirror"]),
        ("sharpen:rate=fast", ["rate='fast'", "float | None"]),
    ],
)
def test_a_bad_spec_is_refused_in_words(registry: Registry[Sheet], spec: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        registry.parse(spec)
    assert all(word in str(caught.value) for word in words), caught.value


def test_an_annotation_that_cannot_be_looked_up_is_told() -> None:
    things = make_registry()

    @things.register(Sheet("odd"))
    def odd(*, amount: Decimal | None = None) -> None:
        """Nothing."""

    with pytest.raises(InputError, match=r"amount.*cannot be looked up"):
        things.parse("odd:amount=1")


@pytest.mark.parametrize(
    "name", ["", "Blur", "../blur", "a/b", ".blur", "-x", "a b", "a:b", "a\nb", "a/../b", "ä", "x" * 81]
)
def test_names_that_could_not_be_files_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be one word"):
        make_registry().register(Sheet(name))


@pytest.mark.parametrize("name", ["pet-mri", "a/b/c", "a/../b", "/b", "a/", "a/.."])
def test_names_of_two_parts(name: str) -> None:
    with pytest.raises(ValueError, match="must be dataset/task"):
        make_registry(parts=2).register(Sheet(name))
    make_registry(parts=2).register(Sheet("harvard/pet-mri"))


def test_a_name_is_held_by_one_plugin(registry: Registry[Sheet]) -> None:
    def other() -> None:
        """Nothing."""

    with pytest.raises(ValueError, match=r"already registered by .*blur.*other must take another name"):
        registry.register(Sheet("blur"))(other)
    registry.register(Sheet("mine"))(other)
    registry.register(Sheet("mine"))(other)  # a module imported again
    assert registry.names() == ["blur", "mine", "sharpen"]
    assert list(registry) == registry.names()
    assert "mine" in registry
    assert "yours" not in registry


PLUGIN = """
from fusionbench.methods import METHODS, MethodFacts

@METHODS.register(MethodFacts(name="{0}", title="T", family="f"))
def {1}(a, b):
    return a
"""


def test_load_a_file_names_what_it_registers_every_time(tmp_path: Path) -> None:
    from fusionbench.methods import METHODS

    path = tmp_path / "mine.py"
    path.write_text(PLUGIN.format("registry-one", "one") + PLUGIN.format("registry-two", "two"), encoding="utf-8")
    assert METHODS.load(str(path)) == ["registry-one", "registry-two"]
    assert METHODS.load(str(path)) == ["registry-one", "registry-two"]
    same_stem = tmp_path / "elsewhere" / "mine.py"
    same_stem.parent.mkdir()
    same_stem.write_text(PLUGIN.format("registry-three", "three"), encoding="utf-8")
    assert METHODS.load(str(same_stem)) == ["registry-three"]
    assert METHODS.load("fusionbench.methods.baselines.controls") == [
        "average", "maximum", "source-a", "source-b", "weighted",
    ]  # fmt: skip


def test_a_file_edited_within_a_second_to_its_old_size_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "quick.py"
    for number in (1, 2):
        path.write_text(f"x = {number}\n", encoding="utf-8")
        os.utime(path, (1e9, 1e9))
        assert import_module(str(path)).x == number


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such plugin file"),
        ("def f(:", "SyntaxError"),
        ("raise RuntimeError('no GPU\\nhere')", "RuntimeError: no GPU"),
        ("import no_such_module_anywhere", "no_such_module_anywhere"),
        (PLUGIN.format("average", "mine"), "already registered"),
    ],
)
def test_a_module_that_cannot_be_loaded_is_the_users_input(tmp_path: Path, text: str | None, words: str) -> None:
    from fusionbench.methods import METHODS

    path = tmp_path / "broken.py"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    before = METHODS.names()
    with pytest.raises(InputError, match=words) as caught:
        METHODS.load(str(path))
    assert str(path) in str(caught.value)
    assert METHODS.names() == before


def test_a_dotted_name_that_does_not_exist() -> None:
    with pytest.raises(InputError, match=r"no\.such\.module: cannot be imported"):
        make_registry().load("no.such.module")


def test_entry_points_join_and_a_broken_one_is_listed_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        "[fusionbench.strangers]\ngood = stranger_good\nbad = stranger_bad\nlost = stranger_good:nothing\n",
        encoding="utf-8",
    )
    (tmp_path / "stranger_good.py").write_text("STATE = []\n", encoding="utf-8")
    (tmp_path / "stranger_bad.py").write_text("raise RuntimeError('needs a licence')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    things = make_registry("fusionbench.strangers")
    assert things.names() == []
    assert things.unavailable["bad"] == "RuntimeError: needs a licence"
    assert "nothing" in things.unavailable["lost"]
    assert "good" not in things.unavailable
    with pytest.raises(InputError, match="could not be loaded: RuntimeError: needs a licence"):
        things["bad"]


@given(st.integers())
def test_integers_come_back(value: int) -> None:
    assert convert(str(value), int) == value
    assert convert(str(value), int | None) == value


@given(st.floats(allow_nan=False))
def test_floats_come_back(value: float) -> None:
    assert convert(repr(value), float) == value


@given(st.text())
def test_text_comes_back_or_is_refused_by_its_type(value: str) -> None:
    assert convert(value, str) == value
    for kind, types in (
        (int, int),
        (float, float),
        (bool, bool),
        (Literal["a", 1], (str, int)),
        (int | None, (int, type(None))),
    ):
        try:
            result = convert(value, kind)
        except ValueError:
            continue
        assert isinstance(result, types)


@given(st.integers(), st.floats(allow_nan=False), st.booleans(), st.sampled_from(["wrap", "mirror"]))
def test_settings_come_back_through_a_spec(levels: int, sigma: float, soft: bool, border: str) -> None:
    things = make_registry()

    @things.register(Sheet("blur"))
    def blur(
        *, levels: int = 4, sigma: float = 1.5, soft: bool = False, border: Literal["wrap", "mirror"] = "wrap"
    ) -> None:
        """Nothing."""

    spec = f"blur:levels={levels},sigma={sigma!r},soft={soft},border={border}"
    assert things.parse(spec)[1] == {"levels": levels, "sigma": sigma, "soft": soft, "border": border}
