"""Task truth: what model observers found in fused images, as tables and as a picture that shows who fuses and who copies."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fusionbench.errors import InputError
from fusionbench.files import write_text
from fusionbench.report.boards import SOURCES_ALONE, acronym
from fusionbench.report.figures import WIDTHS, save, style
from fusionbench.report.plots import GREY, OKABE_ITO, name_points
from fusionbench.scores import Key

SOURCES = "sources"
AREAS = ("first", "second", "joint", "states", "efficiency-first", "efficiency-second")
LABELLED = "dice-finding"
"""What a labelling observer is judged by first; it has no areas."""
Figures = Mapping[str, tuple[float, float, float]]


@dataclasses.dataclass(frozen=True)
class Judged:
    """A task of known findings. ``subjects``: of the sources and most methods; ``methods``: method -> observer -> figure ->
    (value, low, high); ``bounds``: "KIND, OBSERVER" -> the same of the sources; ``abouts``: method -> what its file says."""

    dataset: str
    task: str
    subjects: int
    modalities: tuple[str, str]
    methods: Mapping[str, Mapping[str, Figures]]
    bounds: Mapping[str, Figures]
    abouts: Mapping[str, Mapping[str, Any]]

    @property
    def observers(self) -> list[str]:
        return list(dict.fromkeys(name for found in self.methods.values() for name in found))

    def ordered(self, observer: str) -> list[str]:
        """By joint area (Dice of the finding), best first."""
        own = {method: found[observer] for method, found in self.methods.items() if observer in found}
        return sorted(own, key=lambda method: (-own[method].get("joint", own[method].get(LABELLED, (0.0,)))[0], method))

    def figures(self, observer: str) -> tuple[str, ...]:
        """What the observer tells."""
        told = dict.fromkeys(name for found in self.methods.values() for name in found.get(observer, {}))
        return tuple(told) if LABELLED in told else AREAS

    def few(self, method: str) -> str:
        """ " (50 subjects)" for a method that was judged on fewer than the others, else ""."""
        own = self.abouts[method]["subjects"]
        return "" if own == self.subjects else f" ({own} subjects)"

    def title(self, method: str) -> str:
        """Sources by their modality, others as their fact sheets call them."""
        if method in SOURCES_ALONE:
            return f"{self.modalities[SOURCES_ALONE.index(method)]} alone"
        return str(self.abouts[method].get("method", {}).get("title") or method)

    def control(self, method: str) -> bool:
        return bool(self.abouts[method].get("method", {}).get("control"))


def read_truth(results: Path, *, degraded: bool = False) -> list[Judged]:
    """All studies of a results folder; [] where there is none. ``degraded``: those of degraded sources instead.

    Raises InputError naming a damaged file.
    """
    found = []
    for folder in sorted(path for path in (results / "truth").glob("*/*") if path.is_dir()):
        if bool(Key(folder.parent.name, folder.name).flaw) != degraded:
            continue
        files = {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}
        sources = files.pop(SOURCES, None)
        if sources is None or not files:
            continue
        subjects = int(sources["about"]["subjects"])
        modalities = sources["about"]["task"]["modalities"]
        found.append(
            Judged(
                dataset=folder.parent.name,
                task=folder.name,
                subjects=subjects,
                modalities=(str(modalities[0]), str(modalities[1])),
                methods={method: content["observers"] for method, content in files.items()},
                bounds=sources["observers"],
                abouts={method: content["about"] for method, content in files.items()},
            )
        )
    return found


def findings(results: Path) -> dict[Key, dict[str, float]]:
    """Where generated pairs were fused -> method -> joint area of ``cho`` on pairs of the same task with known findings."""
    found: dict[Key, dict[str, float]] = {}
    for judged in read_truth(results):
        place = Key(judged.dataset, judged.task)
        own = {method: of["cho"]["joint"][0] for method, of in judged.methods.items() if "cho" in of}
        for dataset in {place.base, "phantom"}:
            found[Key.of(f"{dataset}/{judged.task}", split=place.split, channel=place.channel)] = own
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content["observers"], dict) or not isinstance(content["about"]["subjects"], int):
            raise ValueError("no observers in it")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); delete it and run fusionbench observe again") from None
    return dict(content)


def markdown(judged: Judged) -> str:
    """A table an observer, with its bounds."""
    first, second = judged.modalities
    areas = [f"{first}'s finding", f"{second}'s finding", "joint", "four states", f"efficiency {first}", second]
    lines = [
        f"## Task truth: {judged.dataset}/{judged.task}",
        "",
        f"{judged.subjects} subjects, {4 * judged.subjects} images a method, unless told; areas under the ROC curve with "
        "95 % intervals by subject, 0.5 is guessing. Joint: the smaller of the two. Four states: share named rightly, 0.25 "
        "is guessing. Efficiency: share of the sources' information that survived. See docs/observers.md.",
        "",
    ]
    for observer in judged.observers:
        heads = (
            areas
            if judged.figures(observer) == AREAS
            else [name.replace("-", ", ") for name in judged.figures(observer)]
        )
        lines += [f"Observer `{observer}`", "", f"| | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
        for kind, figures in judged.bounds.items():
            name, _, who = kind.rpartition(", ")
            if who == observer:
                lines.append(f"| *{_bound(name, judged)}* | {_cells(figures, judged.figures(observer))} |")
        for method in judged.ordered(observer):
            name = judged.title(method).replace("|", "\\|").replace("<", "&lt;") + " (control)" * judged.control(method)
            cells = _cells(judged.methods[method][observer], judged.figures(observer))
            lines.append(f"| {name}{judged.few(method)} | {cells} |")
        lines.append("")
    return "\n".join(lines)


def _bound(name: str, judged: Judged) -> str:
    first, second = judged.modalities
    return (
        name.replace("first source", f"{first} alone")
        .replace("second source", f"{second} alone")
        .replace("both sources", f"{first} and {second} side by side")
    )


def _cells(figures: Figures, names: Sequence[str]) -> str:
    return " | ".join(
        f"{figures[name][0]:.3f} [{figures[name][1]:.2f}, {figures[name][2]:.2f}]" if name in figures else ""
        for name in names
    )


def csv_text(judged: Judged) -> str:
    """A line an observer and method, bounds among them: each figure with the ends of its interval."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    told = list(dict.fromkeys(name for observer in judged.observers for name in judged.figures(observer)))
    ends = [f"{name}{end}" for name in told for end in ("", "_low", "_high")]
    writer.writerow(["observer", "method", "subjects", *ends])
    rows: list[tuple[str, str, Figures]] = []
    for kind, figures in judged.bounds.items():
        name, _, observer = kind.rpartition(", ")
        rows.append((observer, f"({name})", figures))
    for observer in judged.observers:
        rows += [(observer, method, judged.methods[method][observer]) for method in judged.ordered(observer)]
    for observer, method, figures in rows:
        values = [value for name in told for value in figures.get(name, ("", "", ""))]
        subjects = judged.abouts[method]["subjects"] if method in judged.abouts else judged.subjects
        writer.writerow([observer, method, subjects, *values])
    return buffer.getvalue()


def plane(judged: Judged, observer: str) -> Figure:
    """Each method as a point: area for the first source's finding across, for the second's up; sources and bound drawn in.

    A copy of a source lies on one of the lines of guessing; who fuses lies towards the upper right.
    """
    with style():
        width = WIDTHS["1col"]
        figure = Figure(figsize=(width, width), layout="constrained")
        axis = figure.subplots()
        axis.axhline(0.5, color=GREY, lw=0.6, ls=":")
        axis.axvline(0.5, color=GREY, lw=0.6, ls=":")
        named = []
        for name, (x, y) in stars(judged, observer).items():
            axis.plot(x, y, "*", color=OKABE_ITO[4], ms=9, mec="black", mew=0.4)
            named.append((name, x, y, "black"))
        for method in judged.ordered(observer):
            found = judged.methods[method][observer]
            (x, x0, x1), (y, y0, y1) = found["first"], found["second"]
            control = judged.control(method)
            color = GREY if control else OKABE_ITO[0]
            axis.plot([x0, x1], [y, y], color=color, lw=0.5, alpha=0.4)
            axis.plot([x, x], [y0, y1], color=color, lw=0.5, alpha=0.4)
            axis.plot(x, y, "s" if control else "o", color=color, ms=3)
            named.append((_short(judged, method), x, y, GREY if control else "black"))
        axis.set_xlabel(f"area, {judged.modalities[0]}'s finding")
        axis.set_ylabel(f"area, {judged.modalities[1]}'s finding")
        axis.set_xlim(0.44, 1.0)
        axis.set_ylim(0.44, 1.0)
        axis.set_aspect("equal")
        channel = Key(judged.dataset, judged.task).channel
        by = "" if channel == "luma" else f" by {channel}"
        axis.set_title(f"{judged.task}{by}, observer {observer}", loc="left")
        name_points(axis, named)
    return figure


def stars(judged: Judged, observer: str) -> dict[str, tuple[float, float]]:
    """The upper bounds to draw: both sources; of a tracer with its level too, unless that is the same or hue is read."""
    base = observer.removesuffix(" colour")
    stars: dict[str, tuple[float, float]] = {}
    for kind, text in (("both sources, level", "both sources (level)"), ("both sources", "both sources")):
        figures = judged.bounds.get(f"{kind}, {base}")
        if figures is None or (stars and base != observer):
            continue
        at = (figures["first"][0], figures["second"][0])
        if all(abs(at[0] - x) + abs(at[1] - y) > 0.02 for x, y in stars.values()):
            stars[text] = at
    return stars


def _short(judged: Judged, method: str) -> str:
    title = judged.title(method)
    return title if len(title) < 12 else acronym(title) or method


def write(results: Path, out: Path) -> tuple[list[Path], list[str]]:
    """Tables and figures of all studies below ``out``: (paths written, their Markdown)."""
    written: list[Path] = []
    texts = []
    for judged in read_truth(results):
        folder = out / judged.dataset / judged.task
        text = markdown(judged)
        write_text(folder / "truth.md", text)
        write_text(folder / "truth.csv", csv_text(judged))
        written += [folder / "truth.md", folder / "truth.csv"]
        for observer in _drawn(judged.observers):
            stem = out / "figures" / judged.dataset / judged.task / f"truth-{observer.replace(' ', '-')}"
            written += save(plane(judged, observer), stem)
        texts.append(text)
    for (dataset, task), text in curves_csv(results).items():
        path = out / dataset / task / "truth-robustness.csv"
        write_text(path, text)
        written.append(path)
    return written, texts


def curves_csv(results: Path) -> dict[tuple[str, str], str]:
    """(data set, task) -> task truth against the strength of each degradation: a line a method and observer. The clean study
    comes first, at strength 0; empty where nothing degraded was observed."""
    clean = {(judged.dataset, judged.task): judged for judged in read_truth(results)}
    lines: dict[tuple[str, str], list[list[Any]]] = {}
    for judged in read_truth(results, degraded=True):
        place = Key(judged.dataset, judged.task).clean
        said = next(iter(judged.abouts.values())).get("corruption", {})
        lines.setdefault((place.dataset, place.task), []).extend(_steps(judged, said.get("kind"), said.get("strength")))
    texts = {}
    for at, rows in lines.items():
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        ends = [f"{name}{end}" for name in AREAS for end in ("", "_low", "_high")]
        writer.writerow(["degradation", "strength", "observer", "method", "subjects", *ends])
        none = _steps(clean[at], "none", 0) if at in clean else []
        writer.writerows([*none, *sorted(rows, key=lambda row: (row[0], row[2], row[3], row[1]))])
        texts[at] = buffer.getvalue()
    return texts


def _steps(judged: Judged, kind: Any, strength: Any) -> list[list[Any]]:
    """Rows of a study; its bounds, which say what is lost before any fuser, are methods in brackets."""
    own = [(f"({kind_.rpartition(', ')[0]})", kind_.rpartition(", ")[2], f) for kind_, f in judged.bounds.items()]
    own += [(method, observer, f) for method, of in judged.methods.items() for observer, f in of.items()]
    return [
        [
            kind,
            strength,
            observer,
            method,
            judged.subjects,
            *(v for name in AREAS for v in figures.get(name, ("", "", ""))),
        ]
        for method, observer, figures in own
    ]


def _drawn(observers: Sequence[str]) -> list[str]:
    """The first observer, in grey and in colour."""
    return [name for name in observers if name.removesuffix(" colour") == observers[0]]
