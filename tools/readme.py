"""Put the leaderboard and figure that ``make bench`` made into the README: python tools/readme.py [--bench runs/bench].

Only phantom pairs are shown: atlas images may not be passed on.
"""

from __future__ import annotations

from pathlib import Path

import click
from PIL import Image

from fusionbench.files import write_text
from fusionbench.report import leaderboards
from fusionbench.report.tables import Cell, Sheet
from fusionbench.report.truth import Judged, read_truth

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
TASK = "ct-mri"
FIGURE = Path("docs/figures/phantom-ct-mri.png")


@click.command()
@click.option("--bench", type=click.Path(path_type=Path), default=Path("runs/bench"), show_default=True)
def main(bench: Path) -> None:
    """Rewrite the README's part between the markers, and the figure beside it."""
    sheet = next(s for s in leaderboards(bench, profiles=["dmfnet"]) if s.title.startswith("CT"))
    (judged,) = read_truth(bench)
    picture = Image.open(bench / "leaderboard" / "figures" / "phantom" / TASK / "grid.png").convert("RGB")
    width = 1400
    picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(256).save(FIGURE, optimize=True)
    text = Path("README.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(Path("README.md"), f"{before}{BEGIN}\n{_section(sheet, judged)}\n{END}{after}")


def _section(sheet: Sheet, judged: Judged) -> str:
    """A row a method, in the order of what a reader finds in its images."""
    keep = [i for i, heading in enumerate(sheet.headings) if heading.split()[0].rstrip("*") in _SHOWN]
    first, second = judged.modalities
    heads = ["Method", "Both findings", f"{first}'s", f"{second}'s", *(sheet.headings[i] for i in keep)]
    rows = [heads, ["---", *("---:" for _ in heads[1:])]]
    lines = {line.method: line for line in sheet.lines if line.cells}
    for method in judged.ordered("cho"):
        line, found = lines[method], judged.methods[method]["cho"]
        name = line.title if line.kind == "contender" else f"*{line.title} (control)*"
        value, low, high = found["joint"]
        areas = [f"{value:.2f} [{low:.2f}, {high:.2f}]", *(f"{found[kind][0]:.2f}" for kind in ("first", "second"))]
        rows.append([name, *areas, *(_text(line.cells[i]) for i in keep)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return (
        f"![Phantom CT and MRI, fused by every method]({FIGURE.as_posix()})\n\n{table}\n\n"
        "CT–MRI, made by `make bench`. Findings: area under the ROC curve of a model observer on "
        f"{judged.subjects} generated subjects with a finding in the {first}, the {second}, both or neither; 0.5 is "
        "guessing; *both* is the smaller of the two, with its 95 % interval. Mean rank and metrics: profile dmfnet on "
        "phantom pairs, best bold, second underlined. Controls are trivial fusers with the rank they would have.\n"
    )


_SHOWN = {"Mean", "MI", "Qabf", "VIF", "SSIM"}


def _text(cell: Cell) -> str:
    return {"best": f"**{cell.text}**", "second": f"<u>{cell.text}</u>"}.get(cell.place, cell.text)


if __name__ == "__main__":
    main()
