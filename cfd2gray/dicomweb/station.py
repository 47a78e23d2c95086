"""What happens to instances that come in: translated, sent on, and written into the log, one at a time."""

from __future__ import annotations

import dataclasses
import datetime
import http.client
import json
import logging
import os
import pathlib
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pydicom

from cfd2gray.dicomweb.multipart import joined, split
from cfd2gray.translation.files import Output, translate_file
from cfd2gray.translation.translator import Translator
from data_pipeline.readers import IngestError

CANNOT_UNDERSTAND, PROCESSING_FAILURE = 0xC000, 0x0110
"""Failure Reason (0008,1197) of PS3.18, table I.2-2."""
FORWARD_SECONDS = 300
"""Patience with the archive that results are sent to."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forward:
    """A DICOMweb server that takes results: the address above ``/studies``, and headers (a login, for example)."""

    url: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"--forward is the http(s) address of a DICOMweb server, got {self.url!r}")

    def send(self, path: pathlib.Path) -> None:
        """STOW one instance, past any proxy.

        Raises:
          OSError: When it did not arrive.
        """
        kind, length, pieces = joined([path])
        headers = {"Content-Type": kind, "Content-Length": str(length), "Accept": "application/dicom+json"}
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/studies", data=pieces, headers={**self.headers, **headers}, method="POST"
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=FORWARD_SECONDS) as answer:
                answer.read()
                if answer.status != 200:  # 202: some were not stored, and one was all there was
                    raise OSError(f"the archive answered {answer.status}")
        except http.client.HTTPException as error:
            raise OSError(f"the archive's answer was none: {type(error).__name__}") from error


@dataclasses.dataclass(kw_only=True)
class Receipt:
    """What became of the instances of one request: PS3.18's words for it, and the results' files."""

    accepted: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    failed: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    results: list[pathlib.Path] = dataclasses.field(default_factory=list)

    @property
    def status(self) -> int:
        return 200 if not self.failed else 202 if self.accepted else 409

    def told(self) -> dict[str, Any]:
        """The Store Instances Response module, as DICOM JSON."""
        said = {"00081198": self.failed, "00081199": self.accepted}
        return {tag: {"vr": "SQ", "Value": items} for tag, items in said.items() if items}


class Station:
    """Translates what comes in. One request at a time is worked on; the others wait.

    Args:
      open_translator: called for the first clip.
      output: of `translate_file`; its hasher also names clips in the log.
      forward: where results go; None: back to who sent the clip.
      audit: file that a line of JSON is added to for every instance and refusal, without identifiers.
    """

    def __init__(
        self,
        open_translator: Callable[[], Translator],
        output: Output,
        *,
        forward: Forward | None = None,
        audit: pathlib.Path | None = None,
    ) -> None:
        self._open, self._output, self.forward, self._audit = open_translator, output, forward, audit
        self._translator: Translator | None = None
        self._working, self._writing = threading.Lock(), threading.Lock()
        if audit is not None:
            os.close(os.open(audit, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))

    def log(self, event: str, **facts: Any) -> None:
        """Add a line; what it says is on the disk when this returns."""
        if self._audit is None:
            return
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **facts}) + "\n"
        with self._writing, open(self._audit, "a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def receive(self, body: pathlib.Path, boundary: str, folder: pathlib.Path, *, peer: str) -> Receipt:
        """Translate every instance of a request's body; results and parts are in ``folder``.

        Raises:
          ValueError: For a body that is no multipart/related, or is cut off.
        """
        receipt = Receipt()
        with self._working:
            for part in split(body, boundary, folder):
                sent, facts = _names(part), {"peer": peer}
                facts["clip"] = self._output.hasher.clip(sent.get("00081155", {"Value": [part.name]})["Value"][0])
                began = time.monotonic()
                try:
                    facts |= self._translate(part, part.with_suffix(".grey.dcm"), receipt)
                    receipt.accepted.append(sent)
                except Exception as error:  # whatever a foreign file does, the others go on
                    logging.getLogger(__name__).debug("an instance was refused", exc_info=True)
                    known = isinstance(error, IngestError)
                    reason = CANNOT_UNDERSTAND if known else PROCESSING_FAILURE
                    receipt.failed.append(sent | {"00081197": {"vr": "US", "Value": [reason]}})
                    facts |= {"event": "failed", "error": error.code if known else type(error).__name__}
                self.log(**facts, seconds=round(time.monotonic() - began, 2))
        return receipt

    def _translate(self, part: pathlib.Path, target: pathlib.Path, receipt: Receipt) -> dict[str, Any]:
        if self._translator is None:
            self._translator = self._open()
        facts = translate_file(self._translator, part, target, self._output, only_colour=True)
        said = {name: facts[name] for name in ("kind", "certainty", "frames", "synthesised_share", "weights_sha256")}
        if not facts.get("written", True):
            return {"event": "no colour", **said}
        if self.forward is None:
            receipt.results.append(target)
            return {"event": "translated", **said}
        try:
            self.forward.send(target)
        finally:
            target.unlink()
        return {"event": "forwarded", **said}


def _names(part: pathlib.Path) -> dict[str, Any]:
    """Class and instance of what was sent, as DICOM JSON; nothing where they cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings quote values of the header
            ds = pydicom.dcmread(part, stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
            names = {"00081150": str(ds.SOPClassUID), "00081155": str(ds.SOPInstanceUID)}
    except Exception:  # whatever a foreign file does: the reader says what is wrong with it
        return {}
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in names.items()}
