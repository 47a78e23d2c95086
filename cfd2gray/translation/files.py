"""A file in, a file out: read, translate, mark as synthetic, write."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from typing import Any

import numpy as np

import cfd2gray
from cfd2gray.files import atomic_path
from cfd2gray.translation.dicom_out import write_dicom
from cfd2gray.translation.long_clip import LIMITS, translate_pieces
from cfd2gray.translation.translator import Translated, Translator, luma_of
from cfd2gray.translation.video_out import CODECS, growing_video, write_sidecar, write_video
from data_pipeline.readers import IngestError, open_clip, read_clip
from data_pipeline.schema import Clip, ClipInfo
from data_pipeline.screen.deidentify import KeyedHasher

OUTPUTS = (".dcm", *CODECS, ".npy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """How results are written: ``format`` one of OUTPUTS; ``mode`` and ``hasher`` as in `dicom_out.write_dicom`."""

    format: str
    hasher: KeyedHasher
    mode: str = "research"
    whole_frame: bool = False
    confidence: bool = False
    """Also write the confidence map (0..255) beside the result."""

    def __post_init__(self) -> None:
        if self.format not in OUTPUTS:
            raise ValueError(f"results are written as {', '.join(OUTPUTS)}, got {self.format!r}")


def translate_file(
    translator: Translator, source: pathlib.Path, target: pathlib.Path, output: Output
) -> dict[str, Any]:
    """Translate one file.

    Args:
      translator: Weights to use.
      source: Any clip that `data_pipeline.readers` opens.
      target: File to write; must not exist.
      output: Format and marks.

    Returns:
      Facts about the result, also written beside it (as ``TARGET.json``, or inside the DICOM header): kind, share of the
      frames that was synthesised, model, digests. No name and no identifier.

    Raises:
      ValueError: For unreadable input (`data_pipeline.readers.errors.IngestError`), layouts that cannot be translated
        honestly, and existing targets.
    """
    target = pathlib.Path(target)
    if target.exists():
        raise ValueError(f"{target} exists and is not overwritten; remove it or name another file")
    if output.format in CODECS and not output.confidence:
        with open_clip(source, limits=LIMITS, digest=False) as stream:
            long = (stream.info.n_frames or 0) > LONG
        if long:
            return _translate_long(translator, source, target, output)
    clip = read_clip(source)
    result = translator.translate(clip.frames, regions=clip.info.regions, whole_frame=output.whole_frame)
    refuse_unfit(result, source)
    facts = describe_result(translator, clip.info, result)
    write_result(translator, clip, source, result.grey, target, output)
    if output.format != ".dcm":
        write_sidecar(target, facts)
    if output.confidence:
        levels = np.rint(255.0 * result.confidence).astype(np.uint8)
        beside = target.with_name(f"{target.stem}.confidence{'.mkv' if output.format == '.dcm' else output.format}")
        if beside.suffix == ".npy":
            _write_array(beside, levels)
        else:
            write_video(beside, levels, fps=clip.info.fps)
    return facts


LONG = 1000
"""Frames above which a video becomes a video piece by piece."""
TRANSLATABLE = ("cfd", "power", "bmode")


def refuse_unfit(result: Translated, source: pathlib.Path) -> None:
    """Raise ``unsupported_layout`` for pictures that would be mangled: tissue Doppler, spectra, M-mode, quad screens."""
    kind, reason = result.analysis.kind, result.analysis.reason
    if kind not in TRANSLATABLE:
        detail = f"not a colour-flow clip but {kind} ({reason}); nothing was translated"
        raise IngestError("unsupported_layout", source, detail)


def _translate_long(
    translator: Translator, source: pathlib.Path, target: pathlib.Path, output: Output
) -> dict[str, Any]:
    """`translate_file` piece by piece: what is held does not grow with the clip."""
    with open_clip(source, limits=LIMITS) as stream:
        pieces = translate_pieces(translator, stream, whole_frame=output.whole_frame)
        first = next(pieces)
        refuse_unfit(first, source)
        height, width = first.grey.shape[1:]
        shares = []
        with growing_video(target, height=height, width=width, fps=stream.info.fps) as add:
            for piece in itertools.chain([first], pieces):
                shares.append(piece.synthesised)
                for frame in piece.grey:
                    add(frame)
        total = dataclasses.replace(first, synthesised=np.concatenate(shares))
        facts = describe_result(translator, stream.info, total)
    write_sidecar(target, facts)
    return facts


def describe_result(translator: Translator, info: ClipInfo, result: Translated) -> dict[str, Any]:
    """What is written beside every result."""
    return {
        "kind": result.analysis.kind,
        "reason": result.analysis.reason,
        "frames": len(result.synthesised),
        "height": int(result.grey.shape[1]),
        "width": int(result.grey.shape[2]),
        "fps": float(info.fps),
        "fps_source": info.fps_source,
        "synthesised_share": round(float(result.synthesised.mean()), 5),
        "synthesised_share_per_frame": [round(float(share), 5) for share in result.synthesised],
        "model": translator.weights.name,
        "weights_sha256": translator.weights.digest,
        "software": f"cfd2gray {cfd2gray.__version__}",
        "source_sha256": info.source_digest,
        # Without colour there is nothing to do: what came in goes out.
        "input_flags": [*info.flags, *(["no_flow"] if result.analysis.kind == "bmode" else [])],
    }


def write_result(
    translator: Translator, clip: Clip, source: pathlib.Path, grey: np.ndarray, target: pathlib.Path, output: Output
) -> None:
    """Write ``grey [T, H, W]`` in ``output.format``."""
    if output.format == ".npy":
        _write_array(target, grey)
    elif output.format == ".dcm":
        header = None
        if clip.info.format == "dicom":
            import pydicom

            header = pydicom.dcmread(source, stop_before_pixels=True)
        write_dicom(
            target,
            grey,
            source=header,
            fps=clip.info.fps,
            model_name=translator.weights.name,
            weights_digest=translator.weights.digest,
            version=cfd2gray.__version__,
            mode=output.mode,
            hasher=output.hasher,
        )
    else:
        write_video(target, grey, fps=clip.info.fps)


def luma_clip(source: pathlib.Path) -> tuple[np.ndarray, ClipInfo]:
    """A greyscale clip as uint8 ``[T, H, W]``, with what its file says of it."""
    clip = read_clip(source)
    return luma_of(clip.frames), clip.info


def _write_array(path: pathlib.Path, array: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, array)
