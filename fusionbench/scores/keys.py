"""What results are called: Key writes, parses and places ``dataset@split~channel+flaw/task/method@settings``; Column knows
what ``name@convention+mask`` means. Nobody else takes these names apart.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from fusionbench.errors import InputError


@dataclasses.dataclass(frozen=True, order=True)
class Key:
    """Which table, and where it and its images are: ``dataset[@split][~channel][+flaw]/task/method[@settings]``.

    ``phantom/ct-mri/laplacian@levels=5``, ``harvard@train/pet-mri/pca``, ``phantom~level/pet-mri/dwt``,
    ``phantom+noise,sigma=0.05/pet-mri/dwt``. A split other than the published test split is a data set of its own, and so
    are other channels and degraded inputs: their scores cannot mix.
    ``method`` is "" where a data set and task are meant.
    """

    dataset: str
    task: str
    method: str = ""

    @classmethod
    def of(cls, task_name: str, *, split: str = "test", channel: str = "luma", flaw: str = "", method: str = "") -> Key:
        """Of a task as a command names it: ``folders:mine/pet-mri`` is kept as ``folders-mine``."""
        dataset, _, task = task_name.replace(":", "-").partition("/")
        dataset += "" if split == "test" else f"@{split}"
        dataset += "" if channel == "luma" else f"~{channel}"
        return cls(dataset + (f"+{flaw}" if flaw else ""), task, method)

    @classmethod
    def locate(cls, path: Path) -> tuple[Key, Path]:
        """``RESULTS/scores/DATASET/TASK/METHOD.json`` -> (key, RESULTS). Raises InputError for any other place."""
        path = path.absolute()
        parts = path.parts
        if path.suffix != ".json" or len(parts) < 5 or parts[-4] != "scores" or not path.exists():
            raise InputError(f"{path}: give a RESULTS/scores/DATASET/TASK/METHOD.json that exists")
        return cls(parts[-3], parts[-2], path.stem), path.parents[3]

    @property
    def flaw(self) -> str:
        """How one source was degraded, "" for clean inputs."""
        return self.dataset.partition("+")[2]

    @property
    def clean(self) -> Key:
        """The same without the degradation."""
        return dataclasses.replace(self, dataset=self.dataset.partition("+")[0])

    @property
    def base(self) -> str:
        """The data set without split, channel and degradation."""
        return self._pairs.partition("@")[0]

    @property
    def split(self) -> str:
        return self._pairs.partition("@")[2] or "test"

    @property
    def channel(self) -> str:
        """What is fused of a coloured source: "luma" or "level"."""
        return self.clean.dataset.partition("~")[2] or "luma"

    @property
    def _pairs(self) -> str:
        return self.clean.dataset.partition("~")[0]

    @property
    def method_name(self) -> str:
        """The method without its settings."""
        return self.method.partition("@")[0]

    @property
    def settings(self) -> str:
        """Settings that differ from the method's own, ``levels=5``; "" where none does."""
        return self.method.partition("@")[2]

    def csv(self, results: Path) -> Path:
        return results / "scores" / self.dataset / self.task / f"{self.method}.csv"

    def json(self, results: Path) -> Path:
        return self.csv(results).with_name(f"{self.method}.json")

    def journal(self, results: Path) -> Path:
        return self.csv(results).with_name(f"{self.method}.journal")

    def fused(self, results: Path) -> Path:
        """The folder of the images that were fused here."""
        return results / "fused" / self.dataset / self.task / self.method

    def regions(self, results: Path) -> Path:
        """The folder of what model observers read of the images: regions around the places of findings."""
        return results / "observed" / self.dataset / self.task / self.method

    def truth(self, results: Path) -> Path:
        """What model observers found in the images."""
        return results / "truth" / self.dataset / self.task / f"{self.method}.json"

    def image(self, results: Path, pair: str) -> Path:
        """The 8-bit luminance that is scored."""
        return self.fused(results) / f"{pair}.png"

    def picture(self, results: Path, pair: str) -> Path:
        """The image in colour, for people."""
        return self.fused(results) / "rgb" / f"{pair}.png"


# Numbers that go by one name in papers although their ids have another stem.
_SAME_HEADING = {"viff": "vif", "qg": "qabf", "nmi": "mi", "mef-ssim": "ssim", "mef-ms-ssim": "ms-ssim"}


@dataclasses.dataclass(frozen=True)
class Column:
    """What a column of scores holds, ``name@convention+mask``: ``en``, ``ssim@l2``, ``ssim@l2+foreground``.

    ``convention`` and ``mask`` are "" where the text has none. ``facts``: the metric's fact sheet as score files hold it, {}
    where it is not known.
    """

    name: str
    convention: str = ""
    mask: str = ""
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str, facts: Mapping[str, Mapping[str, Any]] | None = None) -> Column:
        """``facts``: column or metric id -> fact sheet, what :func:`read_metric_facts` returns under "metrics"."""
        metric, _, mask = text.partition("+")
        name, _, convention = metric.partition("@")
        known = facts or {}
        return cls(name, convention, mask, known.get(text) or known.get(metric) or {})

    def __str__(self) -> str:
        return f"{self.metric}+{self.mask}" if self.mask else self.metric

    @property
    def metric(self) -> str:
        """The id of the metric, ``name`` or ``name@convention``."""
        return f"{self.name}@{self.convention}" if self.convention else self.name

    @property
    def heading(self) -> str:
        """The name under which papers print it: ``ssim@l2+foreground`` -> ``ssim``, ``viff`` -> ``vif``."""
        return _SAME_HEADING.get(self.name, self.name)

    def inside(self, mask: str) -> Column:
        """The same metric inside a mask; "" means the whole image."""
        return dataclasses.replace(self, mask=mask)

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which way the literature ranks by it; "higher" where no fact sheet says otherwise."""
        return "lower" if (self.facts.get("customary") or self.facts.get("direction")) == "lower" else "higher"

    @property
    def describes(self) -> bool:
        """It describes an image and says nothing of the fusion's quality (entropy, contrast, sharpness)."""
        return self.facts.get("direction") == "describes"

    @property
    def short(self) -> str:
        """A heading that sets apart conventions and masks of one name."""
        text = str(self.facts.get("short") or self.name.upper())
        return f"{text} ({self.mask})" if self.mask else text


def fingerprint(*parts: Any) -> str:
    """16 hexadecimal digits that change when any part (anything JSON can hold) changes."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
