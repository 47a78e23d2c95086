"""What earlier clips of a console taught, for the next one (`data_pipeline.screen.remembered`)."""

from __future__ import annotations

import dataclasses
import pathlib

from data_pipeline.readers import ClipStream
from data_pipeline.screen.analysis import FlowAnalysis
from data_pipeline.screen.remembered import console, known_sectors, remember
from data_pipeline.screen.said import Said


def with_known_sectors(said: Said, stream: ClipStream, memory: pathlib.Path | None) -> Said:
    """``said``, with the sectors that ``memory`` holds of this clip's console."""
    if memory is None or said.sector is not None:
        return said
    return dataclasses.replace(said, known=known_sectors(memory, _console(stream)))


def keep_sector(memory: pathlib.Path | None, stream: ClipStream, found: FlowAnalysis, said: Said) -> None:
    """Remember the sector of a clip, if a person drew it or its kind is certain."""
    if memory is not None and (said.sector is not None or not found.unsure):
        remember(memory, _console(stream), found.sector, by_hand=said.sector is not None)


def _console(stream: ClipStream) -> str:
    model = "" if stream.header is None else str(stream.header.get("ManufacturerModelName", ""))
    return console(stream.info.vendor, model, (stream.info.height, stream.info.width))
