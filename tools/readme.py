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

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
TASK = "pet-mri"
FIGURE = Path("docs/figures/phantom-pet-mri.png")


@click.command()
@click.option("--bench", type=click.Path(path_type=Path), default=Path("runs/bench"), show_default=True)
def main(bench: Path) -> None:
    """Rewrite the README's part between the markers, and the figure beside it."""
    sheet = next(s for s in leaderboards(bench, profiles=["dmfnet"]) if s.title.startswith("PET"))
    picture = Image.open(bench / "leaderboard" / "figures" / "phantom" / TASK / "grid.png").convert("RGB")
    width = 1400
    picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(256).save(FIGURE, optimize=True)
    text = Path("README.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(Path("README.md"), f"{before}{BEGIN}\n{_section(sheet)}\n{END}{after}")


def _section(sheet: Sheet) -> str:
    keep = [i for i, heading in enumerate(sheet.headings) if heading.split()[0].rstrip("*") in _SHOWN]
    rows = [["Method", *(sheet.headings[i] for i in keep)], ["---", *("---:" for _ in keep)]]
    for line in sheet.lines:
        if line.cells:
            name = line.title if line.kind == "contender" else f"*{line.title} (control)*"
            rows.append([name, *(_text(line.cells[i]) for i in keep)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return (
        f"![Phantom PET and MRI, fused by every method]({FIGURE.as_posix()})\n\n{table}\n\n"
        f"{sheet.title}, made by `make bench`. Best bold, second underlined; controls are trivial fusers with the rank "
        "they would have. * describes the image, is no measure of quality.\n"
    )


_SHOWN = {"Mean", "EN", "SD", "SF", "MI", "Qabf", "VIF", "SSIM"}


def _text(cell: Cell) -> str:
    return {"best": f"**{cell.text}**", "second": f"<u>{cell.text}</u>"}.get(cell.place, cell.text)


if __name__ == "__main__":
    main()
