"""Gather the pages of the site in build/site-docs, for mkdocs: what docs/ holds, and pages made from fact sheets.

    python tools/make_site.py [--quick] [--leaderboard results/leaderboard]

A page a metric (formulas: docs/metrics/formulas.toml, as MathML, which browsers show without a script), a page a method with
what it makes of two generated pairs, the gallery, and the tutorials as executed notebooks. ``--quick`` executes no tutorial
and fuses nothing that is not there yet: enough to find a dead link.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import jupytext  # noqa: E402
from latex2mathml.converter import convert  # noqa: E402
from nbclient import NotebookClient  # noqa: E402
from nbconvert import MarkdownExporter  # noqa: E402

from fusionbench import METHODS, TASKS, fuse, load_board  # noqa: E402
from fusionbench.errors import InputError  # noqa: E402
from fusionbench.methods import unavailable  # noqa: E402
from fusionbench.methods.published import published_facts, published_names  # noqa: E402
from fusionbench.metrics import PROFILES, MetricFacts, groups  # noqa: E402
from fusionbench.pairs import write_png  # noqa: E402
from fusionbench.report.boards import Board  # noqa: E402
from fusionbench.scores import Column  # noqa: E402
from tools.make_metric_docs import INTROS, direction  # noqa: E402

DOCS = ROOT / "docs"
OUT = Path(os.environ.get("SITE_DOCS") or ROOT / "build" / "site-docs")
"""Where mkdocs.yml looks for pages."""
IMAGES = ROOT / "build" / "site-images"
SHOWN = {"ct-mri": "test-00001", "pet-mri": "test-00004"}
"""The generated pairs of the gallery."""
SYMBOLS = r"""
## Symbols

In the formulas of the metric pages *A* and *B* are the sources and *F* is the fused image, *H* x *W* grey levels 0 to
255; *X* stands for either source. *p* is a histogram over levels, *H* its entropy, *I* mutual information, *r* Pearson's
correlation. In a window *w*, the μ are means, σ² variances and σ with two indices covariances. *g* is the gradient's
strength. Sums without an index go over all pixels. Each page says in words what its convention fixes.
"""
API = {
    "index": (
        "Python API",
        "`import fusionbench` loads nothing heavy; each name is loaded when it is used. Their homes:",
        "bench.arrays.fuse metrics.evaluate bench.plan.run bench.images.score_folders scores.tables.load_scores "
        "report.load_board report.load_boards report.write_report pairs.Pair errors.InputError",
    ),
    "plugins": (
        "Methods and metrics",
        "What a method, a metric and a task are made of. [Plugins](../plugins.md) has examples.",
        "methods.Method methods.MethodFacts methods.create_method methods.per_image metrics.MetricFacts metrics.variant "
        "metrics.prepare datasets.Task datasets.TaskFacts",
    ),
    "report": (
        "Boards, plots and claims",
        "What is read from a results folder.",
        "report.boards.Board report.plots report.figures.Paper report.claims.ask report.claims.ask_csv",
    ),
    "stats": ("Statistics", "Pure functions on frames of anybody's scores; no files, no torch.", "stats"),
    "bench": (
        "The engine",
        "What `fusionbench observe` and `fuse` call.",
        "bench.observe.observe bench.volumes.read_volume bench.volumes.fuse_volumes bench.volumes.write_volume",
    ),
}
"""Page -> title, first words and what is documented on it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="execute no tutorial, fuse nothing")
    parser.add_argument("--leaderboard", type=Path, default=ROOT / "results" / "leaderboard")
    given = parser.parse_args()
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.copytree(DOCS, OUT, ignore=shutil.ignore_patterns("*.py", "*.toml", "methods.md"))
    (OUT / "start.md").rename(OUT / "index.md")
    if not given.quick:
        draw_gallery()
    boards = public_boards()
    write_metrics()
    write_methods(boards)
    write_tutorials(execute=not given.quick)
    for name, (title, text, members) in API.items():
        write(f"api/{name}.md", "\n\n".join([f"# {title}", text, *(f"::: fusionbench.{m}" for m in members.split())]))
    copy_page(given.leaderboard)
    for path in OUT.rglob("*.md"):
        path.write_text(repointed(path.read_text(encoding="utf-8")), encoding="utf-8")


def write(name: str, text: str) -> None:
    path = OUT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def repointed(text: str) -> str:
    """Links to files of the repository lead there, where its address is known, else they are plain text."""
    home = os.environ.get("REPO_URL", "")

    def point(found: re.Match[str]) -> str:
        label, target = found[1], found[2]
        return f"[{label}]({home}/blob/HEAD/{target})" if home else label

    text = re.sub(r"!\[([^\]]*)\]\(\.\./results/[^)]*\)", "", text)  # figures of the results are on the page
    text = text.replace("](../results/leaderboard/README.md)", "](page/index.html)").replace(
        "](methods.md)", "](methods/index.md)"
    )
    return re.sub(
        r"(?<!!)\[([^\]]*)\]\((?:\.\./)+((?:results|fusionbench|tests|tools|benchmarks|\.github)/[^)]*|[A-Z]+\.\w+|action\.yml)\)",
        point,
        text,
    )


def copy_page(leaderboard: Path) -> None:
    """The live page, with what it reads beside it; a word in its place where none was made."""
    target = OUT / "page"
    target.mkdir()
    if (leaderboard / "index.html").exists():
        shutil.copy(leaderboard / "index.html", target)
        for part in ("patients", "images"):
            if (leaderboard / part).is_dir():
                shutil.copytree(leaderboard / part, target / part)
    else:
        print(f"{leaderboard}/index.html is not there: the site has no live page; make it with `fusionbench report`")
        (target / "index.html").write_text(
            "<!doctype html><title>No page</title>Run <code>fusionbench report</code>.\n"
        )


def public_boards() -> dict[str, Board]:
    """Title -> board of the real pairs under the default profile, from the scores in the repository."""
    found = {}
    for task in ("ct-mri", "pet-mri", "spect-mri"):
        try:
            board = load_board(ROOT / "results", f"harvard/{task}")
        except InputError as error:
            print(f"no places of methods: {error}")
            return {}
        found[board.task_title] = board
    return found


# Metrics


def write_metrics() -> None:
    """A page a metric with all its conventions, and a page a family that leads there."""
    formulas = tomllib.loads((DOCS / "metrics" / "formulas.toml").read_text(encoding="utf-8"))
    index = OUT / "metrics" / "index.md"
    index.write_text(index.read_text(encoding="utf-8") + SYMBOLS, encoding="utf-8")
    for family, members in groups().items():
        rows = [f"| [`{f.name}`]({link(f.name)}) | {f.title} | {direction(f)} | {f.range} {f.unit} |" for f in members]
        head = [
            f"# Metrics: {family}",
            "",
            INTROS.get(family, ""),
            "",
            "| id | name | better | range |",
            "| --- | --- | --- | --- |",
        ]
        write(f"metrics/{family}.md", "\n".join([*head, *rows]))
        stems: dict[str, list[MetricFacts]] = {}
        for facts in members:
            stems.setdefault(Column.parse(facts.name).name, []).append(facts)
        for stem, own in stems.items():
            write(f"metrics/ids/{stem}.md", metric_page(stem, own, formulas))


def link(name: str) -> str:
    """From a page beside ``ids`` to a metric's section."""
    return f"ids/{Column.parse(name).name}.md#{anchor(name)}"


def anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"id-{name}")


def metric_page(stem: str, members: Sequence[MetricFacts], formulas: Mapping[str, str]) -> str:
    first = members[0]
    lines = [f"# {first.title.partition(',')[0]}", "", f"Family [{first.family}](../{first.family}.md)."]
    if len(members) > 1:
        lines += ["", f"{len(members)} conventions go by this name: name the one that you report."]
    for facts in members:
        used = [f"`{p.name}`" for p in PROFILES.values() if facts.name in p.metrics]
        reference = facts.reference + (f", [{facts.doi}](https://doi.org/{facts.doi})" if facts.doi else "")
        lines += ["", f"## `{facts.name}` {{ #{anchor(facts.name)} }}", "", f"**{facts.title}.** {facts.formula}", ""]
        lines += [math(formulas.get(facts.name) or formulas[stem]), ""]
        rows = (
            ("Convention", facts.convention),
            ("Who computes it so", facts.origin),
            ("Better", direction(facts)),
            ("Range", f"{facts.range} {facts.unit}".strip()),
            ("Sources", "interchangeable" if facts.symmetric else "the first is the structural image"),
            ("Flat and equal images", facts.degenerate),
            ("Profiles", ", ".join(used)),
            ("Reference", reference),
        )
        lines += [f"- **{label}:** {value}" for label, value in rows if value]
        if facts.traps:
            lines += ["", '!!! warning "Traps"', "", *(f"    - {trap}" for trap in facts.traps)]
    lines += [
        "",
        "Command line: `fusionbench explain " + first.name + "`. All symbols: [metrics](../index.md#symbols).",
    ]
    return "\n".join(lines)


def math(tex: str) -> str:
    """A formula as MathML."""
    return f'<div class="formula">{convert(tex, display="block")}</div>'


# Methods


def draw_gallery() -> None:
    """What every method that runs as it stands makes of the shown pairs; images of the same version are kept."""
    for task, pair_id in SHOWN.items():
        pair = TASKS[f"phantom/{task}"].factory().load(pair_id)
        other = pair.b if pair.color is None else pair.color
        write_png(IMAGES / task / "source-1.png", pair.a)
        write_png(IMAGES / task / "source-2.png", other)
        for name in METHODS:
            path = IMAGES / task / image_name(name)
            if path.exists() or unavailable(METHODS[name]):
                continue
            print(f"fusing {task}: {name}", flush=True)
            write_png(path, fuse(name, pair.a, other, device="cpu"))


def image_name(method: str) -> str:
    return f"{method}-{METHODS[method].facts.version}.png"


def write_methods(boards: Mapping[str, Board]) -> None:
    """An index, a page a method, and the gallery."""
    if IMAGES.exists():
        shutil.copytree(IMAGES, OUT / "methods" / "images")
    families: dict[str, list[tuple[str, str]]] = {}
    for name in METHODS:
        facts = METHODS[name].facts
        write(f"methods/{name}.md", method_page(name, boards))
        families.setdefault(facts.family, []).append((name, facts.title))
    for name in published_names():
        facts_ = published_facts(name)
        file = f"published-{name.lower()}"
        write(f"methods/{file}.md", published_page(name, facts_, boards))
        families.setdefault("published, known by their images", []).append((file, str(facts_["title"])))
    lines = [
        "# Methods",
        "",
        "Run with `fusionbench run -m NAME`; sources, exactness and speed are on each method's page.",
    ]
    for family, members in sorted(families.items()):
        lines += ["", f"## {family.capitalize()}", "", *(f"- [{title}]({name}.md)" for name, title in members)]
    write("methods/index.md", "\n".join(lines))
    write("methods/gallery.md", gallery_page())


def method_page(name: str, boards: Mapping[str, Board]) -> str:
    plugin = METHODS[name]
    facts = plugin.facts
    reason = unavailable(plugin)
    rows = (
        ("Reference", reference(facts.reference, facts.doi)),
        ("Family", facts.family + (", a control: it shows what a number is worth" if facts.control else "")),
        ("Origin", facts.origin),
        ("Trained on", None if facts.trained_on is None else ", ".join(facts.trained_on)),
        ("Made for the metrics", None if facts.trained_for is None else ", ".join(facts.trained_for)),
        ("Theirs", facts.theirs),
        ("Ours", facts.ours),
        ("Licence", facts.licence),
        ("Sources", "interchangeable" if facts.symmetric else "not interchangeable: MRI first"),
        ("Draws noise", "yes, from the run's seed" if facts.stochastic else ""),
        ("As it stands", reason),
    )
    lines = [f"# {facts.title}", "", "[All methods](index.md)", ""]
    lines += [*(f"- **{label}:** {value}" for label, value in rows if value), ""]
    lines += [
        "```sh",
        f"fusionbench run -m {name} -t all",
        f"fusionbench fuse mri.png pet.png -o fused.png -m {name}",
        "```",
    ]
    if plugin.settings:
        lines += ["", "| setting | default |", "| --- | --- |"]
        lines += [
            f"| `{key}` | {f'`{p.default}`' if str(p.default) else 'none'} |" for key, p in plugin.settings.items()
        ]
    tiles = [
        tile(task, image_name(name), f"{task.upper()}, generated pair")
        for task in SHOWN
        if (IMAGES / task / image_name(name)).exists()
    ]
    if tiles:
        lines += ["", f'<div class="tiles">{"".join(tiles)}</div>']
    return "\n".join([*lines, "", *places(name, boards)])


def published_page(name: str, facts: Mapping[str, Any], boards: Mapping[str, Board]) -> str:
    rows = (
        ("Reference", reference(str(facts.get("reference", "")), str(facts.get("doi", "")))),
        ("Repository", f"<{facts['url']}>" if facts.get("url") else ""),
        ("Note", facts.get("note", "")),
    )
    lines = [
        f"# {facts['title']}",
        "",
        "Known here by images that third parties released; the package does not run it.",
        "",
    ]
    lines += [f"- **{label}:** {value}" for label, value in rows if value]
    return "\n".join([*lines, "", *places(name, boards)])


def reference(text: str, doi: str) -> str:
    return text + (f", [{doi}](https://doi.org/{doi})" if doi else "")


def places(name: str, boards: Mapping[str, Board]) -> list[str]:
    """Where a method stands on the public boards."""
    rows = []
    for title, board in boards.items():
        method = next((m for m in board.ranked if m.lower() == name.lower()), None)
        if method is not None:
            place = f"{board.place_of(method)} of {len(board.order)}" if method in board.order else "control"
            rows.append(f"| {title} | {place} | {board.mean_rank[method]:.2f} |")
    if not rows:
        return []
    note = "Profile `dmfnet` on the Harvard pairs; [what that can carry](../leaderboard.md)."
    return ["## On the public leaderboard", "", "| task | place | mean rank |", "| --- | --- | ---: |", *rows, "", note]


def gallery_page() -> str:
    lines = [
        "# Gallery",
        "",
        "Every method that runs as it stands, on generated pairs. No image of a patient is shown.",
    ]
    for task in SHOWN:
        made = [name for name in METHODS if (IMAGES / task / image_name(name)).exists()]
        sources = [
            tile(task, f"source-{n}.png", text) for n, text in enumerate(("MRI", task.partition("-")[0].upper()), 1)
        ]
        own = [tile(task, image_name(n), f'<a href="../{n}/">{METHODS[n].facts.title}</a>') for n in made]
        if made:
            lines += ["", f"## {task.upper()}", "", f'<div class="tiles">{"".join([*sources, *own])}</div>']
    return "\n".join(lines)


def tile(task: str, file: str, caption: str) -> str:
    alt = re.sub("<[^>]*>", "", caption)
    image = f'<img src="../images/{task}/{file}" alt="{alt}" loading="lazy">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


# Tutorials


def write_tutorials(*, execute: bool) -> None:
    """Each as a page with its outputs, and as a notebook to be downloaded."""
    for path in sorted((DOCS / "tutorials").glob("*.py")):
        notebook = jupytext.read(path)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        if execute:
            print(f"executing {path.name}", flush=True)
            folder = ROOT / "build" / "tutorials" / path.stem
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(folder)}}).execute()
        jupytext.write(notebook, OUT / "tutorials" / f"{path.stem}.ipynb")
        files = {"output_files_dir": f"{path.stem}-files"}
        text, resources = MarkdownExporter().from_notebook_node(notebook, resources=files)
        head, _, rest = text.lstrip().partition("\n")
        for name, content in resources["outputs"].items():
            target = OUT / "tutorials" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        write(f"tutorials/{path.stem}.md", f"{head}\n\n[As a notebook]({path.stem}.ipynb)\n{rest}")


if __name__ == "__main__":
    main()
