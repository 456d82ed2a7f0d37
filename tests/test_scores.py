"""Score tables on disk: exact round trips, kills at every step, damage told by name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionbench.errors import InputError
from fusionbench.files import write_text
from fusionbench.scores import (
    Column,
    DamagedError,
    Journal,
    Key,
    Record,
    Table,
    find_tables,
    fingerprint,
    merge_record,
    read_metric_facts,
    read_results,
    read_table,
    salvage_table,
    write_metric_facts,
    write_table,
)

KEY = Key("phantom", "pet-mri", "laplacian@levels=5")

pair_names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=12)
metric_names = st.from_regex(r"[a-z][a-z0-9@.+-]{0,7}", fullmatch=True).filter(
    lambda name: name not in ("error", "pair")
)
score_dicts = st.dictionaries(metric_names, st.floats(), max_size=4)
records = st.one_of(
    st.fixed_dictionaries({"fused": st.text(max_size=4), "scores": score_dicts}),
    st.fixed_dictionaries({"fused": st.text(max_size=4), "error": st.text(max_size=20), "scores": st.just({})}),
)


def row(fused: str = "f1", **scores: float) -> Record:
    return {"fused": fused, "image": f"image of {fused}", "scores": scores}


def make_table(**pairs: Record) -> Table:
    return Table(KEY, {"method": {"title": "Laplacian"}, "seed": 0}, dict(pairs))


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Equal, with NaN equal to NaN and -0.0 not to 0.0."""
    return repr({k: sorted(v["scores"].items()) for k, v in sorted(one.items())}) == repr(
        {k: sorted(v["scores"].items()) for k, v in sorted(other.items())}
    )


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(pair_names, records, max_size=5))
def test_a_table_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, Any]) -> None:
    results = tmp_path_factory.getbasetemp() / "round-trip"
    write_table(results, Table(KEY, {"seed": 3}, pairs))
    back = read_table(results, KEY)
    assert back.about == {"seed": 3}
    assert back.pairs.keys() == pairs.keys()
    assert same(back.pairs, pairs)
    assert back.errors() == {pair: record["error"] for pair, record in sorted(pairs.items()) if "error" in record}
    first = KEY.csv(results).read_bytes(), KEY.json(results).read_bytes()
    write_table(results, back)
    assert (KEY.csv(results).read_bytes(), KEY.json(results).read_bytes()) == first


def test_the_files_are_plain_and_where_they_are_said_to_be(tmp_path: Path) -> None:
    table = make_table(p2=row(mi=0.1, en=math.nan), p1=row(mi=1e-300))
    table.pairs["p3"] = {"fused": "f3", "error": 'ValueError: too "small", it\nsays'}
    write_table(tmp_path, table)
    folder = tmp_path / "scores" / "phantom" / "pet-mri"
    assert sorted(p.name for p in folder.iterdir()) == ["laplacian@levels=5.csv", "laplacian@levels=5.json"]
    text = (folder / "laplacian@levels=5.csv").read_text("utf-8")
    assert text == (
        'pair,en,mi,error\np1,,1e-300,\np2,nan,0.1,\np3,,,"ValueError: too ""small"", it says"\n'
    )  # absent is empty, undefined is nan
    frame = read_table(tmp_path, KEY).frame()
    assert list(frame.index) == ["p1", "p2", "p3"]
    assert frame.loc["p2", "mi"] == 0.1
    assert frame.loc["p3"].isna().all()


def test_title_and_control_come_from_the_fact_sheet() -> None:
    assert make_table().name == "Laplacian"
    assert Table(KEY).name == "laplacian@levels=5"
    assert Table(KEY, {"method": {"control": True}}).control
    assert not make_table().control


def test_a_table_says_how_a_command_names_its_task() -> None:
    assert Table(KEY).task_name == "phantom/pet-mri"
    assert Table(KEY, {"task": {"name": "folders:mine/pet-mri"}}).task_name == "folders:mine/pet-mri"


def test_the_journal_alone_is_a_table(tmp_path: Path) -> None:
    journal = Journal(tmp_path, KEY)
    journal.add({"about": {"seed": 7}})
    journal.add({"pair": "p1", "record": {"fused": "f1", "image": "i1"}})
    journal.add({"pair": "p1", "record": {"fused": "f1", "image": "i1", "scores": {"mi": 2.5}}})
    journal.close()
    assert find_tables(tmp_path) == [KEY]
    table = read_table(tmp_path, KEY)
    assert table.about == {"seed": 7}
    assert table.pairs == {"p1": {"fused": "f1", "image": "i1", "scores": {"mi": 2.5}}}
    write_table(tmp_path, table)
    assert not KEY.journal(tmp_path).exists()
    assert same(read_table(tmp_path, KEY).pairs, table.pairs)


def test_a_journal_torn_anywhere_loses_its_last_line_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path, KEY)
    journal.add({"about": {"seed": 7}})
    for i in range(3):
        journal.add({"pair": f"p{i}", "record": row(mi=float(i))})
    journal.close()
    whole = KEY.journal(tmp_path).read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n") + 1
    for cut in range(last, len(whole) - 1):
        KEY.journal(tmp_path).write_bytes(whole[:cut])
        assert sorted(read_table(tmp_path, KEY).pairs) == ["p0", "p1"]
        again = Journal(tmp_path, KEY)  # the next run writes after the torn line
        again.add({"pair": "p9", "record": row(mi=9.0)})
        again.close()
        assert sorted(read_table(tmp_path, KEY).pairs) == ["p0", "p1", "p9"]


def journal_of(results: Path, *lines: Mapping[str, Any]) -> None:
    journal = Journal(results, KEY)
    for line in lines:
        journal.add(line)
    journal.close()


def test_a_kill_between_csv_and_json_is_healed_by_the_journal(tmp_path: Path) -> None:
    write_table(tmp_path, make_table(p1=row(mi=1.0), p2=row(mi=2.0)))
    old = KEY.json(tmp_path).read_bytes()
    lines: list[Mapping[str, Any]] = [
        {"about": {"seed": 1}},
        {"pair": "p2", "record": row("f2", mi=2.5)},
        {"pair": "p3", "record": row(mi=3.0)},
    ]
    journal_of(tmp_path, *lines)
    expected = read_table(tmp_path, KEY)
    write_table(tmp_path, expected)
    KEY.json(tmp_path).write_bytes(old)  # as if killed here: the CSV is new, the JSON old, the journal still there
    journal_of(tmp_path, *lines)
    healed = read_table(tmp_path, KEY)
    assert healed == expected
    KEY.json(tmp_path).unlink()
    assert sorted(read_table(tmp_path, KEY).pairs) == ["p2", "p3"]  # first run ever: nothing but the journal counts


def test_a_kill_before_the_journal_is_dropped_changes_nothing(tmp_path: Path) -> None:
    write_table(tmp_path, make_table(p1=row(mi=1.0)))
    lines: list[Mapping[str, Any]] = [
        {"about": {"seed": 1}},
        {"pair": "p1", "record": {"fused": "f1", "error": "RuntimeError: no"}},
        {"pair": "p1", "record": row("f1", mi=1.5)},
    ]
    journal_of(tmp_path, *lines)
    table = read_table(tmp_path, KEY)
    write_table(tmp_path, table)
    journal_of(tmp_path, *lines)
    assert read_table(tmp_path, KEY) == table
    assert table.errors() == {}


def test_what_a_run_forgot_does_not_come_back_after_a_kill(tmp_path: Path) -> None:
    write_table(tmp_path, make_table(p1=row(mi=1.0, en=5.0), p2=row(mi=2.0, en=6.0), p3=row(mi=3.0)))
    journal_of(
        tmp_path,
        {"about": {"seed": 0}, "forget": {"pairs": ["p3"], "metrics": ["mi"]}},
        {"pair": "p1", "record": row(mi=1.5)},
    )
    pairs = read_table(tmp_path, KEY).pairs
    assert pairs["p1"]["scores"] == {"mi": 1.5, "en": 5.0}
    assert pairs["p2"]["scores"] == {"en": 6.0}
    assert "p3" not in pairs


def test_records_merge_only_for_the_same_image() -> None:
    pairs = {"p": row(mi=1.0)}
    merge_record(pairs, "p", row(en=2.0))
    assert pairs["p"]["scores"] == {"mi": 1.0, "en": 2.0}
    merge_record(pairs, "p", row("f2", en=3.0))
    assert pairs["p"]["scores"] == {"en": 3.0}
    merge_record(pairs, "p", {"fused": "f2", "error": "no"})
    assert pairs["p"] == {"fused": "f2", "error": "no"}
    merge_record(pairs, "p", row("f2", mi=4.0))
    assert "error" not in pairs["p"]


def test_a_changed_csv_is_refused_but_not_for_its_line_ends(tmp_path: Path) -> None:
    write_table(tmp_path, make_table(p1=row(mi=1.25)))
    path = KEY.csv(tmp_path)
    text = path.read_bytes()
    path.write_bytes(text.replace(b"\n", b"\r\n"))
    assert read_table(tmp_path, KEY).pairs["p1"]["scores"] == {"mi": 1.25}
    path.write_bytes(text.replace(b"1.25", b"9.99"))
    with pytest.raises(InputError, match=r"levels=5\.csv: .*changed.*restore both or delete both"):
        read_table(tmp_path, KEY)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"about": 3, "pairs": {}}', b'{"about": {}, "pairs": [1]}', b"\xff"]
)
def test_a_damaged_json_is_told_by_name(tmp_path: Path, content: bytes) -> None:
    write_table(tmp_path, make_table(p1=row(mi=1.0)))
    KEY.json(tmp_path).write_bytes(content)
    with pytest.raises(InputError, match=r"levels=5\.json: .*delete it"):
        read_table(tmp_path, KEY)


def test_a_changed_json_is_told_and_its_records_are_not_kept(tmp_path: Path) -> None:
    write_table(tmp_path, make_table(p1=row(mi=1.0)))
    KEY.json(tmp_path).write_text(KEY.json(tmp_path).read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(DamagedError, match=r"levels=5\.json: was changed since it was written"):
        read_table(tmp_path, KEY)
    names = "laplacian@levels=5.csv.damaged, laplacian@levels=5.json.damaged"
    assert salvage_table(tmp_path, KEY) == (Table(KEY), names)
    assert salvage_table(tmp_path, KEY) == (Table(KEY), "")


def test_records_of_a_sound_json_outlive_a_damaged_csv(tmp_path: Path) -> None:
    write_table(tmp_path, make_table(p1=row(mi=1.0)))
    KEY.csv(tmp_path).write_text("pair,mi\np1,2.0\n")
    table, _ = salvage_table(tmp_path, KEY)
    assert table.pairs == {"p1": {"fused": "f1", "image": "image of f1"}}
    assert sorted(p.name for p in KEY.csv(tmp_path).parent.iterdir()) == [
        "laplacian@levels=5.csv.damaged",
        "laplacian@levels=5.json.damaged",
    ]


def test_journal_lines_that_were_not_written_so_are_passed_over(tmp_path: Path) -> None:
    journal_of(tmp_path, {"pair": "p1", "record": row(mi=1.25)}, {"pair": "p2", "record": row(mi=2.0)})
    path = KEY.journal(tmp_path)
    path.write_text(path.read_text().replace("1.25", "9.25") + '3\n["pair"]\n{"pair": 4, "record": {}}\n')
    assert list(read_table(tmp_path, KEY).pairs) == ["p2"]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_damage_is_told_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    results = tmp_path_factory.getbasetemp() / "damage"
    write_table(results, make_table(p1=row(mi=1.0), p2=row(mi=2.0, en=0.5)))
    path = data.draw(st.sampled_from([KEY.csv(results), KEY.json(results)]))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=3))
    path.write_bytes(content)
    message = ""
    try:
        read_table(results, KEY).frame()
    except InputError as error:
        message = str(error)
    assert not message or str(path.with_suffix("")) in message


def test_another_format_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path, make_table(p1=row(mi=1.0)))
    content = json.loads(KEY.json(tmp_path).read_text())
    write_text(KEY.json(tmp_path), json.dumps(content | {"format": 99}))
    with pytest.raises(InputError, match="format 99"):
        read_table(tmp_path, KEY)


def test_a_missing_csv_is_told(tmp_path: Path) -> None:
    write_table(tmp_path, make_table(p1=row(mi=1.0)))
    KEY.csv(tmp_path).unlink()
    with pytest.raises(InputError, match=r"levels=5\.csv"):
        read_table(tmp_path, KEY)


def test_all_tables_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no scores; run `fusionbench run"):
        read_results(tmp_path)
    for method in ("b", "a.b"):
        write_table(tmp_path, Table(Key("phantom", "ct-mri", method), {}, {"p": row(mi=1.0)}))
    journal_of(tmp_path, {"pair": "p1", "record": row(mi=1.0)})
    write_metric_facts(tmp_path, {"mi": {"short": "MI"}}, {})
    assert [table.key.method for table in read_results(tmp_path)] == ["a.b", "b", "laplacian@levels=5"]


def test_metric_facts_are_merged(tmp_path: Path) -> None:
    assert read_metric_facts(tmp_path) == {"metrics": {}, "profiles": {}}
    write_metric_facts(tmp_path, {"mi": {"version": 1}}, {"p": {}})
    write_metric_facts(tmp_path, {"en": {"version": 1}, "mi": {"version": 2}}, {})
    assert read_metric_facts(tmp_path) == {
        "metrics": {"mi": {"version": 2}, "en": {"version": 1}},
        "profiles": {"p": {}},
    }


def test_fingerprints() -> None:
    assert fingerprint("a", 1, {"x": 1, "y": 2}) == fingerprint("a", 1, {"y": 2, "x": 1})
    different = [
        fingerprint(*parts) for parts in (("a", 1), ("a", "1"), ("a1",), ("a", 1, None), ("a", 1.5), ([["a"], 1],))
    ]
    assert len(set(different)) == len(different)
    assert len(fingerprint()) == 16


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("text", "name", "convention", "mask", "metric"),
    [
        ("en", "en", "", "", "en"),
        ("ssim@l2", "ssim", "l2", "", "ssim@l2"),
        ("en+mask", "en", "", "mask", "en"),
        ("qte@1.85+foreground", "qte", "1.85", "foreground", "qte@1.85"),
    ],
)
def test_a_column_says_metric_convention_and_mask(
    text: str, name: str, convention: str, mask: str, metric: str
) -> None:
    column = Column.parse(text)
    assert (column.name, column.convention, column.mask, column.metric) == (name, convention, mask, metric)
    assert str(column) == text
    assert str(column.inside("")) == metric
    assert str(column.inside("foreground")) == f"{metric}+foreground"


def test_a_column_finds_its_fact_sheet() -> None:
    facts = {
        "mse": {"short": "MSE", "direction": "lower"},
        "sd": {"short": "SD", "direction": "describes", "customary": "higher"},
        "sd+mask": {"short": "own", "direction": "lower"},
    }
    assert (Column.parse("mse+mask", facts).better, Column.parse("mse+mask", facts).short) == ("lower", "MSE (mask)")
    assert (Column.parse("sd", facts).describes, Column.parse("sd", facts).better) == (True, "higher")
    assert (Column.parse("sd+mask", facts).describes, Column.parse("sd+mask", facts).short) == (False, "own (mask)")
    assert Column.parse("sd", facts) == Column.parse("sd")  # one column, whatever is known of it
    assert (Column.parse("new@x").short, Column.parse("new@x").better) == ("NEW", "higher")


def test_a_key_is_written_and_taken_apart() -> None:
    key = Key.of("folders:mine/pet-mri", split="train", flaw="noise,sigma=0.1", method="dwt@levels=2")
    assert key == Key("folders-mine@train+noise,sigma=0.1", "pet-mri", "dwt@levels=2")
    assert (key.base, key.split, key.flaw) == ("folders-mine", "train", "noise,sigma=0.1")
    assert (key.method_name, key.settings) == ("dwt", "levels=2")
    assert key.clean == Key("folders-mine@train", "pet-mri", "dwt@levels=2")
    plain = Key.of("phantom/ct-mri", method="pca")
    assert plain == Key("phantom", "ct-mri", "pca") == plain.clean
    assert (plain.base, plain.split, plain.flaw, plain.method_name, plain.settings) == (
        "phantom",
        "test",
        "",
        "pca",
        "",
    )
    assert key.image(Path("r"), "p1") == Path("r/fused/folders-mine@train+noise,sigma=0.1/pet-mri/dwt@levels=2/p1.png")
    assert plain.picture(Path("r"), "p1") == Path("r/fused/phantom/ct-mri/pca/rgb/p1.png")


def test_a_key_is_found_from_its_json(tmp_path: Path) -> None:
    key = Key("phantom", "ct-mri", "laplacian@levels=5")
    write_table(tmp_path / "runs", Table(key, {}, {"p": row(mi=1.0)}))
    assert Key.locate(key.json(tmp_path / "runs")) == (key, tmp_path / "runs")
    write_text(tmp_path / "a/b/c/d.json", "{}")
    for other in (key.csv(tmp_path / "runs"), key.json(tmp_path / "elsewhere"), tmp_path / "a/b/c/d.json"):
        with pytest.raises(InputError, match=r"give a RESULTS/scores/DATASET/TASK/METHOD\.json that exists"):
            Key.locate(other)
