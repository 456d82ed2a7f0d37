"""Write docs/metrics: an index, one page a family, and the table of agreement with public tools.

    python tools/make_metric_docs.py [--check]

All text comes from the fact sheets beside the code, all numbers from computing them here. ``--check`` writes nothing and
exits with 1 where a page is out of date.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from fusionbench.metrics import PROFILES, MetricFacts, evaluate, groups  # noqa: E402
from tools import which_metric  # noqa: E402
from tools.golden_table import (  # noqa: E402
    MATCHES,
    NOTES,
    TRIPLES,
    UNMATCHED,
    check_causes,
    golden_rows,
    load_triple,
    tolerance,
)

INTROS = {
    "information": "How much of the sources' grey-level statistics the fused image holds. All of these look at "
    "histograms: they do not know where a pixel lies, and a copy of one source scores its whole "
    "entropy.",
    "statistics": "Spread of grey levels and pixel-wise agreement. Error measures (MSE, PSNR, CC) are best for the "
    "plain average of the sources, by construction.",
    "edges": "Sharpness of the fused image, and preservation of the sources' gradients. Sharpness needs no source: "
    "noise raises it.",
    "structure": "Similarity in local windows to both sources, or to a mixture of them. Flat background agrees with "
    "itself in every method; a mask takes it out.",
    "fidelity": "Information about each source that is left in the fused image, in a model of natural images and "
    "vision.",
    "features": "Agreement of features: phase congruency, gradients, transform coefficients.",
    "perception": "Models of contrast sensitivity and masking.",
    "medical": "What a reader of PET, SPECT and CT fusion would ask: is the colour still the tracer's, is the lesion "
    "still there, are tissue boundaries visible? The first four compare with the functional source inside "
    "the tracer region; the last three need the ground truth of generated pairs.",
}


def direction(f: MetricFacts) -> str:
    return f.direction if f.direction != "describes" else f"describes ({f.customary} by custom)"


def family_page(family: str, members: list[MetricFacts]) -> str:
    lines = [f"# Metrics: {family}", "", INTROS.get(family, ""), "", "| id | name | better | range | used in |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for f in members:
        used = ", ".join(p.name for p in PROFILES.values() if f.name in p.metrics)
        lines.append(f"| `{f.name}` | {f.title} | {direction(f)} | {f.range} {f.unit} | {used} |")
    for f in members:
        lines += ["", f"## {f.name}", "", f"**{f.title}.** {f.formula}", ""]
        for label, value in (
            ("Convention", f.convention),
            ("Origin", f.origin),
            ("Flat and equal images", f.degenerate),
            ("Reference", f.reference + (f", [{f.doi}](https://doi.org/{f.doi})" if f.doi else "")),
        ):
            if value:
                lines.append(f"- {label}: {value}")
        lines += [f"- Trap: {trap}" for trap in f.traps]
    return "\n".join(lines) + "\n"


def index_page(families: dict[str, list[MetricFacts]]) -> str:
    lines = [
        "# Metrics",
        "",
        "The same metric name stands for many numbers in image fusion, and the choice changes the ranking, not only "
        "the scale. Every number here has an id: `name` (the convention of profile `dmfnet`, or the only one) or "
        "`name@convention`; `+foreground` or `+mask` follows where a mask was used. `fusionbench explain ID` prints "
        "one metric's story.",
        "",
        "- [Which metric should I report?](which.md)",
        "- [Agreement with eight public tools, row by row](golden.md)",
        "- [Speed](speed.md)",
        *(
            f"- [{family}]({family}.md): {', '.join(f'`{f.name}`' for f in members)}"
            for family, members in families.items()
        ),
        "",
        "## Profiles",
        "",
        "| profile | reproduces | metrics |",
        "| --- | --- | --- |",
        *(f"| `{p.name}` | {p.title} | {' '.join(p.metrics)} |" for p in PROFILES.values()),
        "",
        "## Rules",
        "",
        "- Input is 8-bit grey levels. Float images are refused: [0, 1] and 0..255 give different numbers, and "
        "nothing marks which.",
        "- A score depends on its image alone, in float64. The evaluator of profile `dmfnet` agrees to 1e-9 on float64 "
        "input; run as its authors feed it, in float32, it differs by up to 5e-6 on real pairs (mostly below 3e-7), and "
        "by up to 7e-3 on nearly constant images (VIF), where float32 has no digits left.",
        "- Flat and equal images follow the rule on each metric's page: a finite limit where there is one, otherwise "
        "NaN, which is counted and shown, never averaged in.",
        "- Windows of levels whose variance is a rounding error (below 1e-9) are flat, whatever the tool's arithmetic says; "
        "`qs`, `qw`, `qe`, `qc` and `qy`, whose tools divide such errors, have a rule on their page.",
        "",
        "## Masks",
        "",
        "`foreground` is where the larger of the two sources, after a 5 x 5 median, exceeds 5 % of its 99th "
        "percentile (at least level 3): regions of at least a tenth of the largest one's area, holes filled. "
        "Background is most of a slice, and flatters (SSIM, QG, FMI) or sinks (EN, SD, MI) every method alike.",
        "",
        "| family | inside a mask |",
        "| --- | --- |",
        "| histograms (information, SD, CC, SCD, MSE, PSNR) | over the pixels inside; stretching, where a convention "
        "has it, uses the whole image |",
        "| maps (SSIM and relatives, AG, EI, QG, QP, QCB, FMI of pixels, gradients and edges) | computed on the whole "
        "image, averaged over the windows whose centre lies inside |",
        "| weighted sums (Qabf, Labf, Nabf, QW, QM, QCV, VIF, VIFF, FSIM) | numerator and denominator add up the "
        "windows inside |",
        "| differences (SF, QSF) | a difference belongs to the first of its two pixels |",
        "| FMI of cosine and wavelet coefficients, lesion and tissue measures | the mask has no meaning there and is "
        "ignored |",
    ]
    return "\n".join(lines) + "\n"


def golden_page() -> str:
    values = {
        name: evaluate(f, a, b, sorted({i for i in MATCHES.values() if i != "ms-ssim@sum" or name != "noise"}))
        for name, (a, b, f) in ((name, load_triple(name)) for name in TRIPLES)
    }
    check_causes()
    rows, matched, reasons = [], 0, {}
    for row in golden_rows():
        metric = MATCHES.get((row.tool, row.metric))
        ours = float(values[row.triple][metric][0]) if metric and metric in values[row.triple] else float("nan")
        error = abs(ours - row.value) / abs(row.value) if row.value else abs(ours)
        reason = UNMATCHED.get((row.triple, row.tool, row.metric))
        good = reason is None and error <= tolerance(row)
        matched += good
        if reason:
            reasons.setdefault(reason, len(reasons) + 1)
        verdict = "yes" if good else f"no ({reasons[reason]})" if reason else "NO"
        # What lies below is round-off, which is another on every processor; so are the digits that are not shown.
        error_text = "-" if not np.isfinite(error) else "below 1e-10" if error < 1e-10 else f"{error:.0e}"
        rows.append(
            f"| {row.tool} | {row.metric} | {row.triple} | {row.value:.9g} | {'`' + metric + '`' if metric else '-'} | "
            f"{ours:.9g} | {error_text} | {verdict} |"
        )
    lines = [
        "# Agreement with public tools",
        "",
        f"{len(rows)} values that eight tools gave for four synthetic triples (`tests/golden`), and ours. "
        "Tolerance: 1e-9 for the evaluator of DM-FNet and for FSIM, 1e-6 for the others, 1e-4 for QCB and for the QP "
        "that is in single precision. "
        f"{matched} are matched; the {len(rows) - matched} others are explained below, "
        "each by a cause that a test of `tests/test_metrics_golden.py` shows.",
        "",
        "## Why rows are not matched",
        "",
        *(f"{number}. {cause.text} Shown by `{cause.test}`." for cause, number in reasons.items()),
        "",
        "Notes: " + " ".join(f"{tool} {metric}: {note}" for (tool, metric), note in NOTES.items()),
        "",
        "## All rows",
        "",
        "| tool | its name | triple | its value | our id | our value | relative error | matched |",
        "| --- | --- | --- | ---: | --- | ---: | ---: | --- |",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page is out of date")
    check = parser.parse_args().check
    families = groups()
    pages = {"index": index_page(families), "golden": golden_page(), "which": which_metric.page()}
    pages |= {family: family_page(family, members) for family, members in families.items()}
    stale = []
    for name, text in pages.items():
        path = ROOT / "docs" / "metrics" / f"{name}.md"
        if check:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                stale.append(path.name)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if stale:
        raise SystemExit(f"out of date: {', '.join(stale)}; run python tools/make_metric_docs.py")


if __name__ == "__main__":
    main()
