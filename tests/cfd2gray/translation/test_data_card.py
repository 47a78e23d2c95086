"""The card beside a folder of results: what it counts, whom it does not name, and that its owner's words stay."""

import json
import re

import numpy as np
import pytest

from cfd2gray.translation.folders.batch import translate_files
from cfd2gray.translation.folders.data_card import CARD
from cfd2gray.translation.folders.plan import Batch
from data_pipeline.simulation.simulator import simulate_pair
from tests.cfd2gray.translation.test_stream import make_translator
from tests.data_pipeline import dicom_samples as samples


@pytest.fixture(scope="module")
def translator():
    return make_translator(causal=False)


@pytest.fixture
def archive(tmp_path):
    pair = simulate_pair("A4C", 3, height=97, width=112, frames=4, split="test")
    top = tmp_path / "Miller Jane"
    top.mkdir()
    samples.save(samples.header(pair.cfd, PatientID="P4711", PatientName="Miller^Jane"), top / "Miller.dcm")
    np.save(top / "grey.npy", np.repeat(pair.grey, 3, axis=3))
    np.save(top / "again.npy", np.repeat(pair.grey, 3, axis=3))
    (top / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 200)
    return top


def test_it_counts_says_what_made_it_and_names_nobody(translator, archive, tmp_path):
    out = tmp_path / "out"
    found = translate_files(translator, [archive], out)
    card = (out / CARD).read_text()
    code = found["refused"][0]["code"]
    for line in (r"in part synthetic \| 1 \|", r"nothing is synthetic \| 1 \|", rf"refused: `{code}` \| 1 \|"):
        assert re.search(line, card), line
    share = f"{100 * found['translated'][0]['synthesised_share']:.1f} %"
    assert f"| {' | '.join([share] * 5)} |" in card and float(share[:-2]) > 0
    assert f"SHA-256 `{'0' * 64}`" in card and "cfd2gray " in card and "texture" in card
    assert "Licence of the source" in card and "arXiv 2511.03255" in card and "SyntheticData" in card
    assert "black outside the sector" in card and "allow-list" in card
    for name in ("Miller", "Jane", "P4711", "broken", "grey.npy", str(tmp_path)):
        assert name not in card


def test_the_owners_words_and_earlier_weights_stay(translator, archive, tmp_path):
    out = tmp_path / "out"
    translate_files(translator, [archive / "grey.npy"], out)
    path = out / CARD
    path.write_text(path.read_text().replace("from it:", "from it: CC BY 4.0 über alles"))
    other = make_translator(causal=False)
    other.texture = 0.5
    translate_files(other, [archive], out)
    card = path.read_text()
    assert "CC BY 4.0 über alles" in card and card.count("Licence of the source") == 1
    assert card.count("- weights `test`") == 2 and "colour was): 0.5" in card
    translate_files(other, [archive], out)
    assert path.read_text() == card
    path.write_text("my own notes")
    translate_files(other, [archive], out)
    assert path.read_text() == "my own notes"


def test_it_says_what_was_not_removed(translator, archive, tmp_path):
    translate_files(translator, [archive], tmp_path / "a", mode="clinical", batch=Batch(keep_names=True))
    card = (tmp_path / "a" / CARD).read_text()
    assert "the whole screen is there" in card and "identifiers were kept" in card and "those of the sources" in card


def test_its_lines_of_python_find_the_copies(translator, archive, tmp_path, monkeypatch):
    out = tmp_path / "out"
    found = translate_files(translator, [archive], out, format="mkv")
    monkeypatch.chdir(out)
    code = re.search(r"```python\n(.*?)```", (out / CARD).read_text(), flags=re.S)[1]
    names = {}
    exec(code, names)
    assert names["copies"] == [found["copied"][0]["output"]] and len(names["facts"]) == 2
    assert json.loads((out / f"{names['copies'][0]}.json").read_text())["synthetic"] is False
