"""The clips that are open, and the one worker that reads, looks and translates: what a person waits for goes first."""

from __future__ import annotations

import collections
import contextlib
import itertools
import logging
import pathlib
import queue
import secrets
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import PurePosixPath

from cfd2gray.translation.translator import Translator
from cfd2gray.viewer import work
from cfd2gray.viewer.corrections import Corrections
from cfd2gray.viewer.layers import thumbnail
from cfd2gray.viewer.marks import Marks
from cfd2gray.viewer.viewed import BUSY, Viewed
from cfd2gray.viewer.work import Seen
from data_pipeline.readers.walk import Source, find_sources

HELD = 2 << 30
"""Bytes of clips in memory; the least recently used one is forgotten and made again when it is asked for."""
MOST_LISTED = 2000
"""Clips of a folder on the page."""
_ASKED, _LATER = 0, 1
"""Order of jobs: what a person asked for, then what the gallery still wants to know."""


class Desk:
    """Thread-safe: the page's handlers ask, one thread works.

    Args:
      open_translator: Called once, by the worker, when the first clip is translated.
      scratch: A folder of this process alone; copies of what was dropped lie there.
      folder: Whose clips are listed.
    """

    def __init__(
        self, open_translator: Callable[[], Translator], scratch: pathlib.Path, *, folder: pathlib.Path | None = None
    ) -> None:
        self.scratch, self.folder = scratch, folder
        self.marks = None if folder is None else Marks(folder)
        self.clips: dict[str, Viewed] = {}
        self.revision = 0
        self.unlisted, self.problem = 0, ""
        self._ending = False
        self._open_translator, self._translator = open_translator, None
        self._held: collections.OrderedDict[str, Seen] = collections.OrderedDict()
        self._lock = threading.RLock()
        self._jobs: queue.PriorityQueue = queue.PriorityQueue()
        self._order = itertools.count()
        self._worker = threading.Thread(target=self._work, name="cfd2gray-view", daemon=True)
        self._worker.start()
        if folder is not None:
            self._later(self._list_folder, _ASKED)
        self._later(self._network, _ASKED)  # while the person is still choosing a file

    def close(self) -> None:
        """End the worker at the next frames of what it is doing."""
        self._ending = True
        self._jobs.put((-1, next(self._order), None, None))
        self._worker.join(timeout=20)

    def new_path(self) -> pathlib.Path:
        """Where the next dropped clip is to be written: names come from here, never from outside."""
        return self.scratch / secrets.token_hex(8)

    def add(self, path: pathlib.Path, name: str, *, owned: bool) -> Viewed:
        """A clip by its path; it is translated at once. ``owned``: the file goes when the clip does."""
        source = Source(path=path, name=PurePosixPath(""))
        return self._enter(source, name, owned=path if owned else None, ask=True)

    def open(self, clip: Viewed) -> None:
        """Translate it, unless that was done or is being done."""
        with self._lock:
            if clip.state in ("listed", "glancing", "glanced"):
                self._ask(clip, clip.corrections)

    def correct(self, clip: Viewed, corrections: Corrections) -> None:
        """Translate it again.

        Raises:
          ValueError: While it is still being worked on.
        """
        with self._lock:
            if clip.state in BUSY:
                raise ValueError("this clip is still being worked on; wait until it is done")
            self._ask(clip, corrections)

    def mark(self, clip: Viewed, mark: str) -> None:
        """Keep or reject it; on disk when this returns. Errors of `Marks.set`."""
        if self.marks is None or not clip.in_folder:
            raise ValueError("clips of a folder are marked: cfd2gray view FOLDER")
        facts = {name: str(clip.facts.get(name, "")) for name in ("kind", "certainty", "reason")}
        self.marks.set(clip.name, mark, **facts)
        clip.mark = mark
        self._changed()

    def remove(self, clip: Viewed) -> None:
        """Forget a clip; the copy of what was dropped is deleted."""
        with self._lock:
            self.clips.pop(clip.id, None)
            self._held.pop(clip.id, None)
            self._delete_copy(clip)
        self._changed()

    def seen(self, clip: Viewed) -> Seen:
        """What is in memory of it; made again where it was forgotten. Waits for the worker.

        Raises:
          ValueError: When there is nothing (yet).
        """
        with self._lock:
            if clip.id in self._held:
                self._held.move_to_end(clip.id)
                return self._held[clip.id]
            if not clip.version:
                raise ValueError("there are no frames of this clip yet; wait until it was read")
            found = self._later(lambda: self._made_again(clip), _ASKED)
        return found.result()

    def _made_again(self, clip: Viewed) -> Seen:
        with contextlib.suppress(ValueError):  # of a refused clip there are frames, but no result
            return self._make(clip, clip.corrections, quiet=True)
        with self._lock:
            return self._held[clip.id]

    def _enter(self, source: Source, name: str, *, owned: pathlib.Path | None, ask: bool) -> Viewed:
        clip = Viewed(secrets.token_hex(6), name, source, owned)
        with self._lock:
            self.clips[clip.id] = clip
            if ask:
                self._ask(clip, Corrections())
        self._changed()
        return clip

    def _ask(self, clip: Viewed, corrections: Corrections) -> None:
        clip.state, clip.error, clip.remedy, clip.doing = "waiting", "", "", (0, 0)
        self._changed()
        self._later(lambda: self._translate(clip, corrections), _ASKED)

    def _later(self, job: Callable[[], object], when: int) -> Future:
        future: Future = Future()
        self._jobs.put((when, next(self._order), job, future))
        return future

    def _work(self) -> None:
        while True:
            _, _, job, future = self._jobs.get()
            if job is None:
                return
            try:
                future.set_result(job())
            except Exception as error:  # the page goes on; who waits for this job is told
                logging.getLogger(__name__).debug("a job of the viewer failed", exc_info=True)
                future.set_exception(error)

    def _translate(self, clip: Viewed, corrections: Corrections) -> None:
        if clip.id not in self.clips:
            return
        before = clip.version
        try:
            self._make(clip, corrections)
            clip.corrections, clip.state = corrections, "ready"
        except Exception as error:  # whatever a foreign file does, the others go on
            logging.getLogger(__name__).debug("a clip was refused", exc_info=True)
            clip.refuse(error)
            clip.state = "ready" if clip.facts.get("translated") and before == clip.version else "refused"
            if clip.state == "refused":
                clip.corrections = corrections
        finally:
            self._changed()

    def _make(self, clip: Viewed, corrections: Corrections, *, quiet: bool = False) -> Seen:
        """Read, look, translate; ``quiet``: nothing new is told, this was done before."""
        tell = (lambda *_: None) if quiet else (lambda doing, done, total: self._tell(clip, doing, done, total))
        with self._lock:
            held = self._held.get(clip.id)
        with contextlib.ExitStack() as stack:
            whole = held.clip if held is not None else work.read(stack.enter_context(clip.source.local()), tell)
        tell("looking", 0, 0)
        seen = Seen(clip=whole, analysis=work.look(whole, corrections))
        if held is None or held.result is None:
            self._hold(clip, seen, quiet=quiet)  # refused or not, what was seen can be looked at
        result = work.translated(self._network(), whole, seen.analysis, tell)
        seen = Seen(clip=whole, analysis=seen.analysis, result=result)
        self._hold(clip, seen, quiet=quiet)
        return seen

    def _network(self) -> Translator:
        if self._translator is None:
            self._translator = self._open_translator()
        return self._translator

    def _hold(self, clip: Viewed, seen: Seen, *, quiet: bool) -> None:
        with self._lock:
            if clip.id not in self.clips:
                return
            self._held[clip.id] = seen
            self._held.move_to_end(clip.id)
            while len(self._held) > 1 and sum(each.held_bytes for each in self._held.values()) > HELD:
                self._held.popitem(last=False)
            if not quiet:
                clip.saw(seen, whole=True)
                clip.picture = thumbnail(seen)
                clip.version += 1
        self._changed()

    def _list_folder(self) -> None:
        try:
            found = find_sources([self.folder]).sources
        except ValueError as error:
            self.problem = str(error)
            return self._changed()
        self.unlisted = max(0, len(found) - MOST_LISTED)
        clips = [self._enter(source, str(source.name), owned=None, ask=False) for source in found[:MOST_LISTED]]
        for clip in clips:
            clip.mark = self.marks.of(clip.name)
            self._later(lambda clip=clip: self._glance(clip), _LATER)
        self._changed()

    def _glance(self, clip: Viewed) -> None:
        with self._lock:
            if clip.state != "listed" or clip.id not in self.clips:
                return
            clip.state = "glancing"
        self._changed()
        try:
            with clip.source.local() as path:
                seen = work.glance(path)
            clip.saw(seen, whole=False)
            clip.picture = thumbnail(seen)
            after = "glanced"
        except Exception as error:  # whatever a foreign file does, the others go on
            logging.getLogger(__name__).debug("a clip was refused", exc_info=True)
            clip.refuse(error)
            after = "refused"
        with self._lock:
            if clip.state == "glancing":  # else somebody asked for it meanwhile
                clip.state = after
        self._changed()

    def _tell(self, clip: Viewed, doing: str, done: int, total: int) -> None:
        if self._ending or clip.id not in self.clips:
            raise InterruptedError("nobody waits for this any more")
        clip.state, clip.doing = doing, (done, total)
        self._changed()

    def _changed(self) -> None:
        with self._lock:
            self.revision += 1

    @staticmethod
    def _delete_copy(clip: Viewed) -> None:
        if clip.owned is not None:
            if clip.owned.is_dir():
                shutil.rmtree(clip.owned, ignore_errors=True)
            else:
                clip.owned.unlink(missing_ok=True)
