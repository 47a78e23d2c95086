"""``DATA_CARD.md``: what a folder of results is, for whoever is given it. No name and no identifier of a source."""

from __future__ import annotations

import pathlib
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

import cfd2gray
from cfd2gray.translation.detail import digest
from cfd2gray.translation.folders.plan import Batch
from cfd2gray.translation.folders.private_map import Row
from cfd2gray.translation.output.result_files import Output
from cfd2gray.translation.translator import Translator
from data_pipeline.files import atomic_path

CARD = "DATA_CARD.md"
OWNERS_PART = "<!-- Below this line the text is yours: later runs keep it. -->"
_MADE_BY = "- weights "
"""How a line begins that says what made clips; those of earlier runs stay."""
_QUANTILES = (("least", 0.0), ("first quartile", 0.25), ("median", 0.5), ("third quartile", 0.75), ("most", 1.0))
_TO_FILL = """
## To be filled in by the owner of the clips

- Source (archive or data set, years, devices):
- Licence of the source, and of what is made from it:
- Approval and consent under which it may be used:
- To be cited for the source:
- Contact:
"""


def write_data_card(
    out: pathlib.Path, rows: Iterable[Row], translator: Translator, output: Output, batch: Batch
) -> None:
    """Write the card of the folder ``out`` anew; what its owner wrote into it stays.

    Args:
      rows: Every source that the folder's private map knows; counted only.
      translator, output, batch: What this run worked with.
    """
    path = out / CARD
    before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else f"{OWNERS_PART}\n{_TO_FILL}"
    said, mark, own = before.partition(OWNERS_PART)
    if not mark:
        print(f"{path} is not of cfd2gray's making and stays as it is", file=sys.stderr)
        return
    new = _made_by(translator, output)
    made_by = [line for line in said.splitlines() if line.startswith(_MADE_BY) and line != new]
    text = _card(list(rows), [*made_by, new], _removed(output, batch), output)
    with atomic_path(path) as temporary:
        temporary.write_text(text + OWNERS_PART + own, encoding="utf-8")


def _card(rows: Sequence[Row], made_by: Sequence[str], removed: Sequence[str], output: Output) -> str:
    clips = {row.output: row for row in rows if row.output and row.state in ("translated", "copied")}
    shares = [float(row.share or 0) for row in clips.values() if row.state == "translated"]
    counts = Counter(row.state for row in clips.values())
    refused = Counter(row.code or "unknown" for row in rows if row.state == "refused")
    left_out = sum(row.state == "left out" for row in rows)
    lines = [
        "# Data card",
        "",
        "Greyscale ultrasound clips that cfd2gray made from somebody's archive. **Clips that were made from colour-flow",
        "Doppler are in part synthetic: what colour had hidden is a reconstruction. For research, not for diagnosis.**",
        "",
        "## Clips",
        "",
        "| outcome | clips |",
        "|---|---:|",
        f"| translated: colour was taken away, in part synthetic | {counts['translated']} |",
        f"| copied: no colour was found, nothing is synthetic | {counts['copied']} |",
        f"| left out: no colour was found, only colour was asked for | {left_out} |",
        *(f"| refused: `{code}` | {number} |" for code, number in sorted(refused.items())),
        "",
        "Two sources with the same contents are one clip. Whose a clip is, only DICOM says: any other source (video, pictures,",
        "arrays) counts as a patient of its own, whoever it shows. Splits into training and test sets must be made by someone",
        "who knows.",
        "",
        "## How much is synthetic",
        "",
        *_share_table(shares),
        "## Made by",
        "",
        *made_by,
        "",
        "Every clip names the weights that made it, by their SHA-256, in its header (DICOM) or in its JSON file.",
        "",
        "## What was removed",
        "",
        *(f"- {line}" for line in removed),
        "",
        "## Leaving synthetic clips out",
        "",
        *_how_to_exclude(output),
        "## To be cited",
        "",
        "- cfd2gray with its version, and the weights by their SHA-256, both above",
        "- the method: Tomic et al., arXiv 2511.03255; cfd2gray is an independent implementation",
        "",
    ]
    return "\n".join(lines) + "\n"


def _share_table(shares: Sequence[float]) -> list[str]:
    if not shares:
        return ["Nothing.", ""]
    found = np.quantile(np.array(shares), [at for _, at in _QUANTILES])
    return [
        "Share of a clip's pixels, all frames and the whole picture, that are not the source's own, over the translated clips:",
        "",
        "| " + " | ".join(name for name, _ in _QUANTILES) + " |",
        "|" + "---:|" * len(_QUANTILES),
        "| " + " | ".join(f"{100 * share:.1f} %" for share in found) + " |",
        "",
    ]


def _made_by(translator: Translator, output: Output) -> str:
    weights, texture = translator.weights, translator.texture
    detail = f", detail of other frames where it was enlarged: SHA-256 `{digest()}`" if translator.detail else ""
    speckle = "1 where the network's result was enlarged, else 0" if texture is None else f"{texture:g}"
    whole = ", the whole sector written by the network" if output.whole_frame else ""
    made_for = "" if output.recipe is None else f", for {output.recipe.name} ({output.recipe.code})"
    return (
        f"{_MADE_BY}`{weights.name}`, SHA-256 `{weights.digest}`, cfd2gray {cfd2gray.__version__}, "
        f"texture (speckle drawn where colour was): {speckle}{detail}{whole}{made_for}"
    )


def _removed(output: Output, batch: Batch) -> list[str]:
    return [
        "Pixels: black outside the sector and over text that was found in it. Where text may be left, the clip says so "
        "(`BurnedInAnnotation` in DICOM, `text_may_remain` in JSON)."
        if output.cleans
        else "Pixels: **nothing; the whole screen is there, with any name that stands on it.**",
        "Header: **the source's identifiers were kept, and a link to it (clinical mode).**"
        if output.mode == "clinical"
        else "Header: everything but what an allow-list keeps; new identifiers, the same for the same patient in this folder."
        if output.format == ".dcm"
        else "Header: these files have none, and nothing of the source's is carried over.",
        "File names: **those of the sources, which may name a person.**"
        if batch.keep_names
        else "File names: keyed hashes; table and key lie beside the folder and stay with the owner.",
        "This is what the last run did. Look at the pictures before passing them on.",
    ]


def _how_to_exclude(output: Output) -> list[str]:
    if output.format == ".dcm":
        return ["DICOM: `SyntheticData` (0008,001C) is `YES` for translated clips, `NO` for copies.", ""]
    return [
        f"`synthetic` in a clip's JSON file (`NAME{output.format}.json`) is `true` for translated clips, `false` for copies; "
        "`synthesised_share` says how much. The copies alone:",
        "",
        "```python",
        "import json, pathlib",
        "",
        f'facts = {{p.stem: json.loads(p.read_text()) for p in pathlib.Path(".").rglob("*{output.format}.json")}}',
        'copies = [name for name, found in facts.items() if not found["synthetic"]]',
        "```",
        "",
    ]
