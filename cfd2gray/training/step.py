"""One update of both networks: a pure function of state, batch and frozen VGG weights.

The generator runs forward once. Its cotangent is put together from the reconstruction terms and from the
discriminator's judgement, whose forward pass on the fake is shared by both players' gradients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cfd2gray.losses import adversarial
from cfd2gray.losses.total import reconstruction_terms, weighted_sum
from cfd2gray.mesh import AXES, batch_sharding, replicated
from cfd2gray.models.discriminator import Discriminator
from cfd2gray.models.fill import luma
from cfd2gray.models.generator import Generator, Translation
from cfd2gray.models.inputs import to_inputs, without_margin
from cfd2gray.models.pure import graph_of
from cfd2gray.models.vgg import VGG
from cfd2gray.training.state import TrainSpec, TrainState, optimizers
from cfd2gray.translation.composite import blend_weights, composite

Array = jax.Array
Step = Callable[[TrainState, Mapping[str, Array], VGG], tuple[TrainState, dict[str, Array]]]

Gradients = tuple[Any, Any, dict[str, Array]]
"""Of the generator, of the discriminator, and the metrics."""


def _gradients(
    spec: TrainSpec, state: TrainState, batch: Mapping[str, Array], vgg: VGG, key: Array, *, with_critics: bool
) -> Gradients:
    """(generator gradients, discriminator gradients, metrics) of one micro-batch."""
    whole = to_inputs(batch)
    inputs = without_margin(whole, spec.margin)
    cfd, hidden, truth = inputs["cfd"], inputs["hidden"], inputs["truth"]
    generator, discriminator = graph_of(Generator, spec.generator), graph_of(Discriminator, spec.discriminator)
    dtype = jnp.dtype(spec.generator.dtype)
    blend = blend_weights(hidden[..., 0], inputs["box"][..., 0], feather=spec.feather)[..., None]
    real_shown = composite(luma(cfd), truth, blend)

    def translate(params: Any) -> Translation:
        return nnx.merge(generator, params)(whole["cfd"], whole["hidden"], margin=spec.margin)

    out, pull_generator = jax.vjp(translate, state.generator)

    def reconstruction(out: Translation) -> tuple[Array, dict[str, Array]]:
        shown = composite(luma(cfd), out.grey, blend), real_shown
        terms = reconstruction_terms(spec.loss, out, shown, inputs, vgg, key, dtype=dtype)
        return weighted_sum(spec.loss, terms), terms

    (total, terms), cotangent = jax.value_and_grad(reconstruction, has_aux=True)(out)
    metrics = {f"loss/{name}": value for name, value in terms.items()}
    discriminator_gradients = jax.tree.map(jnp.zeros_like, state.discriminator)

    if with_critics and spec.loss.adversarial:
        kind = spec.loss.adversarial_kind

        def judge(params: Any, grey: Array) -> Array:
            return nnx.merge(discriminator, params)(cfd, hidden, composite(luma(cfd), grey, blend))

        fake, pull_fake = jax.vjp(judge, state.discriminator, out.grey)
        real, pull_real = jax.vjp(lambda params: judge(params, truth), state.discriminator)
        weights = adversarial.patch_weights(hidden, fake.shape, inputs["mask"])

        game, (real_pull, fake_pull) = jax.value_and_grad(
            lambda r, f: adversarial.discriminator_loss(r, f, weights, kind=kind), argnums=(0, 1)
        )(real, fake)
        discriminator_gradients = jax.tree.map(jnp.add, pull_real(real_pull)[0], pull_fake(fake_pull)[0])

        fooled, logits_pull = jax.value_and_grad(lambda f: adversarial.generator_loss(f, weights, kind=kind))(fake)
        grey_pull = pull_fake(logits_pull)[1]
        weight = spec.loss.adversarial
        cotangent = Translation(
            anatomy=cotangent.anatomy, grey=cotangent.grey + weight * grey_pull, log_scale=cotangent.log_scale
        )
        total = total + weight * fooled
        metrics |= {
            "loss/adversarial": fooled,
            "discriminator/loss": game,
            "discriminator/real": jnp.sum(weights * real) / jnp.sum(weights),
            "discriminator/fake": jnp.sum(weights * fake) / jnp.sum(weights),
        }
    metrics["loss/total"] = total
    return pull_generator(cotangent)[0], discriminator_gradients, metrics


def make_train_step(spec: TrainSpec, mesh: Mesh, shardings: TrainState, *, with_critics: bool) -> Step:
    """The jitted update ``(state, batch, vgg) -> (state, metrics)``; the state's buffers are donated.

    Args:
      spec: What is fixed during the run.
      mesh: Devices.
      shardings: Sharding of each array of the state.
      with_critics: False during the anatomy warm-up: neither discriminator nor VGG, which halves the cost.

    Metrics are replicated float32 scalars; gradients are means over the global batch, in equal parts of
    ``spec.accumulate`` micro-batches.
    """
    generator_tx, discriminator_tx = optimizers(spec)
    if not with_critics:
        spec = dataclasses.replace(spec, loss=dataclasses.replace(spec.loss, perceptual=0.0, adversarial=0.0))

    def step(state: TrainState, batch: Mapping[str, Array], vgg: VGG) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(state.rng, state.step)

        def micro(part: Mapping[str, Array], index: Array | int) -> Gradients:
            part_key = jax.random.fold_in(key, index)
            return _gradients(spec, state, part, vgg, part_key, with_critics=with_critics)

        generator_grads, discriminator_grads, metrics = _mean_over_parts(micro, batch, spec.accumulate, mesh)
        updates, generator_opt = generator_tx.update(generator_grads, state.generator_opt, state.generator)
        generator = optax.apply_updates(state.generator, updates)
        discriminator, discriminator_opt = state.discriminator, state.discriminator_opt
        if spec.loss.adversarial:
            updates, discriminator_opt = discriminator_tx.update(
                discriminator_grads, state.discriminator_opt, state.discriminator
            )
            discriminator = optax.apply_updates(state.discriminator, updates)
            metrics["gradient/discriminator"] = optax.tree.norm(discriminator_grads)
        # A young average follows closely, so that it never remembers the random start.
        decay = jnp.minimum(spec.ema, (1.0 + state.step) / (10.0 + state.step))
        ema = jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, state.ema, generator)
        metrics["gradient/generator"] = optax.tree.norm(generator_grads)
        return TrainState(
            step=state.step + 1,
            generator=generator,
            discriminator=discriminator,
            ema=ema,
            generator_opt=generator_opt,
            discriminator_opt=discriminator_opt,
            rng=state.rng,
        ), metrics

    return jax.jit(
        step,
        in_shardings=(shardings, batch_sharding(mesh), replicated(mesh)),
        out_shardings=(shardings, replicated(mesh)),
        donate_argnums=0,
    )


def _mean_over_parts(micro: Callable[..., Gradients], batch: Mapping[str, Array], parts: int, mesh: Mesh) -> Gradients:
    """The mean of ``micro(part, index)`` over equal parts of a batch, one after another."""
    if parts == 1:
        return micro(batch, 0)

    def body(total: Any, item: tuple[Any, Array]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, micro(*item)), None

    split = jax.tree.map(lambda x: _split(x, parts, mesh), dict(batch))
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(micro, batch, 0))
    summed, _ = jax.lax.scan(body, zero, (split, jnp.arange(parts)))
    return jax.tree.map(lambda x: x / parts, summed)


def _split(x: Array, parts: int, mesh: Mesh) -> Array:
    """``[N, ...] -> [parts, N / parts, ...]`` so that every micro-batch keeps its share on every device."""
    x = x.reshape((x.shape[0] // parts, parts, *x.shape[1:])).swapaxes(0, 1)
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec(None, AXES)))
