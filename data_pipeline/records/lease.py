"""Who packs into a bucket just now: objects that are created only where none is, and count for a time.

    OUT/batches/lock-all-1         a run of the whole, which wants to be alone
    OUT/batches/lock-2-of-8-1      a part, beside other parts

Whoever comes creates its own and then looks for others: of two that would meet, at least one sees the other and goes.
A run that was killed leaves its object, which counts no more some minutes later; the next one takes the number after it,
which only one can, whatever they saw before.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from data_pipeline import storage

LEASE = 300.0
"""Seconds for which a lock counts after it was renewed: what a killed run makes the next one wait."""
RENEWED = 60.0
"""Seconds between renewals."""
_LOCK = re.compile(r"lock-(all|\d+-of-\d+)-(\d+)")


@contextlib.contextmanager
def held(folder: str, part: tuple[int, int] | None) -> Iterator[None]:
    """Hold a remote folder: the whole alone, parts beside other parts.

    Raises:
        ValueError: when another run holds it.
    """
    fs, top = storage.file_system(folder)
    fs.makedirs(top, exist_ok=True)
    own = "all" if part is None else f"{part[0]}-of-{part[1]}"
    number = 1 + max((number for name, number in _locks(fs, top) if name == own), default=0)
    _refuse(fs, top, folder, own, before=number)
    lock, token = f"{top}/lock-{own}-{number}", uuid.uuid4().hex
    if not _created(fs, lock, _until(token)):
        raise _Busy(folder, f"lock-{own}-{number}", LEASE)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(fs, lock, token, ended), daemon=True)
    try:
        _refuse(fs, top, folder, own, before=number)
        renewing.start()
        yield
    finally:
        ended.set()
        if renewing.is_alive():
            renewing.join()
        for name, other in _locks(fs, top):
            if name == own and other <= number:
                with contextlib.suppress(FileNotFoundError):
                    fs.rm_file(f"{top}/lock-{name}-{other}")


class _Busy(ValueError):
    def __init__(self, folder: str, lock: str, seconds: float) -> None:
        super().__init__(
            f"another run is packing into {folder.rpartition('/')[0]}; wait for it. If it was killed, run this again in "
            f"{max(1, round(seconds))} s, or remove {folder}/{lock} now"
        )


def _refuse(fs: Any, top: str, folder: str, own: str, *, before: int) -> None:
    """Raise where somebody else's lock still counts: any for the whole, that of the whole for a part; and one's own name."""
    for name, number in _locks(fs, top):
        if (name == own and number < before) or (name != own and "all" in (name, own)):
            with contextlib.suppress(FileNotFoundError):  # it has ended
                left = float(fs.cat_file(f"{top}/lock-{name}-{number}").split()[0]) - time.time()
                if left > 0:
                    raise _Busy(folder, f"lock-{name}-{number}", left)


def _locks(fs: Any, top: str) -> list[tuple[str, int]]:
    fs.invalidate_cache()
    names = (path.rpartition("/")[2] for path in fs.ls(top, detail=False)) if fs.exists(top) else ()
    return [(found[1], int(found[2])) for name in names if (found := _LOCK.fullmatch(name))]


def _until(token: str) -> bytes:
    return f"{time.time() + LEASE:.0f} {token}\n".encode()


def _created(fs: Any, path: str, data: bytes) -> bool:
    """Create an object, unless it is there. Where a store cannot say so in one request, in two."""
    try:
        fs.pipe_file(path, data, mode="create")
    except FileExistsError:
        return False
    except (TypeError, NotImplementedError):
        if fs.exists(path):
            return False
        fs.pipe_file(path, data)
    return fs.cat_file(path) == data


def _renew(fs: Any, path: str, token: str, ended: threading.Event) -> None:
    while not ended.wait(RENEWED):
        with contextlib.suppress(OSError):  # tried again in a minute; the lock counts for longer than that
            fs.pipe_file(path, _until(token))
