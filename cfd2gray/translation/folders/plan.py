"""What is going to be translated and where it goes, from names alone: nothing is written here."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Sequence

from cfd2gray.translation.files import OUTPUTS
from cfd2gray.translation.output.recipes import Recipe
from data_pipeline.readers.walk import Source, find_sources

_MEDIA = tuple(
    [".mov", ".webm", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".nii", ".mpg", ".mpeg", ".wmv", ".npz", ".zip", ".bmp"]
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """What is done with a folder.

    Attributes:
      overwrite: Make results again that are there.
      keep_names: Results are named like their sources; else by a keyed hash of the contents.
      only_colour: Clips without colour are left out instead of copied.
      retry: Codes of earlier refusals that are to be tried again; "all" for every one.
      sequences: A folder of numbered images is one clip.
    """

    overwrite: bool = False
    keep_names: bool = False
    only_colour: bool = False
    retry: tuple[str, ...] = ()
    sequences: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is going to be translated: clips, the suffix of results, and whether the output is ``one`` file."""

    sources: Sequence[Source]
    suffix: str
    one: bool


def plan_files(
    inputs: Sequence[pathlib.Path],
    out: pathlib.Path,
    *,
    format: str | None = None,
    batch: Batch | None = None,
    follow_links: bool = False,
    recipe: Recipe | None = None,
) -> Plan:
    """Look for clips and check the output's name; nothing is written. Arguments and errors of `translate_files`."""
    batch = batch or Batch()
    named = out.suffix.lower()
    single = len(inputs) == 1 and not inputs[0].is_dir() and not out.is_dir()
    if named in _MEDIA or (single and named and named not in OUTPUTS):
        raise ValueError(f"cannot write {named}; results are one of {', '.join(OUTPUTS)}, or name a folder")
    if format and f".{format.lstrip('.')}" not in OUTPUTS:
        raise ValueError(f"cannot write {format}; results are one of {', '.join(OUTPUTS)}")
    if recipe is not None:
        _check_recipe(recipe, format, named, batch)
        format = recipe.suffix
    found = find_sources(inputs, follow_links=follow_links, sequences=batch.sequences)
    if told := found.told():
        print(told, file=sys.stderr)
    if not found.sources:
        raise ValueError(f"nothing to translate: {', '.join(map(_shown, inputs))} holds no clip")
    one = named in OUTPUTS
    if one and len(found.sources) > 1:
        raise ValueError(_several(inputs, found.sources, out))
    if one and format and f".{format.lstrip('.')}" != named:
        raise ValueError(f"--format {format} contradicts the file name {out}; leave one of them out")
    suffix = named if one else f".{(format or 'dcm').lstrip('.')}"
    return Plan(sources=found.sources, suffix=suffix, one=one)


def _check_recipe(recipe: Recipe, format: str | None, named: str, batch: Batch) -> None:
    for asked in (format and f".{format.lstrip('.')}", named if named in OUTPUTS else None):
        if asked and asked != recipe.suffix:
            raise ValueError(
                f"--for {recipe.name} writes {recipe.suffix}, got {asked}; end the name in {recipe.suffix}"
            )
    if recipe.folder and batch.keep_names:
        raise ValueError(
            f"--for {recipe.name} puts all clips into one folder, where names may clash; leave --keep-names out"
        )


def _several(inputs: Sequence[pathlib.Path], sources: Sequence[Source], out: pathlib.Path) -> str:
    what = f"{_shown(inputs[0])} holds" if len(inputs) == 1 else "these are"
    names = ", ".join(_shown(pathlib.Path(source.name)) for source in sources[:3])
    return (
        f"{what} {len(sources)} clips ({names}{', ...' if len(sources) > 3 else ''}) and {out} is one file; name a folder "
        f"for them (-o {out.with_suffix('')} --format {out.suffix}), or one of the clips"
    )


def _shown(path: pathlib.Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
