"""A clip that is held in memory as a DICOM file, as translation writes it frame by frame."""

from __future__ import annotations

import pathlib

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from cfd2gray.translation.output.dicom import growing_dicom
from cfd2gray.translation.output.dicom_modules import Statement
from data_pipeline.screen.deidentify import sector_only
from data_pipeline.screen.fan_fit import fit_fan


def write_dicom(
    path: pathlib.Path,
    frames: np.ndarray,
    *,
    source: Dataset | None,
    sector: np.ndarray | None = None,
    mode: str = "research",
    encoding: str = "explicit",
    overwrite: bool = False,
    **said: object,
) -> Dataset:
    """The data set as written; ``said`` goes to `Statement`. Research mode writes the sector only, fitted if not given."""
    if mode == "research":
        sector = fit_fan(np.repeat(frames[..., None], 3, axis=3)).sector if sector is None else sector
        frames = sector_only(frames, sector)
    statement = Statement(mode=mode, cleaned=mode == "research", **said)
    with growing_dicom(
        path, source=source, said=statement, n_frames=len(frames), shape=frames.shape[1:], sector=sector,
        encoding=encoding, overwrite=overwrite,
    ) as add:  # fmt: skip
        for frame in frames:
            add(frame)
    return pydicom.dcmread(path)
