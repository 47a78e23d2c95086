"""What may leave the hospital: keyed hashes for identifiers, pixels of the sector only.

Nothing here promises anonymity. Names also sit inside the sector sometimes (`burned_text.find_burned_text` flags what
looks like text), so a person should look at a contact sheet before data is shared.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import os
import pathlib
import secrets

import numpy as np

from data_pipeline.files import atomic_path


@dataclasses.dataclass(frozen=True)
class KeyedHasher:
    """Pseudonyms that only the holder of ``key`` can make again: HMAC-SHA256, cut to 32 hexadecimal digits.

    The same identifier gives the same pseudonym everywhere (so splits and references stay consistent), different kinds
    of identifier never collide, and without the key nobody can test a guess.
    """

    key: bytes = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.key, bytes) or len(self.key) < 16:
            got = f"{len(self.key)} bytes" if isinstance(self.key, bytes) else type(self.key).__name__
            raise ValueError(f"key must be at least 16 secret bytes, got {got}; make one with secrets.token_bytes(32)")

    def _hash(self, kind: str, identifier: str) -> str:
        if not identifier:
            raise ValueError(f"the {kind} identifier is empty; clips without one must not be lumped together")
        return hmac.new(
            self.key, f"{kind}\0{identifier}".encode("utf-8", "surrogateescape"), hashlib.sha256
        ).hexdigest()[:32]

    def patient(self, identifier: str) -> str:
        """Pseudonym of a patient id."""
        return self._hash("patient", identifier)

    def study(self, identifier: str) -> str:
        """Pseudonym of a study id."""
        return self._hash("study", identifier)

    def clip(self, identifier: str) -> str:
        """Pseudonym of a clip (its SOP Instance UID, path or digest)."""
        return self._hash("clip", identifier)

    def uid(self, identifier: str) -> str:
        """A DICOM UID (2.25 and a 128-bit number, PS3.5 B.2) for ``identifier``, so that references stay consistent."""
        return f"2.25.{int(self._hash('uid', identifier), 16)}"


def sector_only(frames: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """A copy of ``frames`` (uint8 ``[T, H, W]`` or ``[T, H, W, C]``) that is black outside ``sector`` (bool [H, W])."""
    if sector.dtype != bool or frames.shape[1:3] != sector.shape:
        raise ValueError(f"sector must be bool {list(frames.shape[1:3])}, got {sector.dtype} {list(sector.shape)}")
    keep = sector if frames.ndim == 3 else sector[..., None]
    return frames * keep.astype(frames.dtype)


def secret_key(path: pathlib.Path | None) -> bytes:
    """The secret in ``path``, made when missing (readable by its owner alone); a fresh one when ``path`` is None."""
    if path is None:
        return secrets.token_bytes(32)
    if path.is_file():
        key = path.read_bytes()
        if len(key) < 16:
            raise ValueError(
                f"{path}: a key needs at least 16 bytes, got {len(key)}; remove the file to make a new one"
            )
        return key
    with atomic_path(path) as temporary:
        temporary.write_bytes(secrets.token_bytes(32))
        os.chmod(temporary, 0o600)
    path.chmod(0o600)
    return path.read_bytes()
