"""Validation while training: the scores of a full evaluation, from one program that costs little beside the network."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from cfd2gray.evaluation import validation
from cfd2gray.evaluation.evaluate import EvaluateOptions, evaluate
from cfd2gray.evaluation.run import clip_facts
from cfd2gray.mesh import make_mesh
from cfd2gray.metrics.accumulate import Bootstrap
from cfd2gray.models.generator import Generator
from cfd2gray.models.pure import fresh_params
from cfd2gray.training.data import build_source, evaluation_batches
from cfd2gray.training.state import TrainSpec
from cfd2gray.translation.predict import make_predict
from tests.cfd2gray import tiny


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tiny.pack_tiny(tmp_path_factory.mktemp("clips") / "records", clips=60)


@pytest.mark.parametrize("limit", [0, 3])
def test_its_scores_are_those_of_an_evaluation(records, limit):
    config = tiny.tiny_config(f"data.dir={records}", "eval.batch_size=3", f"eval.clips={limit}")
    spec, mesh = TrainSpec.from_config(config), make_mesh(devices=jax.devices()[:1])
    params = fresh_params(Generator, spec.generator, 1)
    found = validation.validate(config, spec, params, mesh)
    source = build_source(config, "val")
    predict = functools.partial(jax.jit(make_predict(spec.generator, feather=config.translate.feather)), params)
    batches = list(evaluation_batches(config, source, mesh))[: 1 if limit else None]
    options = EvaluateOptions(baselines=("luma",), bootstrap=Bootstrap(resamples=0))
    whole = evaluate(predict, batches, functools.partial(clip_facts, source), options=options)
    assert found.pop("val/clips") == whole["n_clips"] == (limit or len(source))
    for stratum in validation.SCORED:
        assert found.pop(f"val/ssim_{stratum}") == pytest.approx(whole["ssim"][stratum], abs=1e-5)
        # Printed in grey by OpenCV in whole numbers there, in float and rounded here.
        assert found.pop(f"val/luma_{stratum}") == pytest.approx(whole["baselines"]["luma"][stratum], abs=2e-3)
    for name in ("flicker_ratio", "texture_std_ratio"):
        assert found.pop(f"val/{name}_flow") == pytest.approx(whole[name]["flow"], rel=1e-4)
    assert found.pop("val/error_flow") == pytest.approx(255 * whole["mae"]["flow"], rel=1e-4)
    assert not found


def test_people_are_told_in_words():
    told = validation.describe({"val/clips": 64.0, "val/ssim_flow": 0.71, "val/luma_flow": 0.5, "val/error_flow": 9.06})
    assert "on 64 clips" in told and "0.710 (input printed in grey: 0.500)" in told and "9.1 grey levels" in told


EIGHT = """
import json, sys
import jax
from cfd2gray.config import load_config
from cfd2gray.evaluation import validation
from cfd2gray.mesh import make_mesh
from cfd2gray.models.generator import Generator
from cfd2gray.models.pure import fresh_params
from cfd2gray.training.state import TrainSpec
from cfd2gray.translation.predict import make_predict
from tests.cfd2gray import tiny
from cfd2gray.launch import lowering

mesh = make_mesh()
config = tiny.tiny_config(f"data.dir={sys.argv[1]}", "eval.batch_size=16")
spec = TrainSpec.from_config(config)
compiled, counts = [], []
jax.monitoring.register_event_duration_secs_listener(
    lambda name, seconds, **_: compiled.append(name) if name.endswith("backend_compile_duration") else None
)
for seed in range(3):
    params = jax.device_put(fresh_params(Generator, spec.generator, seed), validation.replicated(mesh))
    before = len(compiled)
    scores = validation.validate(config, spec, params, mesh)
    counts.append(len(compiled) - before)
real = load_config("echo_128")
spec, state = lowering.run_state(real, mesh)
batch = lowering.abstract_batch(mesh, clips=real.eval.batch_size, frames=real.eval.frames, size=real.data.size)
predict = make_predict(spec.generator, feather=real.translate.feather)
forward = jax.jit(lambda params, batch: predict(params, batch)["composited"]).lower(state.ema, batch)
scored = lowering.lower_eval(real, mesh)
flops = [lowered.cost_analysis()["flops"] for lowered in (scored, forward)]
print(json.dumps({"devices": mesh.size, "compiled": counts, "flops": flops, "scores": scores}))
"""


def test_on_eight_devices_it_is_compiled_once_and_costs_little_beside_the_network(records):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(pathlib.Path(__file__).parents[3]),
    }
    done = subprocess.run([sys.executable, "-c", EIGHT, records], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == 8
    assert found["compiled"] == [1, 0, 0], "programs compiled by the first, second and third validation"
    assert found["flops"][0] <= 1.2 * found["flops"][1]
    assert np.isfinite(list(found["scores"].values())).all()
