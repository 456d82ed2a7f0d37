"""Coverage-guided fuzzing of the readers of files with atheris: finds what random damage does not.

``pip install atheris`` (Linux), then ``python tools/fuzz.py READER [SECONDS] [libFuzzer options]``; READER: a name of
tests/readers.py such as ``picture.png``, ``dicom`` or ``archive.zip``; ``list`` prints them. An input that fails is written
to ``fuzz-failures``; move it to ``tests/fuzz`` once the fault is mended, where the tests try it ever after.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import atheris

with atheris.instrument_imports(include=["fusionbench", "PIL", "pydicom", "nibabel", "zipfile", "tomllib", "json"]):
    from tests.readers import readers, survives


def main() -> None:
    known = readers()
    name = sys.argv[1] if len(sys.argv) > 1 else "list"
    if name not in known:
        sys.exit("\n".join(known))
    seconds = sys.argv[2] if len(sys.argv) > 2 else "60"
    warnings.simplefilter("ignore")
    root = Path(tempfile.mkdtemp(prefix="fusionbench-fuzz-"))
    corpus, place = root / "corpus", root / "place"
    corpus.mkdir()
    for data in known[name].sound():
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)

    def once(data: bytes) -> None:
        place.mkdir()
        try:
            survives(known[name], data, place)
        except BaseException:
            kept = Path("fuzz-failures") / f"{name}--{hashlib.sha256(data).hexdigest()[:8]}"
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes(data)
            raise
        finally:
            shutil.rmtree(place)

    options = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=4096", "-max_len=65536", *sys.argv[3:]]
    atheris.Setup([sys.argv[0], *options, str(corpus)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
