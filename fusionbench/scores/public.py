"""The public board's scores as they travel with the package: one small file, so that a method can be placed on the board
without the repository.

``fusionbench/scores/data/board.npz`` is made of RESULTS/scores by ``tools/board.py``: ``board`` holds what is said in words
(UTF-8 JSON), and ``DATASET/TASK`` the scores, (columns, methods, pairs) float32, NaN where a score is undefined. Seven
digits are enough to rank by, and half the size; whatever is put beside them is rounded alike (:func:`rounded`), so that
equal images tie.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from fusionbench.errors import InputError
from fusionbench.scores.keys import Key
from fusionbench.scores.tables import Record, Table

FACTS = (
    "name", "title", "family", "year", "reference", "doi", "code", "note", "trained", "control", "foreign", "origin",
    "trained_on", "trained_for", "withdrawn",
)  # fmt: skip
"""What of a method's facts travels; who wants the rest finds it in the repository's score files."""
_FORMAT = 1
_WORDS = "board"


@dataclasses.dataclass(frozen=True)
class PublicBoard:
    """``columns``: metric ids of every table; ``versions``: metric id -> the version it was scored with; ``made``: what the
    scores were made with (``date``, ``versions`` ...); ``tables``: a table a method and task, of the committed results."""

    columns: list[str]
    versions: Mapping[str, str]
    made: Mapping[str, Any]
    tables: list[Table]

    @property
    def places(self) -> list[Key]:
        """The tasks that have a board."""
        return sorted({Key(table.key.dataset, table.key.task) for table in self.tables})

    def at(self, place: Key) -> list[Table]:
        """The tables of one task. Raises InputError for one that has no board."""
        found = [table for table in self.tables if (table.key.dataset, table.key.task) == (place.dataset, place.task)]
        if not found:
            known = ", ".join(f"{key.dataset}/{key.task}" for key in self.places)
            raise InputError(f"{place.dataset}/{place.task} has no public board; there are: {known}")
        return found


def rounded(table: Table, columns: Sequence[str]) -> Table:
    """The same table with these columns alone, in the precision of the public board."""
    pairs: dict[str, Record] = {}
    for pair, record in table.pairs.items():
        scores = record.get("scores", {})
        kept = {name: float(np.float32(scores[name])) for name in columns if name in scores}
        pairs[pair] = {**record, "scores": kept} if scores else record
    return dataclasses.replace(table, pairs=pairs)


def read_public() -> PublicBoard:
    """The public board of this package. Raises InputError where its file is damaged."""
    source = resources.files("fusionbench.scores") / "data" / "board.npz"
    try:
        return unpack(source.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: {error}; install fusionbench again") from None


def unpack(content: bytes) -> PublicBoard:
    """What :func:`pack` packed. Raises ValueError for anything else."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            words = json.loads(bytes(file[_WORDS]).decode())
            if words["format"] != _FORMAT:
                raise ValueError(f"format {words['format']}, this version reads {_FORMAT}")
            tables = [t for place in words["places"] for t in _unpacked(words, place, file[place["name"]])]
            return PublicBoard(words["columns"], words["versions"], words["made"], tables)
    except (ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"damaged, or no public board ({' '.join(str(error).split())})") from None


def pack(tables: Sequence[Table], columns: Sequence[str], made: Mapping[str, Any]) -> bytes:
    """The file of some tables: the same bytes for the same tables with one version of zlib.

    Raises InputError for a pair that has some of the columns alone: what is undefined must be told from what is missing.
    """
    methods: dict[str, dict[str, Any]] = {}
    versions: dict[str, str] = {}
    places: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for key in sorted({Key(table.key.dataset, table.key.task) for table in tables}):
        own = {t.key.method: t for t in tables if (t.key.dataset, t.key.task) == (key.dataset, key.task)}
        records = {pair: record for table in own.values() for pair, record in sorted(table.pairs.items())}
        pairs = sorted(records)
        name = f"{key.dataset}/{key.task}"
        arrays[name] = np.array([[_scores(own[m], pair, columns) for pair in pairs] for m in sorted(own)], np.float32)
        arrays[name] = np.ascontiguousarray(arrays[name].transpose(2, 0, 1))
        for method, table in own.items():
            facts = {field: table.about["method"][field] for field in FACTS if field in table.about["method"]}
            if methods.setdefault(method, facts) != facts:
                raise InputError(
                    f"{method} has other facts on {name} than on other tasks; fusionbench correct mends it"
                )
            versions |= {c: str(v) for c, v in table.about["metric_versions"].items() if c in columns}
        missing = {m: [pair for pair in pairs if not own[m].pairs.get(pair, {}).get("scores")] for m in sorted(own)}
        first = next(iter(own.values())).about
        places.append(
            {
                "name": name,
                "task": first["task"],
                "split": first["split"],
                "methods": sorted(own),
                "pairs": pairs,
                "cases": [records[pair].get("case", "") for pair in pairs],
                "sources": [records[pair].get("pair", "") for pair in pairs],
                "missing": {method: held for method, held in missing.items() if held},
            }
        )
    words = {
        "format": _FORMAT, "columns": list(columns), "versions": dict(sorted(versions.items())), "made": dict(made),
        "methods": dict(sorted(methods.items())), "places": places,
    }  # fmt: skip
    text = np.frombuffer(json.dumps(words, ensure_ascii=False, separators=(",", ":")).encode(), np.uint8)
    buffer = io.BytesIO()
    arrays[_WORDS] = text
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _scores(table: Table, pair: str, columns: Sequence[str]) -> list[float]:
    scores = table.pairs.get(pair, {}).get("scores", {})
    lacking = [name for name in columns if scores and name not in scores]
    if lacking:
        raise InputError(
            f"{table.key.dataset}/{table.key.task}/{table.key.method}: {pair} lacks {lacking[0]}; score it"
        )
    return [scores.get(name, np.nan) for name in columns]


def _unpacked(words: Mapping[str, Any], place: Mapping[str, Any], values: Any) -> list[Table]:
    """The tables of one task."""
    dataset, _, task = place["name"].partition("/")
    found = []
    for index, method in enumerate(place["methods"]):
        about = {
            "task": place["task"],
            "split": place["split"],
            "method": words["methods"][method],
            "metric_versions": words["versions"],
        }
        pairs: dict[str, Record] = {}
        for number, pair in enumerate(place["pairs"]):
            if pair not in place["missing"].get(method, []):
                scores = dict(zip(words["columns"], map(float, values[:, index, number]), strict=True))
                pairs[pair] = {"case": place["cases"][number], "pair": place["sources"][number], "scores": scores}
        found.append(Table(Key(dataset, task, method), about, pairs))
    return found
