"""Many files in, many files out: one failure never stops the rest, and a second run goes on where the first one ended."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import pathlib
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from cfd2gray.translation.files import HELD_BYTES, Output, translate_file
from cfd2gray.translation.folders.data_card import write_data_card
from cfd2gray.translation.folders.gallery import THUMBNAILS, save_thumbnail, write_gallery
from cfd2gray.translation.folders.in_flight import UNFINISHED, ByteRoom, content_digest, decoded_bytes, only_one
from cfd2gray.translation.folders.plan import Batch, plan_files
from cfd2gray.translation.folders.private_map import PrivateMap, Row
from cfd2gray.translation.translator import Translator
from data_pipeline.parallel import progress_bar
from data_pipeline.readers import IngestError
from data_pipeline.readers.images import GAPS
from data_pipeline.readers.walk import Source
from data_pipeline.screen.deidentify import KeyedHasher, secret_key

__all__ = ["Batch", "translate_files"]

IN_FLIGHT_BYTES = HELD_BYTES
"""Decoded bytes of the clips that are worked on at one time: the peak is about eight times that, and what JAX needs."""
TRANSIENT = ("not_found", "too_large", "missing_dependency", "disk", "defect", "refused")
"""Failures that another day, machine or option may not see: such files are always tried again."""
SIDECARS = "sidecars"
"""Folder of the side-cars where they may not lie beside the clips."""


def translate_files(
    translator: Translator,
    inputs: Sequence[pathlib.Path],
    out: pathlib.Path,
    *,
    format: str | None = None,
    key_file: pathlib.Path | None = None,
    batch: Batch | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Translate files, or every clip below folders.

    Args:
      translator: Weights to use.
      inputs: Files and folders.
      out: A file for one input file, else a folder.
      format: Suffix of results in a folder; default ``.dcm``.
      key_file: Secret of names and pseudonyms, made when missing; by default ``OUT.key`` beside the folder, and for a
        single file one that is forgotten.
      batch: What is done with what is there already.
      options: Of `files.Output`.

    Returns:
      ``{"translated": [facts...], "copied": [...], "there": number, "refused": [{"input", "code", "error"}...]}``;
      ``failed`` is what was refused in this run.

    Raises:
      ValueError: When there is no input at all, one single input cannot be translated, or an output cannot be written.
    """
    batch = batch or Batch()
    plan = plan_files(
        inputs, out, format=format, batch=batch, follow_links=bool(options.get("follow_links")),
        recipe=options.get("recipe"),
    )  # fmt: skip
    if not plan.one and key_file is None:
        key_file = out.with_name(out.name + ".key")
    output = Output(format=plan.suffix, hasher=KeyedHasher(secret_key(key_file)), **options)
    if key_file is None or plan.one:
        return _one(translator, plan.sources[0], out, output, batch)
    return _Folder(translator, out, output, batch, key_file).run(plan.sources)


def _one(translator: Translator, source: Source, out: pathlib.Path, output: Output, batch: Batch) -> dict[str, Any]:
    said: list[str] = []
    with source.local() as path, _replacing(out, batch.overwrite) as target:
        facts = translate_file(translator, path, target, output, tell=said.append, only_colour=batch.only_colour)
    for line in said:
        print(f"{out}: {line}", file=sys.stderr)
    print(_line(facts, out))
    if facts.get("written", True):
        for line in _pixels(output, [facts | {"output": str(out)}]):
            print(line)
    return {"translated": [facts | {"output": str(out)}], "copied": [], "there": 0, "refused": [], "failed": []}


@contextlib.contextmanager
def _replacing(out: pathlib.Path, overwrite: bool) -> Iterator[pathlib.Path]:
    """``out``, or a name beside it that takes the place of what is there once all is well."""
    if not (overwrite and out.exists()):
        yield out
        return
    work = out.parent / f".{out.stem[:80]}.{os.getpid()}"
    work.mkdir()
    try:
        yield work / out.name
        _move(work, out.parent, out.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _move(work: pathlib.Path, folder: pathlib.Path, name: str, *, beside: pathlib.Path | None = None) -> None:
    """Everything that was written with a result, the result itself last: where it is, all is; the others ``beside`` it."""
    for file in sorted(work.iterdir(), key=lambda file: file.name == name):
        os.replace(file, (folder if file.name == name else beside or folder) / file.name)


class _Folder:
    """One run over many files."""

    def __init__(
        self, translator: Translator, out: pathlib.Path, output: Output, batch: Batch, key: pathlib.Path
    ) -> None:
        self.out, self.output, self.batch, self.key = out, output, batch, key
        self.out.mkdir(parents=True, exist_ok=True)
        self.translators = translator.workers()
        self.weights = translator.weights.digest
        self.room = ByteRoom(IN_FLIGHT_BYTES)
        self.names: dict[str, str] = {}
        self.lock = threading.Lock()

    def run(self, sources: Sequence[Source]) -> dict[str, Any]:
        with only_one(self.out):
            self.map = PrivateMap(self.out)
            return self._run(sources)

    def _run(self, sources: Sequence[Source]) -> dict[str, Any]:
        outcome: dict[str, list] = {"translated": [], "copied": [], "left out": [], "refused": []}
        there = known = 0
        failed = []
        threads = max(2, len(self.translators))
        try:
            with progress_bar("files") as bar, ThreadPoolExecutor(threads) as pool:
                task = bar.add_task("translate", total=len(sources))

                def start(number: int) -> Future[tuple[str, dict[str, Any]]]:
                    return pool.submit(self._guarded, number, sources[number])

                # One file decodes or encodes while another is on the device; results come in order.
                ahead = collections.deque(map(start, range(min(threads, len(sources)))))
                for number in range(len(sources)):
                    state, facts = ahead.popleft().result()
                    if state == "there":
                        there += 1
                    elif state == "known":
                        known += 1
                    else:
                        outcome[state].append(facts)
                    if state == "refused":
                        failed.append(facts)
                        print(facts["error"].encode("utf-8", "backslashreplace").decode(), file=sys.stderr)
                    if number + len(ahead) + 1 < len(sources):
                        ahead.append(start(number + len(ahead) + 1))
                    bar.advance(task)
        finally:
            self.map.finish()
            write_gallery(self.out, self.map.rows.values())
            write_data_card(self.out, self.map.rows.values(), self.translators[0], self.output, self.batch)
            with contextlib.suppress(OSError):
                shutil.rmtree(self.out / UNFINISHED)
        print(self._summary(outcome, there, known))
        written = [*outcome["translated"], *outcome["copied"]]
        for line in [*_pixels(self.output, written), *_frames_told(written)] if written else ():
            print(line)
        if written or there:
            print(
                f"look: {self.out / 'index.html'}; which is which: {self.map.path}; keep {self.key}: names stay the same"
            )
        return outcome | {"there": there, "refused_before": known, "failed": failed}

    def _summary(self, outcome: dict[str, list], there: int, known: int) -> str:
        parts = [f"{len(outcome['translated'])} translated"]
        if outcome["copied"]:
            parts.append(f"{len(outcome['copied'])} had no colour and were copied")
        if outcome["left out"]:
            parts.append(f"{len(outcome['left out'])} had no colour and were left out")
        parts.append(f"{len(outcome['refused'])} refused")
        if there:
            parts.append(f"{there} there already")
        if known:
            parts.append(f"{known} refused before (--retry CODE, or --retry all)")
        written = there or outcome["translated"] or outcome["copied"]
        return f"{', '.join(parts)}; {f'{self.out} holds the results' if written else 'nothing was written'}"

    def _guarded(self, number: int, source: Source) -> tuple[str, dict[str, Any]]:
        """One file; whatever goes wrong with it is its own affair."""
        digest, code = "", "defect"
        try:
            with source.local() as path:
                digest = content_digest(path, self.output)
                return self._translate(number, source, path, digest)
        except IngestError as error:
            code, text = error.code, f"{source}: {error.code}: {error.detail}"
        except OSError as error:
            code, text = "disk", f"{source}: {error}"
        except MemoryError:
            code, text = "too_large", f"{source}: ran out of memory"
        except ValueError as error:
            code, text = "refused", f"{source}: {error}"
        except Exception as error:
            code, text = "defect", f"{source}: {type(error).__name__}: {error}"
        text = " ".join(text.split())[:500]
        with contextlib.suppress(OSError):
            reason = text.removeprefix(f"{source}: ")
            self.map.add(Row(source=str(source), state="refused", reason=reason, code=code, sha256=digest))
        return "refused", {"input": str(source), "code": code, "error": text}

    def _translate(self, number: int, source: Source, path: pathlib.Path, digest: str) -> tuple[str, dict[str, Any]]:
        before = self.map.rows.get(str(source))
        name = self._name(source, digest)
        same = before is not None and before.sha256 == digest and digest != ""
        if same and before.state == "refused" and not self._again(before.code):
            return "known", {}
        if same and before.state == "left out" and self.batch.only_colour and not self.batch.overwrite:
            return "there", {}
        with self.lock:
            twin = self.names.setdefault(name, str(source)) != str(source)
        target = self.out / name
        if target.exists() and (twin or not self.batch.overwrite):
            if same and before.state in ("translated", "copied"):
                return "there", {}
            known = next(
                (row for row in list(self.map.rows.values()) if row.output == name and row.sha256 == digest), None
            )
            if known is not None or not self.batch.keep_names:
                row = known or Row(source="", state="translated", sha256=digest)
                self.map.add(dataclasses.replace(row, source=str(source), output=name))
                return "there", {}
            raise ValueError(f"{target} exists and is not of this source; --overwrite replaces it")
        with self.room.taken(decoded_bytes(path, self.output)):
            return self._write(number, source, path, digest, name)

    def _write(
        self, number: int, source: Source, path: pathlib.Path, digest: str, name: str
    ) -> tuple[str, dict[str, Any]]:
        target = self.out / name
        work = self.out / UNFINISHED / f"{number}"
        work.mkdir(parents=True)
        said: list[str] = []
        look = work.parent / f"{number}.jpg"
        translator = self.translators[number % len(self.translators)]
        try:
            facts = translate_file(
                translator, path, work / target.name, self.output, tell=said.append, only_colour=self.batch.only_colour,
                look=lambda found: save_thumbnail(look, found),
            )  # fmt: skip
            colour = "no_flow" not in facts["input_flags"]
            state = "translated" if colour else "left out" if self.batch.only_colour else "copied"
            row = Row.of(str(source), state, facts, output=name if state != "left out" else "", sha256=digest)
            self.map.add(row)
            if state != "left out":
                target.parent.mkdir(parents=True, exist_ok=True)
                if look.exists():
                    thumbnail = self.out / THUMBNAILS / f"{name}.jpg"
                    thumbnail.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(look, thumbnail)
                _move(work, target.parent, target.name, beside=self._beside())
        finally:
            shutil.rmtree(work, ignore_errors=True)
        for line in said:
            print(f"{source}: {line}", file=sys.stderr)
        return state, facts | {"output": name}

    def _beside(self) -> pathlib.Path | None:
        """Where side-cars go when a model's loader opens every file in the folder of its clips."""
        if self.output.recipe is None or not self.output.recipe.folder:
            return None
        folder = self.out / SIDECARS
        folder.mkdir(exist_ok=True)
        return folder

    def _again(self, code: str) -> bool:
        wanted = self.batch.retry
        return self.batch.overwrite or code in TRANSIENT or code in wanted or "all" in wanted

    def _name(self, source: Source, digest: str) -> str:
        """Where the result lies below the folder of results."""
        folders, recipe = source.name.parts[:-1], self.output.recipe
        made = f"-{recipe.name}" if recipe else ""
        if self.batch.keep_names:
            own = source.name.suffix.lower()
            kind = "" if own in ("", ".dcm", self.output.format) else f"-{own[1:]}"
            stem = source.name.stem if source.name.suffix else source.name.name
            return str(pathlib.PurePosixPath(*folders, f"{stem}{kind}{made}{self.output.format}"))
        if recipe and recipe.folder:
            return f"{recipe.folder}/{self.output.hasher.clip(digest + made)[:16]}{self.output.format}"
        hidden = [self.output.hasher.clip(f"folder\0{_text(part)}")[:8] for part in folders]
        return str(pathlib.PurePosixPath(*hidden, f"{self.output.hasher.clip(digest + made)[:16]}{self.output.format}"))


def _text(name: str) -> str:
    """A file name, whose bytes need not be text, as text."""
    return os.fsencode(name).decode("latin-1")


def _line(facts: dict[str, Any], out: pathlib.Path) -> str:
    share = f"{100 * facts['synthesised_share']:.1f} % of the pixels synthesised, the rest passed through"
    what = share if facts["synthesised_share"] else "no colour found: passed through unchanged"
    if facts.get("written", True) is False:
        what = "no colour found: nothing was written"
    told = "".join(f"\n{line}" for line in _frames_told([facts]))
    return f"{out}: {facts['frames']} frames {facts['width']}x{facts['height']}, {what}{told}"


def _pixels(output: Output, written: Sequence[dict[str, Any]]) -> list[str]:
    """What of the screen is in the results, and which of them may still show text."""
    if not output.cleans:
        return ["the whole screen was kept, with any name that stands on it (--clean blackens it)"]
    lines = ["the ultrasound sector was kept, the screen around it and text made black (--keep-screen keeps all)"]
    doubtful = [facts["output"] for facts in written if facts["text_may_remain"]]
    if doubtful:
        names = ", ".join(doubtful[:3]) + (", ..." if len(doubtful) > 3 else "")
        lines.append(f"{len(doubtful)} may still hold text: see {names}")
    return lines


def _frames_told(found: Sequence[dict[str, Any]]) -> list[str]:
    """What is not certain of how frames follow each other: a rate that is nobody's word, numbers that are missing."""
    lines = []
    rates = [facts["fps"] for facts in found if facts["fps_source"] == "assumed" and facts["frames"] > 1]
    gaps = sum(GAPS in facts["input_flags"] for facts in found)
    one = len(found) == 1
    if rates:
        whose = (
            "the source names no frame rate"
            if one
            else f"{len(rates)} of the sources name{'s' * (len(rates) == 1)} no frame rate"
        )
        lines.append(f"{whose}: {rates[0]:g} per second was assumed (--fps says what it was)")
    if gaps:
        whose = "pictures were taken" if one else f"in {gaps} of them pictures were taken"
        lines.append(f"{whose} for one clip although numbers are missing (--no-sequences: each by itself)")
    return lines
