"""Everything that changes during training, as one pytree, and how it comes to be on the mesh."""

from __future__ import annotations

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from jax.sharding import Mesh

from cfd2gray.losses.total import LossSpec
from cfd2gray.mesh import state_shardings
from cfd2gray.models.discriminator import Discriminator, DiscriminatorSpec
from cfd2gray.models.generator import Generator, GeneratorSpec
from cfd2gray.models.pure import Params, fresh_params
from cfd2gray.models.vgg import VGG
from cfd2gray.weights import vgg_convert
from cfd2gray.weights.pretrained import GeneratorWeights


@dataclasses.dataclass(frozen=True)
class TrainState:
    """The whole state of a run but for the data iterator. Parameters are nested dicts of float32 arrays."""

    step: jax.Array
    """int32 scalar: updates made so far."""
    generator: Params
    discriminator: Params
    ema: Params
    """Running average of the generator; evaluation and translation use it."""
    generator_opt: optax.OptState
    discriminator_opt: optax.OptState
    rng: jax.Array
    """Typed key; each step folds its number into it, so that a resumed run draws what an unbroken one draws."""


jax.tree_util.register_dataclass(TrainState, [f.name for f in dataclasses.fields(TrainState)], [])


@dataclasses.dataclass(frozen=True)
class TrainSpec:
    """What is fixed during a run: network shapes, loss weights, optimizers. Hashable, closed over by the jitted step."""

    generator: GeneratorSpec
    discriminator: DiscriminatorSpec
    loss: LossSpec
    feather: int
    ema: float
    margin: int
    accumulate: int
    steps: int
    warmup: int
    learning_rate: float
    discriminator_rate: float
    final_rate: float
    beta1: float
    beta1_discriminator: float
    beta2: float
    weight_decay: float
    clip_norm: float

    @classmethod
    def from_config(cls, config: ml_collections.ConfigDict) -> TrainSpec:
        """Raises ``ValueError`` naming the key for values that make no sense."""
        train, loss = config.train, config.loss
        if train.steps < 1 or train.accumulate < 1:
            raise ValueError(
                f"train.steps and train.accumulate must be at least 1, got {train.steps}, {train.accumulate}"
            )
        for key in ("learning_rate", "discriminator_rate"):
            if not train[key] > 0:
                raise ValueError(f"train.{key} must be above 0, got {train[key]}")
        if not 0.0 <= train.ema < 1.0:
            raise ValueError(f"train.ema must be in [0, 1), got {train.ema}")
        if not 0 <= 2 * train.margin < config.data.frames:
            raise ValueError(
                f"train.margin must leave frames to learn from: got {train.margin} of data.frames = "
                f"{config.data.frames} at either end"
            )
        multiple = max(2 ** (config.model.levels + 1), 2 ** (config.discriminator.levels + 1))
        if config.data.size % multiple:
            raise ValueError(f"data.size must be a multiple of {multiple} for this model, got {config.data.size}")
        if config.log.every < 1 or config.checkpoint.every < 0:
            raise ValueError(
                f"log.every must be at least 1 step and checkpoint.every not negative, got {config.log.every}, "
                f"{config.checkpoint.every}"
            )
        if not config.checkpoint.every and not config.checkpoint.minutes:
            raise ValueError("checkpoint.every and checkpoint.minutes are both 0: a run must be saved now and then")
        loss_fields = {field.name: loss[field.name] for field in dataclasses.fields(LossSpec)}
        own = {field.name for field in dataclasses.fields(cls)} - {"generator", "discriminator", "loss", "feather"}
        return cls(
            generator=GeneratorSpec(**config.model),
            discriminator=DiscriminatorSpec(**config.discriminator, dtype=config.model.dtype),
            loss=LossSpec(**loss_fields),
            feather=config.translate.feather,
            **{name: train[name] for name in own},
        )


def learning_rate(spec: TrainSpec, peak: float) -> optax.Schedule:
    """Linear rise over ``spec.warmup`` steps, then a cosine to ``spec.final_rate`` of the peak."""
    return optax.warmup_cosine_decay_schedule(
        init_value=peak / max(spec.warmup, 1),
        peak_value=peak,
        warmup_steps=spec.warmup,
        decay_steps=max(spec.steps, spec.warmup + 1),
        end_value=spec.final_rate * peak,
    )


def optimizers(spec: TrainSpec) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Adam with gradient clipping for the generator and for the discriminator."""

    def make(peak: float, b1: float) -> optax.GradientTransformation:
        adam = optax.adamw(learning_rate(spec, peak), b1=b1, b2=spec.beta2, weight_decay=spec.weight_decay)
        return optax.chain(optax.clip_by_global_norm(spec.clip_norm), adam)

    return make(spec.learning_rate, spec.beta1), make(spec.discriminator_rate, spec.beta1_discriminator)


def _fresh(spec: TrainSpec, seed: int) -> TrainState:
    key = jax.random.key(seed)
    generator = fresh_params(Generator, spec.generator, jax.random.fold_in(key, 1))
    discriminator = fresh_params(Discriminator, spec.discriminator, jax.random.fold_in(key, 2))
    generator_tx, discriminator_tx = optimizers(spec)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        generator=generator,
        discriminator=discriminator,
        ema=jax.tree.map(jnp.copy, generator),
        generator_opt=generator_tx.init(generator),
        discriminator_opt=discriminator_tx.init(discriminator),
        rng=jax.random.fold_in(key, 3),
    )


def abstract_state(spec: TrainSpec, mesh: Mesh, *, seed: int, fsdp_min_size: int) -> TrainState:
    """Shapes, dtypes and shardings of the state, without any array: the target of a restore."""
    shapes = jax.eval_shape(lambda: _fresh(spec, seed))
    shardings = state_shardings(shapes, mesh, min_size=fsdp_min_size)
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)


def create_state(spec: TrainSpec, mesh: Mesh, *, seed: int, fsdp_min_size: int) -> TrainState:
    """A fresh state, made where it belongs: no array exists before its sharding is known."""
    target = abstract_state(spec, mesh, seed=seed, fsdp_min_size=fsdp_min_size)
    return jax.jit(lambda: _fresh(spec, seed), out_shardings=jax.tree.map(lambda x: x.sharding, target))()


def start_from(state: TrainState, weights: GeneratorWeights, spec: TrainSpec) -> TrainState:
    """A fresh state whose generator and average are ``weights``; optimizers and discriminator start from nothing.

    Raises:
      ValueError: When the weights belong to a network of another shape.
    """
    wanted = spec.generator  # neither the dtype, nor the direction of time, nor remat changes what the parameters are
    if dataclasses.replace(weights.spec, dtype=wanted.dtype, causal=wanted.causal, remat=wanted.remat) != wanted:
        raise ValueError(f"init: the weights are of {weights.spec}, the config asks for {wanted}")

    def place(old: jax.Array, new: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(old.shape, old.sharding, lambda index: new[index])

    params = jax.tree.map(place, state.generator, weights.params)
    return dataclasses.replace(state, generator=params, ema=jax.tree.map(place, state.ema, weights.params))


def load_vgg(config: ml_collections.ConfigDict, spec: TrainSpec) -> VGG | None:
    """The perceptual loss's weights, or None when the term is off."""
    if not spec.loss.perceptual:
        return None
    path = config.loss.perceptual_weights
    return vgg_convert.load(pathlib.Path(path)) if path else vgg_convert.load_embedded()
