"""What devices send each other: reading it from a program's text, and what the training step really sends."""

import functools
import math

import jax
import pytest
from cfd2gray.launch.collectives import by_kind, find_collectives
from cfd2gray.launch.lowering import lower_train, run_state

from cfd2gray.mesh import make_mesh
from tests.cfd2gray.tiny import tiny_config

PROGRAM = """
%loop_body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %gather = f32[8,16]{1,0} all-gather(%x), channel_id=3, replica_groups=[2,4]<=[8], dimensions={0}
}
%loop_condition (p: (s32[], f32[8])) -> pred[] {
  ROOT %less = pred[] compare(%a, %b)
}
ENTRY %main (a: f32[8]) -> f32[8] {
  %w = (s32[], f32[8]) while(%t), condition=%loop_condition, body=%loop_body, backend_config={"known_trip_count":{"n":"5"}}
  %r = (bf16[3,3,64,64]{3,2,1,0:T(8,128)(2,1)S(1)}, f32[]{:T(128)}) all-reduce(%g), channel_id=1, replica_groups={{0,1,2,3}}
  %s = f32[16]{0} reduce-scatter(%g), channel_id=2, replica_groups=mesh['a'=4,'b'=2] {'b'}, dimensions={0}
  %p = (f32[4]{0}, f32[4]{0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%c), channel_id=4
  %d = f32[4]{0} collective-permute-done(%p)
  %n = f32[99]{0} all-reduce(%g), channel_id=5, replica_groups={{0},{1}}, to_apply=%add
}
"""


def test_collectives_are_counted_with_sizes_groups_and_loops():
    found = by_kind(find_collectives(PROGRAM, devices=8))
    reduce = 2 * 3 * 3 * 64 * 64 + 4
    assert found == {
        "all-reduce": {"calls": 1, "bytes": reduce, "sent": pytest.approx(reduce * 2 * 3 / 4)},
        "reduce-scatter": {"calls": 1, "bytes": 64, "sent": 64.0},
        "all-gather": {"calls": 5, "bytes": 5 * 512, "sent": pytest.approx(5 * 512 * 3 / 4)},
        "collective-permute": {"calls": 1, "bytes": 16, "sent": 16.0},
    }


@functools.cache
def _compiled(fsdp: int):
    # VGG as well: two halves of one batch once sent every image to another device.
    config = tiny_config("mesh.fsdp_min_size=64", f"mesh.fsdp={fsdp}", "loss.perceptual=0.1")
    mesh = make_mesh(data=-1, fsdp=fsdp, devices=jax.devices())
    _, state = run_state(config, mesh)
    return state, lower_train(config, mesh).compile()


@pytest.mark.parametrize("fsdp", [1, 4])
def test_only_gradients_and_split_parameters_travel(fsdp):
    state, compiled = _compiled(fsdp)
    collectives = find_collectives(compiled.as_text(), devices=8)
    players = jax.tree.leaves((state.generator, state.discriminator))
    # The compiler drops axes of length one and turns kernels around; never is it an image or a feature map.
    known = {tuple(sorted(n for n in x.shape if n > 1)) for x in players}
    known |= {tuple(sorted(n for n in x.sharding.shard_shape(x.shape) if n > 1)) for x in players}
    for item in collectives:
        assert item.kind in (("all-reduce",) if fsdp == 1 else ("all-reduce", "reduce-scatter", "all-gather")), item
        for _, shape in item.arrays:
            scalar = not shape or shape in ((1,), (8,))
            assert scalar or tuple(sorted(n for n in shape if n > 1)) in known, (item.kind, shape)
    parameters = sum(4 * x.size for x in players)
    reduced = sum(item.size for item in collectives if item.kind in ("all-reduce", "reduce-scatter"))
    assert 0.9 * parameters < reduced < 2 * parameters  # the discriminator's come from real and from fake clips
    gathered = sum(item.size for item in collectives if item.kind == "all-gather")
    assert gathered < 4 * parameters  # forward and backward


def test_nothing_large_is_whole_on_a_device_under_fsdp():
    state, compiled = _compiled(4)
    (shardings, *_), _ = compiled.input_shardings
    held, whole = 0, []
    for array, sharding in zip(jax.tree.leaves(state), jax.tree.leaves(shardings)):
        part = sharding.shard_shape(array.shape)
        held += math.prod(part)
        if part == array.shape:
            whole.append(array.size)
    assert max(whole) < 512
    assert held < 0.3 * sum(x.size for x in jax.tree.leaves(state))
