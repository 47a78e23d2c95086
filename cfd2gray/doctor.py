"""What this installation can do, and what is wrong with it, in plain words."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import platform
from importlib import metadata

PACKAGES = ("cfd2gray", "jax", "flax", "optax", "orbax-checkpoint", "grain", "pydicom", "av", "opencv-python-headless")
EXTRAS = {
    "tensorboard": "TensorBoard files", "torch": "measuring against PyTorch", "argcomplete": "shell completion",
    "h5py": "HDF5 of zea, Keras VGG weights", "onnx": "ONNX models", "nibabel": "NIfTI", "nrrd": "NRRD", "zarr": "Zarr",
    "starlette": "the viewer, DICOMweb",
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
    facts |= speed_facts()
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


_RUNTIMES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "jax": "JAX"}
_FEATURES = {
    "amx_bf16": "AMX-BF16", "avx512_bf16": "AVX512-BF16", "avx512_vnni": "AVX512-VNNI", "avx512f": "AVX512", "avx2": "AVX2",
    "bf16": "BF16", "asimd": "NEON",
}  # fmt: skip
"""Flags of /proc/cpuinfo, the fastest first, and their names."""
_FAST = ("AMX-BF16", "AVX512-BF16", "BF16")


def speed_facts() -> dict[str, str]:
    """What translates on this machine, how fast its kind is, and what would make it faster."""
    from cfd2gray.runtimes.choose import fastest, installed

    there = [name for name in _RUNTIMES if installed(name)]
    chosen, features = fastest(), cpu_features()
    accelerated = False
    if chosen == "jax":
        import jax

        accelerated = jax.default_backend() != "cpu"
    if accelerated:
        verdict = "an accelerator, by JAX: the fastest there is"
    elif chosen == "openvino" and any(name in _FAST for name in features):
        verdict = "OpenVINO in bfloat16, which this processor computes in: as fast as a CPU gets"
    elif chosen == "openvino":
        verdict = "OpenVINO in float32: this processor does not compute in bfloat16"
    else:
        verdict = f"{_RUNTIMES[chosen]}; pip install openvino is about three times as fast on a CPU"
    return {
        "translation runs on": verdict,
        "runtimes": ", ".join(f"{label} {'yes' if name in there else 'no'}" for name, label in _RUNTIMES.items()),
        "processor computes": ", ".join(features) or "unknown (no /proc/cpuinfo)",
    }


def cpu_features(path: pathlib.Path = pathlib.Path("/proc/cpuinfo")) -> list[str]:
    """Names of what makes networks fast on this processor, the fastest first; nothing where the system does not say."""
    if not path.is_file():
        return []
    lines = (line.partition(":") for line in path.read_text().splitlines())
    flags = next((value.split() for name, _, value in lines if name.strip() in ("flags", "Features")), [])
    return [label for flag, label in _FEATURES.items() if flag in flags]


def _examine_records(folder: pathlib.Path, facts: dict[str, str]) -> list[str]:
    from data_pipeline.records import manifest, tfrecord

    try:
        found = manifest.load(folder)
        for split in found.splits:
            source = tfrecord.ShardSource(found, split)
            source[0], source[len(source) - 1]
            clips, patients = len(source), len(found.patients[split])
            facts[f"records: {split}"] = (
                f"{clips} clip{'' if clips == 1 else 's'}, {patients} patient{'' if patients == 1 else 's'}"
            )
    except (ValueError, OSError) as error:
        return [str(error)]
    return []
