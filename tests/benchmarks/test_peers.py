"""Peers do the same work: parameters carried over, outputs and updates compared."""

import dataclasses

import jax
import numpy as np
import pytest
from cfd2gray.benchmarks import networks
from cfd2gray.benchmarks.peers import naive_jax, ssim_libraries
from cfd2gray.benchmarks.work import Task, awake_discriminator, awake_params, batch_of

from cfd2gray.mesh import make_mesh
from cfd2gray.training.data import to_mesh
from cfd2gray.training.state import TrainSpec, create_state, load_vgg
from cfd2gray.training.step import make_train_step

SMALL = Task(
    size=32, frames=4, batch=2,
    overrides=("model.fill_radius=3", "train.margin=3", "model.width=8", "model.levels=1", "model.denoise_width=8",
               "discriminator.width=8", "discriminator.levels=1", "loss.perceptual_frames=0", "train.ema=0.0"),
)  # fmt: skip


def test_the_obvious_layers_compute_the_same_and_are_put_back():
    ours = np.asarray(networks.network(SMALL.options())[0]())
    obvious = np.asarray(naive_jax.contender(SMALL.options(), work="network")[0]())
    np.testing.assert_allclose(obvious, ours, atol=1e-5)
    from cfd2gray.models.layers import Down

    assert Down.__call__.__module__ == "cfd2gray.models.layers"


def test_pytorch_translates_alike():
    peers = pytest.importorskip("cfd2gray.benchmarks.peers.torch_contenders", exc_type=ImportError)
    ours = np.asarray(networks.network(SMALL.options())[0]())[..., 0]
    call, facts = peers.network(SMALL.options(), compiled=False)
    np.testing.assert_allclose(call().numpy(), ours, atol=1e-4)
    assert facts["units"] == networks.network(SMALL.options())[1]["units"] == 8


def test_pytorch_updates_alike():
    peers = pytest.importorskip("cfd2gray.benchmarks.peers.torch_contenders", exc_type=ImportError)
    config = SMALL.load()
    spec = TrainSpec.from_config(config)
    mesh, vgg = make_mesh(devices=jax.devices()[:1]), load_vgg(config, spec)
    state = create_state(spec, mesh, seed=0, fsdp_min_size=1)
    place = lambda tree: jax.tree.map(jax.numpy.asarray, tree)  # noqa: E731
    params = awake_params(spec.generator)
    state = dataclasses.replace(
        state, generator=place(params), ema=place(params), discriminator=place(awake_discriminator(spec.discriminator))
    )
    batch = batch_of(config.data.batch_size, config.data.frames, config.data.size)
    shardings = jax.tree.map(lambda x: x.sharding, state)
    _, ours = make_train_step(spec, mesh, shardings, with_critics=True)(state, to_mesh(batch, mesh), vgg)
    theirs = {name: float(x.detach()) for name, x in peers.step_of(spec, vgg)(*peers.step_inputs(batch)).items()}
    for name in (
        "pixel_anatomy",
        "pixel",
        "structure",
        "perceptual",
        "temporal",
        "texture",
        "shimmer",
        "confidence",
        "adversarial",
    ):
        np.testing.assert_allclose(theirs[name], float(ours[f"loss/{name}"]), rtol=1e-4, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(theirs["game"], float(ours["discriminator/loss"]), rtol=1e-4)
    for name in ("gradient/generator", "gradient/discriminator"):
        np.testing.assert_allclose(theirs[name], float(ours[name]), rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("name", ssim_libraries.LIBRARIES)
def test_ssim_libraries_agree(name):
    _, ours = ssim_libraries.ours(count=3, size=48)
    try:
        _, theirs = ssim_libraries.library(name=name, count=3, size=48)
    except ImportError:
        pytest.skip(f"{name} is not installed")
    # torchmetrics averages its mirrored border too; the others leave five pixels out, as we do here.
    np.testing.assert_allclose(theirs["first"], ours["first"], atol=2e-2 if name == "torchmetrics" else 2e-6)


def test_unknown_library_is_named():
    with pytest.raises(ValueError, match="got 'opencv'"):
        ssim_libraries.library(name="opencv", count=1, size=32)
