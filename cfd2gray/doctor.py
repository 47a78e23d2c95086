"""What this installation can do, and what is wrong with it, in plain words."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import platform
from importlib import metadata

PACKAGES = ("cfd2gray", "jax", "flax", "optax", "orbax-checkpoint", "grain", "pydicom", "av", "opencv-python-headless")
EXTRAS = {
    "tensorboard": "TensorBoard files", "h5py": "Keras VGG weights", "onnx": "ONNX models", "nibabel": "NIfTI", "zarr": "Zarr",
    "apache_beam": "packing with Beam", "gdcm": "JPEG lossless and JPEG-LS in DICOM", "openjpeg": "JPEG 2000 in DICOM",
}  # fmt: skip


def examine(data: pathlib.Path | None) -> tuple[dict[str, str], list[str]]:
    """``(facts, problems)``; ``data``: a folder of records to look at as well."""
    import av
    import jax

    from cfd2gray.weights.pretrained import available, load_pretrained

    facts = {"python": f"{platform.python_version()} on {platform.system()} {platform.machine()}"}
    problems: list[str] = []
    for name in PACKAGES:
        try:
            facts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            facts[name] = "missing"
            problems.append(f"{name} is not installed; pip install cfd2gray")
    facts["devices"] = ", ".join(sorted({f"{d.platform}: {d.device_kind}" for d in jax.devices()}))
    facts["device count, cores"] = f"{jax.device_count()}, {os.cpu_count()}"
    missing = [codec for codec in ("libx264", "ffv1", "mpeg4", "gif") if codec not in av.codecs_available]
    facts["video encoders"] = "all" if not missing else f"without {', '.join(missing)}"
    for module, use in EXTRAS.items():
        facts[f"{module}"] = f"{'yes' if importlib.util.find_spec(module) else 'no'} ({use})"
    for name in available():
        try:
            facts[f"weights: {name}"] = load_pretrained(name).digest[:16]
        except ValueError as error:
            problems.append(str(error))
    if data is not None:
        problems += _examine_records(data, facts)
    return facts, problems


def _examine_records(folder: pathlib.Path, facts: dict[str, str]) -> list[str]:
    from data_pipeline.records import manifest, tfrecord

    try:
        found = manifest.load(folder)
        for split in found.splits:
            source = tfrecord.ShardSource(found, split)
            source[0], source[len(source) - 1]
            facts[f"records: {split}"] = f"{len(source)} clips, {len(found.patients[split])} patients"
    except (ValueError, OSError) as error:
        return [str(error)]
    return []
