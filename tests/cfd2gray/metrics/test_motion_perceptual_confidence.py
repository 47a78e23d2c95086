"""Motion, deep features, artefacts and confidence against constructions whose answer is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

from cfd2gray.metrics.artefacts import colour_residue, outline_residue, seam_score
from cfd2gray.metrics.confidence import LEVELS, confidence_counts, reliability, sparsification
from cfd2gray.metrics.motion import find_motion, follow, motion_residual
from cfd2gray.metrics.perceptual import LPIPS_LAYERS, PerceptualNet, deep_features, evenly, feature_distance, load_lpips
from cfd2gray.models.vgg import LAYERS, VGG, Preprocessing


def textured(seed, t=3, h=40, w=44):
    image = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).random((h, w)), 1.3)
    image = (image - image.min()) / np.ptp(image)
    return image.astype(np.float32), np.repeat(image[None, None].astype(np.float32), t, axis=1)


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (2, -1), (-3, 4), (3, 3)])
def test_block_matching_finds_whole_pixel_shifts(dy, dx):
    image, _ = textured(0)
    clip = jnp.asarray(np.stack([np.roll(image, (i * dy, i * dx), (0, 1)) for i in range(3)])[None])
    motion = np.asarray(find_motion(clip))[..., 8:-8, 8:-8]
    assert (motion[0] == -dy).mean() > 0.97
    assert (motion[1] == -dx).mean() > 0.97


def test_following_the_motion_leaves_no_residual_and_noise_leaves_its_own():
    image, _ = textured(1)
    clip = np.stack([np.roll(image, (i, 2 * i), (0, 1)) for i in range(4)])[None]
    inner = np.zeros(clip.shape, bool)
    inner[..., 10:-10, 10:-10] = True
    motion = find_motion(jnp.asarray(clip))
    assert float(motion_residual(jnp.asarray(clip), motion, mask=jnp.asarray(inner))[0]) < 0.002
    noisy = clip + 0.05 * np.random.default_rng(0).standard_normal(clip.shape).astype(np.float32)
    motion = find_motion(jnp.asarray(noisy))
    frozen = jnp.asarray(np.repeat(clip[:, :1], 4, axis=1))
    of_frozen, own = (motion_residual(x, motion, mask=jnp.asarray(inner)) for x in (frozen, jnp.asarray(noisy)))
    assert of_frozen > 1.2 * own


def test_following_stops_at_the_edge():
    clip = jnp.arange(12.0).reshape(1, 1, 3, 4)
    moved = follow(clip, jnp.full((2, 1, 1, 3, 4), 10, jnp.int32))
    assert (np.asarray(moved) == 11).all()


def small_vgg(last="conv3_3"):
    rng = np.random.default_rng(0)
    names = [name for name, _, _ in LAYERS]
    kept = LAYERS[: names.index(last) + 1]
    return VGG(
        kernels={
            n: jnp.asarray(rng.standard_normal((3, 3, i, o)) * np.sqrt(2 / (9 * i)), jnp.float32) for n, i, o in kept
        },
        biases={n: jnp.zeros(o) for n, _, o in kept},
        preprocessing=Preprocessing(order="RGB", scale=1.0, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
    )


@functools.partial(jax.jit, static_argnames="frames")
def perceptual_distance(net, a, b, *, mask=None, frames=1):
    return feature_distance(net, deep_features(net, a, frames=frames), deep_features(net, b, frames=frames), mask=mask)


def test_feature_distance_is_zero_for_equals_grows_with_damage_and_is_local():
    net = PerceptualNet(vgg=small_vgg())
    _, clip = textured(2, t=2, h=32, w=32)
    rng = np.random.default_rng(0)
    little, much = (jnp.asarray(clip + s * rng.standard_normal(clip.shape).astype(np.float32)) for s in (0.05, 0.3))
    b = jnp.asarray(clip)
    same, near, far = (float(perceptual_distance(net, a, b, frames=2)[0]) for a in (b, little, much))
    assert same == 0
    assert 0 < near < far
    left = np.zeros((2, *clip.shape), bool)
    left[0, ..., :16], left[1, ..., 16:] = True, True
    damaged = np.where(left[0], much, b)
    inside, outside = np.asarray(perceptual_distance(net, jnp.asarray(damaged), b, mask=jnp.asarray(left)))[:, 0]
    assert inside > 3 * outside
    none = perceptual_distance(net, b, b, mask=jnp.zeros((1, *clip.shape), bool))
    assert np.isnan(none).all()


def test_lpips_with_even_weights_is_the_scaled_plain_distance():
    vgg = small_vgg()
    plain = PerceptualNet(vgg=vgg)
    even = {name: jnp.full(c, 1 / c) for name, c in (("relu1_2", 64), ("relu2_2", 128), ("relu3_3", 256))}
    _, clip = textured(3, t=1, h=16, w=16)
    a, b = jnp.asarray(clip), jnp.asarray(clip[..., ::-1])
    weighted = perceptual_distance(PerceptualNet(vgg=vgg, linear=even), a, b)
    np.testing.assert_allclose(weighted, 3 * perceptual_distance(plain, a, b), rtol=1e-5)


def test_lpips_weights_are_checked_tensor_by_tensor(tmp_path):
    np.savez(tmp_path / "lin.npz", **{"lin0.model.1.weight": np.ones((1, 64, 1, 1)), "lin1.model.1.weight": np.ones(5)})
    with pytest.raises(ValueError, match=r"lin1 has 5 values.*lin2 is missing.*no relu5_3"):
        load_lpips(tmp_path / "lin.npz", small_vgg())
    with pytest.raises(ValueError, match="no such file"):
        load_lpips(tmp_path / "other.npz", small_vgg())
    assert len(LPIPS_LAYERS) == 5


def test_frames_are_spread_evenly():
    np.testing.assert_array_equal(evenly(16, 1), [8])
    np.testing.assert_array_equal(evenly(16, 4), [2, 6, 10, 14])
    np.testing.assert_array_equal(evenly(2, 9), [0, 1])


def test_seam_shows_a_brightness_step_and_ignores_inner_change():
    rng = np.random.default_rng(0)
    b = rng.random((1, 2, 24, 24)).astype(np.float32)
    replaced = np.zeros(b.shape, bool)
    replaced[..., 8:16, 8:16] = True
    step = np.where(replaced, b + 2, b)
    assert float(seam_score(jnp.asarray(b), jnp.asarray(b), replaced=jnp.asarray(replaced))[0]) == pytest.approx(1)
    assert float(seam_score(jnp.asarray(step), jnp.asarray(b), replaced=jnp.asarray(replaced))[0]) > 3
    middle = b.copy()
    middle[..., 10:14, 10:14] = 0
    assert float(seam_score(jnp.asarray(middle), jnp.asarray(b), replaced=jnp.asarray(replaced))[0]) == pytest.approx(1)


def test_outline_residue_is_the_brightness_left_on_the_line_only():
    b = np.full((1, 1, 20, 20), 0.4, np.float32)
    outline = np.zeros(b.shape, bool)
    outline[..., 5, 3:17] = True
    ghost = np.where(outline, 0.55, 0.4).astype(np.float32)
    found = outline_residue(jnp.asarray(ghost), jnp.asarray(b), outline=jnp.asarray(outline))
    np.testing.assert_allclose(found, 0.15, atol=1e-6)
    brighter = outline_residue(jnp.asarray(b + 0.1), jnp.asarray(b), outline=jnp.asarray(outline))
    np.testing.assert_allclose(brighter, 0, atol=1e-6)


def test_colour_residue_equals_pearson():
    rng = np.random.default_rng(0)
    a, b, luma = rng.random((3, 1, 2, 12, 12)).astype(np.float32)
    mask = rng.random(a.shape) < 0.5
    expected = scipy.stats.pearsonr((a - b)[mask], luma[mask])[0]
    found = colour_residue(jnp.asarray(a), jnp.asarray(b), luma=jnp.asarray(luma), mask=jnp.asarray(mask))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def trust(claim, seed=0, n=200_000):
    """Counts of Laplace errors whose scale varies, under ``claim(scale)`` as confidence; tolerance 0.1."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.02, 0.2, n)
    error = rng.laplace(0, scale).clip(-1, 1)
    shape = (1, 1, 400, n // 400)
    b = np.zeros(shape, np.float32)
    counts = confidence_counts(
        jnp.asarray(claim(scale).reshape(shape), jnp.float32),
        jnp.asarray(error.reshape(shape), jnp.float32),
        jnp.asarray(b),
        mask=jnp.ones(shape, bool),
        tolerance=0.1,
    )
    return {k: np.asarray(v)[0].astype(float) for k, v in counts.items()}, np.abs(error), scale


def test_a_true_confidence_is_found_reliable_and_a_boastful_one_is_not():
    honest, _, _ = trust(lambda s: 1 - np.exp(-0.1 / s))
    assert reliability(honest)["ece"] < 0.01
    boastful, _, _ = trust(lambda s: np.full_like(s, 0.97))
    assert reliability(boastful)["ece"] > 0.2
    assert sum(reliability(honest)["share"]) == pytest.approx(1)


def test_sparsification_equals_sorting_and_orders_good_before_useless():
    counts, error, scale = trust(lambda s: 1 - np.exp(-0.1 / s))
    found = sparsification(counts)
    order = np.argsort(scale)
    half = np.searchsorted(found["removed"], 0.475)
    keep = int(len(error) * (1 - found["removed"][half]))
    assert found["error"][half] == pytest.approx(error[order][:keep].mean(), rel=0.03)
    assert found["oracle"][half] == pytest.approx(np.sort(error)[:keep].mean(), rel=0.05)
    assert found["error"][0] == pytest.approx(error.mean(), rel=1e-4)
    rng = np.random.default_rng(1)
    useless = sparsification(trust(lambda s: rng.random(s.size))[0])["ause"]
    inverse = sparsification(trust(lambda s: s / 0.25)[0])["ause"]
    assert found["ause"] < 0.7 < useless < 1.1 < inverse


def test_counts_keep_to_the_mask():
    shape = (2, 1, 8, 8)
    mask = np.zeros(shape, bool)
    mask[0, 0, :4] = True
    counts = confidence_counts(
        jnp.full(shape, 0.5), jnp.zeros(shape), jnp.zeros(shape), mask=jnp.asarray(mask), tolerance=0.1
    )
    np.testing.assert_array_equal(np.asarray(counts["pixels"]).sum(axis=1), [32, 0])
    assert counts["pixels"].shape == (2, LEVELS)
