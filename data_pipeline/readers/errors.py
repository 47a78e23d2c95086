"""Why a file cannot be read: one exception type with a code from a closed list, and the guard that makes all others it.

Decoders raise whatever they like (``ValueError``, ``AttributeError``, ``struct.error``, even a bare ``StopIteration``,
which would silently end a pipeline). Everything that touches foreign bytes therefore runs inside a `Guard`.
"""

from __future__ import annotations

import errno
import os
import tempfile
import types

CODES = {
    "not_found": "the path does not exist or cannot be opened",
    "unsafe_path": "a symbolic link, a special file, or a member name that leaves its archive",
    "too_large": "more bytes than the limit allows",
    "unknown_format": "the content is no format this software reads",
    "not_dicom": "expected DICOM, found something else",
    "not_ultrasound": "a DICOM object of another modality",
    "no_pixels": "a DICOM object without pixel data",
    "no_frames": "not one frame could be decoded",
    "truncated": "the file ends before its pixel data does",
    "bad_dimensions": "rows, columns or frames outside the limits",
    "unsupported_pixels": "a pixel description that is not part of the standard or not supported",
    "unsupported_codec": "no decoder for the compression",
    "unsupported_layout": "an image, but not one 2-D clip (3-D volume, mixed sizes, ...)",
    "encrypted": "encrypted or proprietary content",
    "bad_colour": "the colour space is wrong and could not be repaired",
    "no_signal": "nothing but black",
    "corrupt": "the content contradicts its own format",
    "missing_dependency": "a package of an optional extra is not installed",
}
"""Every code an `IngestError` can carry, with its meaning."""


class IngestError(ValueError):
    """A file that cannot be read as a clip.

    Attributes:
      code: a key of `CODES`.
      path: the file as the caller gave it. File names can identify a patient: print it to the person who asked, keep it
        out of logs, records and reports.
      detail: rule, value and remedy in one line, without the path.
    """

    def __init__(self, code: str, path: str | os.PathLike[str], detail: str) -> None:
        if code not in CODES:
            raise ValueError(f"IngestError codes are {sorted(CODES)}, got {code!r}")
        self.code = code
        self.path = os.fspath(path)
        self.detail = " ".join(str(detail).split())
        super().__init__(f"{self.path}: {code}: {self.detail}")

    def __reduce__(self):
        return type(self), (self.code, self.path, self.detail)


class Guard:
    """Context manager: lets `IngestError` pass and turns every other exception into one.

    ``KeyboardInterrupt`` and the like (not `Exception`) pass, and so does ``GeneratorExit``.
    """

    def __init__(self, path: str | os.PathLike[str], *, doing: str, code: str = "corrupt") -> None:
        self.path, self.doing, self.code = path, doing, code

    def __enter__(self) -> Guard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, _traceback: types.TracebackType | None
    ) -> None:
        if exc is None or isinstance(exc, IngestError) or not isinstance(exc, Exception):
            return
        code, detail = self._explain(exc)
        raise IngestError(code, self.path, detail) from exc

    def _explain(self, exc: Exception) -> tuple[str, str]:
        if isinstance(exc, FileNotFoundError):
            return "not_found", "no such file; check the path"
        if isinstance(exc, PermissionError):
            return "not_found", "not readable by this user; check its permissions"
        if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return "too_large", f"no room in {tempfile.gettempdir()} while {self.doing}; make room there or set TMPDIR"
        if isinstance(exc, MemoryError):
            return "too_large", f"ran out of memory while {self.doing}; lower the limits or skip the file"
        ran_out = (StopIteration, EOFError)  # inside a generator the first arrives as the cause of a RuntimeError
        if isinstance(exc, ran_out) or isinstance(exc.__cause__, ran_out):
            return (
                "truncated",
                f"the data ran out while {self.doing}; copy the file again, or read its start with --salvage",
            )
        text = " ".join(str(exc).split())[:200]
        return self.code, f"{type(exc).__name__} while {self.doing}: {text or 'no message'}; export the file again"
