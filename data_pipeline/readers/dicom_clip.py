"""What a DICOM header says of its clip, whether frames or a video stream follow."""

from __future__ import annotations

from pydicom import uid as uids

from data_pipeline.readers import dicom_header
from data_pipeline.readers.dicom_file import DicomFile
from data_pipeline.readers.dicom_terms import image_type_terms, vendor_name
from data_pipeline.readers.stream import with_rate_flags
from data_pipeline.schema import ClipInfo


def clip_info(
    file: DicomFile, *, height: int, width: int, n_frames: int | None, digest: str, flags: tuple[str, ...]
) -> ClipInfo:
    """`ClipInfo` from the header of ``file``."""
    ds = file.dataset
    regions, region_flags = dicom_header.regions(ds, height=height, width=width)
    fps, fps_source = dicom_header.frame_rate(ds)
    image_type = dicom_header.get(ds, "ImageType", ())
    image_type = (image_type,) if isinstance(image_type, str) else tuple(str(value) for value in image_type)
    flags += region_flags
    if n_frames == 1:
        flags += ("still",)
    elif n_frames is not None and dicom_header.integer(ds, "NumberOfFrames") != n_frames:
        flags += ("frame_count_mismatch",)
    return ClipInfo(
        format="dicom",
        height=height,
        width=width,
        n_frames=n_frames,
        fps=fps,
        fps_source=fps_source,
        cm_per_px=dicom_header.pixel_size(regions),
        regions=regions,
        view=dicom_header.view(ds),
        vendor=vendor_name(str(dicom_header.get(ds, "Manufacturer", ""))),
        lossy=str(dicom_header.get(ds, "LossyImageCompression", "")) == "01" or _is_lossy(file.transfer_syntax),
        image_type=image_type_terms(image_type),
        flags=with_rate_flags(flags, fps_source),
        identity=dicom_header.identity(ds),
        source_digest=digest,
    )


def _is_lossy(syntax: uids.UID) -> bool:
    lossless = (uids.JPEGLossless, uids.JPEGLosslessSV1, uids.JPEGLSLossless, uids.JPEG2000Lossless, uids.RLELossless)
    return syntax.is_compressed and syntax not in (*lossless, uids.HTJ2KLossless, uids.HTJ2KLosslessRPCL)
