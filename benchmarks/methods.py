"""CPU seconds that every method takes for one 256 x 256 pair; with --write also docs/methods.md and its contact sheet.

    python benchmarks/methods.py [METHOD ...] [--write]

One generated PET-MRI pair, one thread, processor time (which other work on the machine hardly changes); the best of
three runs after a first that loads, compiles and fills caches (of one above two seconds).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from fusionbench.datasets import create_task
from fusionbench.files import write_bytes
from fusionbench.methods import METHODS, create_method
from fusionbench.pairs import UInt8, to_uint8

ROOT = Path(__file__).parents[1]

VIFB = "VIFB's published images, three scenes"
EXACT = {
    "laplacian": "equal to Liu's toolbox (maximum difference 0)",
    "adf": f"identical to {VIFB}",
    "fpde": f"identical to {VIFB}",
    "cbf": f"identical to {VIFB}",
    "tif": f"identical to {VIFB}",
    "vsm-wls": f"identical to {VIFB}",
    "guided-filter": "two of VIFB's published scenes identical, one at 66.2 dB",
    "nsst-papcnn": "identical to the authors' CT-MRI result (maximum difference 0)",
    "ifcnn-max": "86.8 dB or more on the authors' eight images",
    "lkcfunet": "network and losses equal to the authors' class within 1e-5",
    "efrufn": "cell, solver and losses equal to the authors' class within 1e-5",
    "frufn": "network and losses equal to the authors' class within 1e-5",
    "hybridfusion": "network, pyramid and losses equal to the authors' classes within 1e-5",
    "rwkvfusion": "network, losses and gradients equal to the authors' classes within 1e-5",
    "dtcwt": "shift behaviour equal to the reference package's; perfect reconstruction to 1e-10",
    "cartoon-texture": "4 dB or more nearer to the clean phantom slice than its source (white noise of 0.08)",
}
RECONSTRUCTS = "perfect reconstruction to 1e-10"
for _name in ("dwt", "swt", "nsct", "ratio-pyramid", "gradient-pyramid", "nsst-wlf", "nsst-jaya", "nsst-search"):
    EXACT[_name] = RECONSTRUCTS


def measure(spec: str, a: UInt8, b: UInt8) -> tuple[float, UInt8]:
    """(CPU seconds, fused image)."""
    method = create_method(spec).method
    method.prepare(torch.device("cpu"))
    x, y = (torch.from_numpy(image.copy())[None, None].float() / 255 for image in (a, b))
    times: list[float] = []
    fused = x
    while len(times) < 4:
        started = time.process_time()
        fused = method.fuse(x, y, [torch.Generator().manual_seed(0)])
        times.append(time.process_time() - started)
        if len(times) > 1 and times[-1] > 2:
            break
    best = min(times[1:])
    return best, to_uint8(fused[0, 0].double().numpy())


def table(seconds: dict[str, float]) -> str:
    """docs/methods.md."""
    lines = [
        "# Methods",
        "",
        "Every method of `fusionbench list methods`, from its fact sheet; by `python benchmarks/methods.py --write`.",
        "Seconds are processor time of one thread for one 256 x 256 pair. *Exact* says what the output was compared with;",
        "`tests/test_baselines_exact.py` compares where the originals' images are at hand.",
        "",
        "![All methods on one generated PET-MRI pair](methods.png)",
        "",
        "| method | reference | family | settings (defaults) | source of the algorithm | exact | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in METHODS.names():
        plugin = METHODS[name]
        facts = plugin.facts
        given = {key: parameter.default for key, parameter in plugin.settings.items()}
        settings = ", ".join(f"`{key}={value}`" for key, value in given.items()) or "-"
        reference = f"{facts.title}: {facts.reference}" if facts.reference else facts.title
        if facts.doi:
            reference = f"{reference}, [{facts.doi}](https://doi.org/{facts.doi})"
        source = "the paper" if facts.reference else "by definition"
        if facts.theirs:
            source = f"theirs: {facts.theirs}; ours: {facts.ours}"
        elif "learned here" in facts.licence:
            source = "the paper; dictionary learned here"
        elif facts.reference.startswith("this suite"):
            source = "ours; weights trained here"
        elif facts.trained:
            source = "the paper; weights of the user" if name == "ifcnn-max" else "the paper; weights trained here"
        taken = f"{seconds[name]:.3f}" if name in seconds else "needs weights"
        lines.append(
            f"| `{name}` | {reference} | {facts.family} | {settings} | {source} | {EXACT.get(name, '-')} | {taken} |"
        )
    return "\n".join(lines) + "\n"


def contact_sheet(images: dict[str, UInt8], columns: int = 7, side: int = 170) -> Image.Image:
    """All images with their names, in rows."""
    rows = -(-len(images) // columns)
    sheet = Image.new("L", (columns * side, rows * (side + 16)), 255)
    draw = ImageDraw.Draw(sheet)
    for index, (name, pixels) in enumerate(images.items()):
        x, y = index % columns * side, index // columns * (side + 16)
        sheet.paste(Image.fromarray(pixels).resize((side - 4, side - 4), Image.Resampling.LANCZOS), (x + 2, y + 14))
        draw.text((x + 3, y + 1), name, fill=0)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("methods", nargs="*", help="names or specs; all that can run, when none is given")
    parser.add_argument("--write", action="store_true", help="write docs/methods.md and docs/methods.png")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pair = create_task("phantom/pet-mri").load("test-00000")
    known = {name: getattr(METHODS[name].factory, "unavailable", lambda: None)() for name in METHODS.names()}
    specs = options.methods or [name for name, reason in known.items() if reason is None]
    seconds: dict[str, float] = {}
    images: dict[str, UInt8] = {}
    for spec in specs:
        seconds[spec], images[spec] = measure(spec, pair.a, pair.b)
        print(f"{spec:20s} {seconds[spec]:8.3f} s", flush=True)
    if options.write:
        write_bytes(ROOT / "docs" / "methods.md", table(seconds).encode())
        temporary = ROOT / "docs" / ".methods.png.tmp"
        contact_sheet({"MRI": pair.a, "PET": pair.b, **images}).save(temporary, format="PNG", optimize=True)
        temporary.replace(ROOT / "docs" / "methods.png")


if __name__ == "__main__":
    main()
