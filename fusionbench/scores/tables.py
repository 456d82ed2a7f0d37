"""Scores on disk, and nothing else: one CSV and one JSON a (dataset, task, method), plus a journal while a run is on.

::

    RESULTS/scores/metrics.json                   fact sheets of the metrics and the profiles, for readers of the tables
    RESULTS/scores/DATASET/TASK/METHOD.csv        pair, one column a metric id[, error]
    RESULTS/scores/DATASET/TASK/METHOD.json       facts, settings, seed, versions, and a record a pair
    RESULTS/scores/DATASET/TASK/METHOD.journal    one JSON line a finished pair; folded into the two above at the end
    RESULTS/fused/DATASET/TASK/METHOD/ID.png      the 8-bit luminance that is scored (rgb/ID.png: for people)

A journal line is appended and flushed as soon as a pair is done, so a killed run loses the pair in hand at most; a line
torn by the kill is passed over. Numbers are written with ``repr``, so that reading them back is exact.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from fusionbench.errors import InputError
from fusionbench.files import write_text
from fusionbench.scores.exposure import Exposure, exposure, person
from fusionbench.scores.keys import Key

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
FROM_IMAGES = "scored from images"
"""Origin of images that were made elsewhere, where nobody says more."""


class DamagedError(InputError):
    """A score file that is not what was written; a run puts it aside and computes again what it held."""


class Record(TypedDict, total=False):
    """What is known of one pair; a field that does not apply is absent.

    ``case``: the patient. ``pair``: digest of the sources; ``fused``: fingerprint of the making of the image; ``image``:
    digest of its pixels; ``seconds`` that fusing took. Of images made elsewhere: whether they are in ``color`` or ``lossy``,
    and their ``path``. ``made_by``, ``scored_by``: which of the table's makings. ``scores``: column -> value, NaN where it
    is undefined. ``error``: why the method failed on the pair, which then has neither image nor scores.
    """

    case: str
    pair: str
    fused: str
    image: str
    seconds: float
    color: bool
    lossy: bool
    path: str
    made_by: str
    scored_by: str
    scores: dict[str, float]
    error: str


@dataclasses.dataclass
class Table:
    """All that is known of one method on one task.

    ``about``: the JSON's head (method facts, settings, seed, versions ...). ``pairs``: pair -> :class:`Record`.
    """

    key: Key
    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    pairs: dict[str, Record] = dataclasses.field(default_factory=dict)

    @property
    def task_name(self) -> str:
        """The task as a command names it: ``folders:mine/pet-mri``."""
        return str(self.about.get("task", {}).get("name") or f"{self.key.dataset}/{self.key.task}")

    @property
    def name(self) -> str:
        """The title shown to people."""
        return str(self.about.get("method", {}).get("title") or self.key.method)

    @property
    def persons(self) -> list[str]:
        """Who the pairs are of, each once; "" among them where one is not known."""
        task = self.about.get("task", {})
        return sorted({person(task, str(record.get("case") or "")) for record in self.pairs.values()})

    @property
    def exposure(self) -> Exposure:
        """How many of them the method has seen in training."""
        return exposure(self.about.get("method", {}), self.key.base, self.persons)

    @property
    def origin(self) -> str:
        """Where what made the images comes from; of images made elsewhere, what whoever scored them said."""
        facts = self.about.get("method", {})
        if not facts.get("foreign"):
            return str(facts.get("origin") or "not stated")
        # Version 0.1.0 wrote it at the head of the note, if at all.
        before = "third-party run" if str(facts.get("note", "")).startswith("third-party run") else FROM_IMAGES
        return str(facts.get("origin") or before)

    @property
    def control(self) -> bool:
        return bool(self.about.get("method", {}).get("control", False))

    def frame(self, *, by_sources: bool = False) -> pd.DataFrame:
        """Scores as a table: index ``pair`` (sorted), a float column a metric id; failed pairs are rows of NaN.

        ``by_sources``: the index is pair and digest of its sources, so that frames that are put together match pairs of the
        same images only; failed pairs are left out.
        """
        import pandas as pd  # takes 0.3 s, and metrics, which name their columns by this module, need no frame

        rows = {pair: record.get("scores", {}) for pair, record in sorted(self.pairs.items())}
        if by_sources:
            rows = {f"{pair}|{self.pairs[pair].get('pair', '')}": scores for pair, scores in rows.items() if scores}
        frame = pd.DataFrame.from_dict(rows, orient="index", dtype=float)
        frame.index.name = "pair"
        return frame

    def errors(self) -> dict[str, str]:
        """Pair -> reason, for pairs on which the method failed."""
        return {pair: record["error"] for pair, record in sorted(self.pairs.items()) if "error" in record}


def read_table(results: Path, key: Key) -> Table:
    """The table of a key, with whatever its journal adds; empty when there is none.

    Raises InputError naming the file when one is damaged or the CSV and JSON disagree.
    """
    table = Table(key)
    path = key.json(results)
    lines = list(_journal_lines(key.journal(results)))
    if path.exists():
        content = _read_json(path)
        try:
            table.about = dict(content["about"])
            table.pairs = {pair: cast(Record, dict(record)) for pair, record in content["pairs"].items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DamagedError(f"{path}: not a score file; delete it and its CSV, then run again") from None
        if content.get("sha256", _digest(content)) != _digest(content):
            raise DamagedError(f"{path}: was changed since it was written; delete it and its CSV, then run again")
        _read_csv(key.csv(results), table, content.get("csv_sha256"), killed=bool(lines))
    for line in lines:
        if "about" in line:
            table.about = line["about"]
            forget(table, **line.get("forget", {}))
        else:
            merge_record(table.pairs, line["pair"], line["record"])
    return table


def salvage_table(results: Path, key: Key) -> tuple[Table, str]:
    """What is left of a damaged table: (records without scores where the JSON is sound, names of the files put aside).

    The files are renamed to ``*.damaged``. Records know their images, which need not be fused again; scores are gone.
    """
    table = Table(key)
    path = key.json(results)
    with contextlib.suppress(InputError, KeyError, TypeError, ValueError, AttributeError):
        content = _read_json(path)
        if content.get("sha256") == _digest(content):
            table.about = dict(content["about"])
            table.pairs = {pair: cast(Record, dict(record)) for pair, record in content["pairs"].items()}
    moved = []
    for damaged in (key.csv(results), path, key.journal(results)):
        if damaged.exists():
            target = damaged.with_name(damaged.name + ".damaged")
            damaged.replace(target)
            moved.append(target.name)
    return table, ", ".join(moved)


def forget(table: Table, pairs: Sequence[str] = (), metrics: Sequence[str] = ()) -> None:
    """Drop some pairs, and the scores of some metrics from all the others."""
    for pair in pairs:
        table.pairs.pop(pair, None)
    for record in table.pairs.values():
        for metric in metrics:
            record.get("scores", {}).pop(metric, None)


def merge_record(pairs: dict[str, Record], pair: str, record: Record) -> None:
    """Enter a record: one of a new fused image replaces the old one, one of new scores is added to it."""
    old = pairs.get(pair)
    if old is None or old.get("fused") != record.get("fused") or old.get("image") != record.get("image"):
        pairs[pair] = record.copy()
        return
    scores = {**old.get("scores", {}), **record.get("scores", {})}
    pairs[pair] = {**old, **record, "scores": scores}


def write_table(results: Path, table: Table) -> None:
    """Write CSV, then JSON, each atomically, then drop the journal: the same bytes for the same content."""
    columns = sorted({metric for record in table.pairs.values() for metric in record.get("scores", {})})
    errors = any("error" in record for record in table.pairs.values())
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["pair", *columns, *(["error"] if errors else [])])
    for pair, record in sorted(table.pairs.items()):
        values = [_number(record.get("scores", {}).get(metric)) for metric in columns]
        reason = " ".join(record.get("error", "").split())  # no line ends in a cell, whatever git makes of them
        writer.writerow([pair, *values, *([reason] if errors else [])])
    text = buffer.getvalue()
    records = {pair: {k: v for k, v in record.items() if k != "scores"} for pair, record in sorted(table.pairs.items())}
    head = {"format": FORMAT, "csv_sha256": hashlib.sha256(text.encode()).hexdigest()}
    write_text(table.key.csv(results), text)
    body = {"about": table.about, "pairs": records}
    write_json(table.key.json(results), head | {"sha256": _digest(body)} | body)
    table.key.journal(results).unlink(missing_ok=True)


class Journal:
    """Append-only log of one table; every line is on disk before ``add`` returns."""

    def __init__(self, results: Path, key: Key) -> None:
        path = key.journal(results)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._file.write("\n")  # ends a line that an earlier kill may have torn

    def add(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line, sort_keys=True)
        self._file.write(json.dumps({**line, "crc": zlib.crc32(text.encode())}, sort_keys=True) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def find_tables(results: Path) -> list[Key]:
    """Keys of all tables below RESULTS/scores, sorted; a table that exists as a journal only counts."""
    root = results / "scores"
    files = {p for pattern in ("*/*/*.json", "*/*/*.journal") for p in root.glob(pattern) if not p.name.startswith(".")}
    return sorted({Key(p.parent.parent.name, p.parent.name, p.name.rpartition(".")[0]) for p in files})


def read_results(results: Path) -> list[Table]:
    """All tables of a results folder. Raises InputError when it holds none, naming the folder and how to fill it."""
    keys = find_tables(results)
    if not keys:
        raise InputError(
            f"{results}: holds no scores; run `fusionbench run -m METHOD -t TASK --results {results}` first"
        )
    return [read_table(results, key) for key in keys]


def load_scores(results: Path | str) -> pd.DataFrame:
    """All scores of a results folder in long form: a row a task, method, pair and metric, in this order.

    - ``task``: data set and task, ``harvard/pet-mri``; ``phantom+noise,sigma=0.1/ct-mri`` of degraded inputs
    - ``pair``: the pair's id
    - ``patient``: whom the pair is of, one name in all tasks of a data set; "" where that is not known
    - ``method``: as tables name it, with settings that are not its own: ``laplacian@levels=5``
    - ``metric``: the column, ``name@convention+mask``, such as ``ssim@l2+foreground``
    - ``value``: float64 in the metric's unit; NaN where it is undefined on that pair; all others are text

    A pair on which a method failed has no row. ``frame.pivot_table("value", ["task", "pair"], ["method", "metric"])`` makes
    it wide. Raises InputError when the folder holds no scores, or a damaged file.
    """
    import pandas as pd  # as in Table.frame

    columns: dict[str, list[Any]] = {name: [] for name in ("task", "pair", "patient", "method", "metric", "value")}
    for table in read_results(Path(results)):
        task, facts = f"{table.key.dataset}/{table.key.task}", table.about.get("task", {})
        for pair, record in sorted(table.pairs.items()):
            patient = person(facts, str(record.get("case") or ""))
            for metric, value in sorted(record.get("scores", {}).items()):
                for name, item in zip(columns, (task, pair, patient, table.key.method, metric, value), strict=True):
                    columns[name].append(item)
    return pd.DataFrame(columns).astype({"value": float})


def read_metric_facts(results: Path) -> dict[str, Any]:
    """``{"metrics": {id: facts}, "profiles": {name: {"title", "metrics", "core"}}}`` as the engine wrote them."""
    path = results / "scores" / "metrics.json"
    return _read_json(path) if path.exists() else {"metrics": {}, "profiles": {}}


def write_metric_facts(results: Path, metrics: Mapping[str, Any], profiles: Mapping[str, Any]) -> None:
    """Merge metric fact sheets and profiles into RESULTS/scores/metrics.json."""
    try:
        known = read_metric_facts(results)
    except DamagedError:  # all of it is written anew
        known = {"metrics": {}, "profiles": {}}
    merged = {
        "metrics": {**known["metrics"], **metrics},
        "profiles": {**known["profiles"], **profiles},
    }
    if merged != known:
        write_json(results / "scores" / "metrics.json", merged)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Indented JSON with a final newline, atomically."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of what a JSON file says, however it is laid out."""
    text = json.dumps([content["about"], content["pairs"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return "nan" if math.isnan(value) else repr(float(value))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: damaged ({error}); delete it and its CSV, then run again") from None
    if not isinstance(content, dict):
        raise DamagedError(f"{path}: not a score file; delete it and its CSV, then run again")
    if content.get("format", FORMAT) != FORMAT:
        raise InputError(f"{path}: format {content['format']}, this version reads {FORMAT}; update fusionbench")
    return content


def _read_csv(path: Path, table: Table, expected: object, killed: bool) -> None:
    """Add the scores. ``killed``: there is a journal, so that the CSV may be one step ahead of its JSON."""
    try:
        text = path.read_bytes().decode().replace("\r\n", "\n")  # git may have changed the line ends
        if hashlib.sha256(text.encode()).hexdigest() != expected and not killed:
            raise ValueError("it was changed, its SHA-256 is another")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        metrics = [name for name in rows[0][1:] if name != "error"]
        for row in rows[1:]:
            values: Sequence[str] = row[1 : 1 + len(metrics)]
            scores = {metric: float(value) for metric, value in zip(metrics, values, strict=True) if value != ""}
            if row[0] in table.pairs or not killed:
                table.pairs[row[0]]["scores"] = scores
    except (OSError, IndexError, KeyError, ValueError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise DamagedError(
            f"{path}: damaged, or not of its JSON ({reason}); restore both or delete both, then run again"
        ) from None


def _journal_lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue  # torn by a kill: that pair is done again
        if isinstance(line, dict) and _whole(line):
            yield line


def _whole(line: dict[str, Any]) -> bool:
    """Whether a journal line is what was written; its checksum is taken off."""
    crc = line.pop("crc", None)
    if crc is not None and crc != zlib.crc32(json.dumps(line, sort_keys=True).encode()):
        return False
    if "about" in line:
        lists = line.get("forget", {})
        known = isinstance(lists, dict) and lists.keys() <= {"pairs", "metrics"}
        return isinstance(line["about"], dict) and known and all(_texts(names) for names in lists.values())
    record = line.get("record")
    return isinstance(line.get("pair"), str) and isinstance(record, dict) and isinstance(record.get("scores", {}), dict)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
