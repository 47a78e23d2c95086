"""Change between frames, and the regions that scores are taken over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from cfd2gray.metrics import STRATA, flicker_ratio, strata_masks, temporal_difference_error
from cfd2gray.metrics.strata import colour_fraction, dilate
from data_pipeline.schema import BOX, FLOW, OUTLINE, SECTOR


def flags(seed=0, shape=(2, 3, 40, 48)):
    rng = np.random.default_rng(seed)
    planes = np.full(shape, SECTOR, np.uint8)
    planes[..., :3, :] = 0
    planes[..., 8:32, 8:40] |= BOX
    flow = scipy.ndimage.gaussian_filter(rng.standard_normal(shape), (0, 0, 4, 4)) > 0
    inside = np.zeros(shape, bool)
    inside[..., 10:30, 10:38] = True
    planes[flow & inside] |= FLOW
    planes[..., 8, 8:40] |= OUTLINE
    return planes


def test_strata_equal_scipy_morphology():
    planes = flags()
    masks = dict(zip(STRATA, np.asarray(jax.jit(strata_masks)(planes))))
    flow, sector = planes & FLOW > 0, planes & SECTOR > 0
    for n in range(2):
        for t in range(3):
            square = np.ones((11, 11), bool)
            eroded = scipy.ndimage.binary_erosion(flow[n, t], square, border_value=1)
            grown = scipy.ndimage.binary_dilation(flow[n, t], np.ones((9, 9), bool))
            drawn = scipy.ndimage.binary_dilation(planes[n, t] & (FLOW | OUTLINE) > 0, np.ones((9, 9), bool))
            np.testing.assert_array_equal(masks["flow_eroded"][n, t], eroded)
            np.testing.assert_array_equal(masks["ring"][n, t], grown & ~flow[n, t] & sector[n, t])
            np.testing.assert_array_equal(masks["untouched"][n, t], sector[n, t] & ~drawn)
    np.testing.assert_array_equal(masks["box"], planes & BOX > 0)
    assert masks["frame"].all()
    assert not (masks["ring"] & masks["flow"]).any()
    assert not (masks["untouched"] & (masks["ring"] | masks["flow"])).any()


def test_dilation_stops_at_the_frame_and_does_not_wrap():
    mask = jnp.zeros((1, 6, 6), bool).at[0, 0, 0].set(True)
    assert np.asarray(dilate(mask, 2)).sum() == 9


def test_colour_fraction_is_of_the_sector_or_of_the_frame_without_one():
    planes = flags()
    expected = (planes & FLOW > 0).mean((1, 2, 3)) / (planes & SECTOR > 0).mean((1, 2, 3))
    np.testing.assert_allclose(colour_fraction(jnp.asarray(planes)), expected, rtol=1e-6)
    bare = planes & FLOW
    np.testing.assert_allclose(colour_fraction(jnp.asarray(bare)), (bare > 0).mean((1, 2, 3)), rtol=1e-6)


def test_flags_of_another_dtype_are_refused():
    with pytest.raises(ValueError, match="uint8 flags"):
        strata_masks(jnp.zeros((1, 2, 8, 8), jnp.int32))


def test_flicker_and_difference_error_equal_numpy_under_the_mask_of_either_frame():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 2, 5, 9, 11)).astype(np.float32)
    mask = rng.random(a.shape) < 0.2
    either = mask[:, 1:] | mask[:, :-1]
    da, db = np.diff(a, axis=1), np.diff(b, axis=1)
    expected = [np.abs(da[n][either[n]]).mean() / np.abs(db[n][either[n]]).mean() for n in range(2)]
    np.testing.assert_allclose(
        flicker_ratio(jnp.asarray(a), jnp.asarray(b), mask=jnp.asarray(mask)), expected, atol=1e-5
    )
    expected = [np.abs(da - db)[n][either[n]].mean() for n in range(2)]
    result = temporal_difference_error(jnp.asarray(a), jnp.asarray(b), mask=jnp.asarray(mask))
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_flicker_ignores_a_constant_offset_and_sees_frozen_and_doubled_motion():
    b = jnp.asarray(np.random.default_rng(2).random((1, 6, 8, 8)), jnp.float32)
    np.testing.assert_allclose(flicker_ratio(b + 0.2, b), 1, atol=1e-5)
    np.testing.assert_allclose(flicker_ratio(2 * b, b), 2, atol=1e-5)
    np.testing.assert_allclose(flicker_ratio(jnp.repeat(b[:, :1], 6, axis=1), b), 0, atol=1e-6)


def test_single_frames_and_still_truths_have_no_flicker():
    still = jnp.ones((1, 4, 8, 8), jnp.float32)
    assert np.isnan(flicker_ratio(still, still)).all()
    assert np.isnan(flicker_ratio(still[:, :1], still[:, :1])).all()
