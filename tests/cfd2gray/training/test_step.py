import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cfd2gray.mesh import batch_sharding, make_mesh
from cfd2gray.training.state import TrainSpec, create_state
from cfd2gray.training.step import make_train_step
from cfd2gray.weights.vgg_convert import load_embedded
from tests.cfd2gray.tiny import make_batch, tiny_config


def _run(*, data: int, fsdp: int, steps: int = 2, overrides: tuple[str, ...] = (), with_critics: bool = True, vgg=None):
    config = tiny_config(*overrides)
    spec = TrainSpec.from_config(config)
    mesh = make_mesh(data=data, fsdp=fsdp, devices=jax.devices()[: data * fsdp])
    state = create_state(spec, mesh, seed=0, fsdp_min_size=64)
    shardings = jax.tree.map(lambda x: x.sharding, state)
    step = make_train_step(spec, mesh, shardings, with_critics=with_critics)
    history = []
    for number in range(steps):
        batch = jax.device_put(make_batch(seed=number), batch_sharding(mesh))
        state, metrics = step(state, batch, vgg)
        history.append({name: float(value) for name, value in metrics.items()})
    return state, history


# Adam's first steps have the length of the rate whatever the gradient: with a usual rate, rounding in a gradient that is
# zero but for it would show in the next loss.
CALM = ("train.learning_rate=5e-6", "train.discriminator_rate=5e-6")


def _rounding(name: str) -> float:
    """How far apart sums of float32 may be: norms of gradients sum over every pixel, one after another in these programs."""
    return 5e-4 if name.startswith("gradient/") else 5e-5


@pytest.fixture(scope="module")
def one_device():
    return _run(data=1, fsdp=1, overrides=CALM)


@pytest.mark.parametrize("data, fsdp", [(8, 1), (1, 8), (2, 4)])
def test_one_device_and_eight_make_the_same_steps(one_device, data, fsdp):
    state, history = _run(data=data, fsdp=fsdp, overrides=CALM)
    for expected, found in zip(one_device[1], history):
        for name in expected:
            # Parts of either sign cancel in these two: their parts are of size 3.
            absolute = 3e-5 if name in ("loss/confidence", "loss/adversarial") else 1e-6
            assert found[name] == pytest.approx(expected[name], rel=_rounding(name), abs=absolute), name
    # Adam's step has the rate's length whichever sign a gradient of nothing but rounding has: such parameters are few.
    both = zip(*map(jax.tree.leaves, (one_device[0].generator, state.generator)))
    apart = [np.abs(np.asarray(old) - np.asarray(new)).ravel() for old, new in both]
    assert np.mean(np.concatenate(apart) > 1e-6) < 0.01


def test_every_term_at_once_is_the_same_on_one_device_and_eight():
    """With VGG, which sees a frame of each clip, and the terms of texture, which the small configuration leaves out."""
    terms = ("loss.perceptual=0.1", "loss.texture=0.5", "loss.shimmer=0.5", "loss.perceptual_layers=('relu1_2',)")
    (_, (one,)), (_, (eight,)) = (
        _run(data=data, fsdp=1, steps=1, overrides=(*CALM, *terms), vgg=load_embedded()) for data in (1, 8)
    )
    assert {f"loss/{term}" for term in ("perceptual", "texture", "shimmer", "adversarial")} <= set(one)
    assert eight == {name: pytest.approx(value, rel=2 * _rounding(name), abs=3e-5) for name, value in one.items()}


def test_fsdp_really_splits_parameters_and_optimizer_state():
    state, _ = _run(data=1, fsdp=8, steps=1)
    for part in (state.generator, state.ema, state.generator_opt, state.discriminator_opt):
        total = sum(x.size for x in jax.tree.leaves(part))
        held = sum(x.addressable_shards[0].data.size for x in jax.tree.leaves(part))
        assert held < 0.2 * total, "each of eight devices must hold about an eighth"


def test_fsdp_that_would_replicate_most_parameters_is_refused():
    spec = TrainSpec.from_config(tiny_config())
    with pytest.raises(ValueError, match="fsdp_min_size"):
        create_state(spec, make_mesh(data=1, fsdp=8), seed=0, fsdp_min_size=10**9)


def test_accumulating_micro_batches_gives_the_same_gradients(one_device):
    # Without VGG every term is a mean over clips, so two halves average to the whole.
    _, whole = _run(data=1, fsdp=1, steps=1, with_critics=False)
    _, halves = _run(data=1, fsdp=1, steps=1, with_critics=False, overrides=("train.accumulate=2",))
    for name, value in whole[0].items():
        assert halves[0][name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_the_warm_up_leaves_the_discriminator_alone():
    state, history = _run(data=1, fsdp=1, steps=1, with_critics=False)
    fresh = create_state(
        TrainSpec.from_config(tiny_config()), make_mesh(devices=jax.devices()[:1]), seed=0, fsdp_min_size=64
    )
    for old, new in zip(jax.tree.leaves(fresh.discriminator), jax.tree.leaves(state.discriminator)):
        np.testing.assert_array_equal(new, old)
    assert "loss/adversarial" not in history[0] and "loss/pixel" in history[0]


def test_every_active_term_is_named_in_the_metrics(one_device):
    names = set(one_device[1][0])
    terms = ("pixel_anatomy", "pixel", "structure", "adversarial", "temporal", "confidence", "total")
    assert {f"loss/{term}" for term in terms} <= names
    assert {"discriminator/loss", "gradient/generator", "gradient/discriminator"} <= names


def test_training_learns_to_copy_a_constant_truth():
    config = tiny_config("train.learning_rate=0.003", "train.warmup=1", "train.steps=100", "train.ema=0.5")
    spec = TrainSpec.from_config(config)
    mesh = make_mesh(devices=jax.devices()[:1])
    state = create_state(spec, mesh, seed=0, fsdp_min_size=64)
    step = make_train_step(spec, mesh, jax.tree.map(lambda x: x.sharding, state), with_critics=False)
    batch = make_batch(2)
    batch["grey"] = np.full_like(batch["grey"], 90)
    batch = jax.device_put(batch, batch_sharding(mesh))
    losses = []
    for _ in range(30):
        state, metrics = step(state, batch, None)
        losses.append(float(metrics["loss/pixel"]))
    assert losses[-1] < 0.6 * losses[0]


def test_padding_clips_do_not_count():
    config = tiny_config()
    spec = dataclasses.replace(TrainSpec.from_config(config))
    mesh = make_mesh(devices=jax.devices()[:1])

    def loss(batch):
        state = create_state(spec, mesh, seed=0, fsdp_min_size=64)
        step = make_train_step(spec, mesh, jax.tree.map(lambda x: x.sharding, state), with_critics=False)
        return float(step(state, jax.device_put(batch, batch_sharding(mesh)), None)[1]["loss/total"])

    padded = make_batch(4)
    padded["mask"] = np.asarray([1, 1, 0, 0], np.float32)
    alone = {name: value[:2] for name, value in padded.items()}
    assert loss(padded) == pytest.approx(loss(alone), rel=1e-5)


def test_bfloat16_keeps_float32_parameters():
    state, history = _run(data=1, fsdp=1, steps=1, overrides=("model.dtype=bfloat16",), with_critics=False)
    assert {x.dtype for x in jax.tree.leaves(state.generator)} == {jnp.dtype("float32")}
    assert np.isfinite(history[0]["loss/total"])
