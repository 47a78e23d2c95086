"""What the software wrote itself comes back as pairs: simulate -> pair -> pack, and paint -> pair."""

import json

import numpy as np

from cfd2gray.cli import main
from cfd2gray.translation.output.video import write_video
from data_pipeline.pairs.jobs import archive_jobs
from data_pipeline.pairs.own import OwnPairJob
from data_pipeline.readers.archive import list_archive
from data_pipeline.schema import FLOW
from data_pipeline.simulation.simulator import simulate_pair


def test_simulated_dicom_is_paired_and_packed(tmp_path):
    made, out, facts = tmp_path / "sim", tmp_path / "records", tmp_path / "pairs.json"
    simulate = f"simulate --view A4C,PLAX --clips 2 --size 160 --frames 6 --format dicom -o {made} --workers 1"
    assert main(simulate.split()) == 0
    assert main(f"pair {made} --workers 1 --json {facts}".split()) == 0
    found = json.loads(facts.read_text())
    assert found == {"files": 2, "pairs": {"simulated": 2}, "no_pair": {}}
    assert main(f"pack {made} --workers 1 -o {out} --json {facts}".split()) == 0
    assert json.loads(facts.read_text())["clips"] == 2
    pairs = [job()[0] for job in archive_jobs(list_archive(made).items, key=b"k" * 16)]
    assert sorted(pair.view for pair in pairs) == ["A4C", "PLAX"] and len({pair.patient_id for pair in pairs}) == 2
    for pair in pairs:
        assert (pair.strata & FLOW).any() and pair.cfd.shape[0] == 6


def test_what_paint_leaves_is_a_pair(tmp_path):
    pair = simulate_pair("A4C", 3, height=160, width=160, frames=6)
    write_video(tmp_path / "a" / "colour_flow.mkv", pair.cfd, fps=25.0)
    write_video(tmp_path / "a" / "greyscale.mkv", pair.grey[..., 0], fps=25.0)
    write_video(tmp_path / "alone.mkv", pair.cfd, fps=25.0)
    jobs = archive_jobs(list_archive(tmp_path).items, key=b"k" * 16)
    assert [isinstance(job, OwnPairJob) for job in jobs] == [True, False]
    (found,) = jobs[0]()
    assert found.kind == "simulated" and np.isfinite(found.score)


def test_colour_is_not_painted_over(tmp_path, capsys):
    pair = simulate_pair("A4C", 3, height=160, width=160, frames=6)
    write_video(tmp_path / "a.mkv", pair.cfd, fps=25.0)
    assert main(["paint", str(tmp_path / "a.mkv"), "-o", str(tmp_path / "out")]) == 2
    assert "shows colour already" in capsys.readouterr().err and not (tmp_path / "out").exists()
