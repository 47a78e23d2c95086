"""Many files in, many files out: one failure never stops the rest, and every failure is told in one line."""

from __future__ import annotations

import collections
import os
import pathlib
import secrets
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from cfd2gray.files import atomic_path
from cfd2gray.translation.files import OUTPUTS, Output, translate_file
from cfd2gray.translation.translator import Translator
from data_pipeline.parallel import progress_bar
from data_pipeline.screen.deidentify import KeyedHasher

AT_ONCE = 16
"""Cores that are used as devices: each works on a file, and every file that is worked on is held in memory."""


def translate_files(
    translator: Translator,
    inputs: Sequence[pathlib.Path],
    out: pathlib.Path,
    *,
    format: str | None = None,
    whole_frame: bool = False,
    confidence: bool = False,
    mode: str = "research",
    key_file: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Translate files, or every file below folders.

    Args:
      translator: Weights to use.
      inputs: Files and folders.
      out: A file for one input file, else a folder; results there are named by the source's digest, never by its name.
      format: Suffix of results in a folder; default ``.dcm``.
      whole_frame, confidence, mode: See `translation.files.Output`.
      key_file: Secret of the identifiers' hashes, made when missing; None: a secret that is forgotten afterwards.

    Returns:
      ``{"translated": [facts...], "failed": [{"input", "error"}...]}``.

    Raises:
      ValueError: When there is no input at all, or one single input cannot be translated.
    """
    files = list(_expand(inputs))
    if not files:
        raise ValueError(f"nothing to translate: {', '.join(map(str, inputs))} holds no file")
    one = len(files) == 1 and not inputs[0].is_dir() and out.suffix.lower() in OUTPUTS
    if not one and out.suffix.lower() in OUTPUTS:
        raise ValueError(f"{len(files)} inputs need a folder as --out, got the file name {out}")
    suffix = out.suffix.lower() if one else (format or ".dcm")
    output = Output(
        format=suffix if suffix.startswith(".") else f".{suffix}",
        hasher=KeyedHasher(read_key(key_file)),
        mode=mode,
        whole_frame=whole_frame,
        confidence=confidence,
    )
    if one:
        facts = translate_file(translator, files[0], out, output)
        print(_line(facts, out))
        return {"translated": [facts | {"output": str(out)}], "failed": []}

    done, failed = [], []
    translators = translator.workers()
    threads = max(2, len(translators))
    with progress_bar("files") as bar, ThreadPoolExecutor(threads) as pool:
        task = bar.add_task("translate", total=len(files))

        def start(number: int) -> Future[dict[str, Any]]:
            target = out / f"{output.hasher.clip(f'{number}:{files[number]}')[:16]}{output.format}"
            return pool.submit(_translate, translators[number % len(translators)], files[number], target, output)

        # One file decodes or encodes while another is on the device; few are open at a time, results come in order.
        ahead = collections.deque(map(start, range(min(threads, len(files)))))
        for number, file in enumerate(files):
            job = ahead.popleft()
            try:
                done.append(job.result())
            except (ValueError, OSError) as error:  # told, counted in the exit code, and the batch goes on
                text = " ".join(str(error).split())
                failed.append({"input": str(file), "error": text})
                print(text, file=sys.stderr)
            if number + len(ahead) + 1 < len(files):
                ahead.append(start(number + len(ahead) + 1))
            bar.advance(task)
    print(f"{len(done)} translated, {len(failed)} failed; {out} holds the results")
    return {"translated": done, "failed": failed}


def _translate(translator: Translator, file: pathlib.Path, target: pathlib.Path, output: Output) -> dict[str, Any]:
    return translate_file(translator, file, target, output) | {"output": target.name}


def _expand(inputs: Sequence[pathlib.Path]) -> Iterator[pathlib.Path]:
    for path in inputs:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        else:
            yield path


def _line(facts: dict[str, Any], out: pathlib.Path) -> str:
    share = f"{100 * facts['synthesised_share']:.1f} % of the pixels synthesised, the rest passed through"
    what = share if facts["synthesised_share"] else "no colour found: passed through unchanged"
    return f"{out}: {facts['frames']} frames {facts['width']}x{facts['height']}, {what}"


def read_key(path: pathlib.Path | None) -> bytes:
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
