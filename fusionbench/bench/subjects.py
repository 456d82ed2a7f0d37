"""Subjects of a collection of volumes as two folders of NIfTI files, named after the subjects, which the rest reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fusionbench.bench.rire import read_any
from fusionbench.bench.volumes import NIFTI, write_volume
from fusionbench.datasets.layouts import Volumes
from fusionbench.errors import InputError
from fusionbench.files import write_bytes


def put_side_by_side(
    volumes: Volumes,
    modalities: Sequence[str],
    target: Path,
    notify: Callable[[str, int, int], None] = lambda s, d, t: None,
) -> list[str]:
    """Write each subject's two volumes as ``target/MODALITY/SUBJECT.nii.gz``, which everything else here reads; names of the
    subjects. Sessions are kept apart (``SUBJECT_SESSION``); nothing is resampled, NIfTI files are copied.

    Raises InputError for anything but two modalities, subjects without either, or a target that is there.
    """
    if len(modalities) != 2 or len(set(modalities)) != 2:
        raise InputError(f"--pair {','.join(modalities)}: name two modalities, such as T1,PET")
    if target.exists():
        raise InputError(f"{target}: is there already; name a new folder")
    both = {key: of for key, of in volumes.items() if all(name in of for name in modalities)}
    if not both:
        known = sorted({name for of in volumes.values() for name in of})
        raise InputError(f"no subject has both {' and '.join(modalities)}; there are: {', '.join(known)}")
    names = []
    for done, ((subject, session), of) in enumerate(both.items()):
        notify("writing volumes", done, len(both))
        names.append(f"{subject}_{session}" if session else subject)
        for modality in modalities:
            path = of[modality]
            if path.name.lower().endswith(NIFTI) and path.is_file():
                suffix = ".nii.gz" if path.name.lower().endswith(".gz") else ".nii"
                write_bytes(target / modality / f"{names[-1]}{suffix}", path.read_bytes(), durable=False)
            else:
                volume = read_any(path)
                write_volume(target / modality / f"{names[-1]}.nii.gz", volume.data, volume.affine)
    return names
