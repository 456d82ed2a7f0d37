"""What JPEG costs on each metric: fusionbench/metrics/margins.json, the default margins of "equivalent".

    python tools/margins.py --data HARVARD_FOLDER --results RESULTS

RESULTS holds the fused images, or says where they lie (``tools/leaderboard.py``). One pair a patient and task: the image of
every method, controls aside, in grey, is scored as it is and as it is after saving it as JPEG at quality 95; the
margin of a metric is the median of the absolute change over pairs and methods. A difference between two methods that is no
larger is lost as soon as somebody saves an image. Metrics that need colour or ground truth have no margin. Only the metrics
that the file lacks are computed.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusionbench.cli.common import DIRECTORY, progress_bar
from fusionbench.datasets import create_task
from fusionbench.files import write_text
from fusionbench.metrics import METRICS, prepare
from fusionbench.pairs import read_picture
from fusionbench.scores import Table, read_results

QUALITY = 95
TARGET = Path(__file__).resolve().parents[1] / "fusionbench" / "metrics" / "margins.json"


def one_a_patient(table: Table) -> list[str]:
    """The middle pair of each patient."""
    own: dict[str, list[str]] = {}
    for pair in sorted(table.pairs):
        own.setdefault(str(table.pairs[pair]["case"]), []).append(pair)
    return sorted(pairs[len(pairs) // 2] for pairs in own.values())


def as_jpeg(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) grey levels, as they are after saving as JPEG."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
    return np.asarray(Image.open(file))


def image_of(table: Table, results: Path, pair: str) -> Path | None:
    """The file of a fused image, None where it is not at hand."""
    record = table.pairs.get(pair, {})
    path = Path(record["path"]) if "path" in record else table.key.image(results, pair)
    return path if path.is_file() else None


@click.command()
@click.option("--data", type=DIRECTORY, required=True, help="The Harvard pairs.")
@click.option("--results", type=DIRECTORY, required=True, help="Where the fused images are.")
def main(data: Path, results: Path) -> None:
    """Measure the margins that are not known yet."""
    held: dict[str, float] = json.loads(TARGET.read_text("utf-8")) if TARGET.exists() else {}
    wanted = [name for name in METRICS.names() if name not in held and not METRICS[name].facts.needs]
    changes: dict[str, list[float]] = {name: [] for name in wanted}
    tables = [t for t in read_results(results) if t.key.dataset == "harvard" and not t.control]
    tasks = {task: [t for t in tables if t.key.task == task] for task in sorted({t.key.task for t in tables})}
    with progress_bar() as notify:
        for name, own in tasks.items():
            task = create_task(f"harvard/{name}", data=[data])
            pairs = one_a_patient(own[0])
            for done, pair in enumerate(pairs, 1):
                images = [read_picture(path).grey for t in own if (path := image_of(t, results, pair)) is not None]
                source = task.load(pair)
                sources = prepare(source.a, source.b)
                for image in images:
                    before, after = (sources.score(form, wanted) for form in (image, as_jpeg(image)))
                    for metric, values in changes.items():
                        values.append(abs(float(after[metric][0] - before[metric][0])))
                notify(f"{name}: margins", done, len(pairs))
    if bare := [metric for metric, values in changes.items() if np.isnan(values).all()]:
        raise click.ClickException(
            f"no value of {', '.join(bare)}: {max(map(len, changes.values()))} fused images were found under {results}; "
            "fuse them first (tools/leaderboard.py)"
        )
    found = {metric: float(f"{np.nanmedian(values):.3g}") for metric, values in changes.items()}
    write_text(TARGET, json.dumps(dict(sorted((held | found).items())), indent=1) + "\n")
    click.echo(f"{len(found)} margins from {max(map(len, changes.values()), default=0)} images: {TARGET}")


if __name__ == "__main__":
    main()
