import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cfd2gray.runtimes.windows import lanes_for, run_windows
from cfd2gray.translation.composite import blend_weights, composite
from cfd2gray.translation.view import View
from cfd2gray.weights.pretrained import load_pretrained

RADIUS = 3


def blur_in_time(x):
    """A filter that reaches exactly ``RADIUS`` frames; what happens beyond the window must not matter."""
    return ndimage.uniform_filter1d(x, 2 * RADIUS + 1, axis=1, mode="constant")


@pytest.mark.parametrize("frames", [1, 2, 5, 8, 9, 31])
@pytest.mark.parametrize("window", [1, 4, 32])
@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("share", [None, 0.0, 0.2, 0.9])
def test_windows_give_what_the_whole_clip_gives(frames, window, lanes, share):
    rng = np.random.default_rng(0)
    clip = rng.random((frames, 4)).astype(np.float32)
    wanted = None if share is None else rng.random(frames) < share
    begun, computed = [], np.zeros(frames, bool)

    def start(x):
        assert len(x) == lanes and x.shape[1] == window + 2 * RADIUS
        begun.append(x)
        return lambda: (blur_in_time(x),)

    expected = ndimage.uniform_filter1d(np.pad(clip, ((RADIUS, RADIUS), (0, 0)), "edge"), 2 * RADIUS + 1, axis=0)
    options = {"window": window, "radius": RADIUS, "lanes": lanes, "wanted": wanted}
    for part, (result,) in run_windows(start, (clip,), **options):
        assert not computed[part].any()
        computed[part] = True
        np.testing.assert_allclose(result, expected[RADIUS:-RADIUS][part], rtol=1e-5)
    assert computed.all() if wanted is None else computed[wanted].all()
    if wanted is not None:
        assert len(begun) <= -(-wanted.sum() // lanes)  # each window has a frame that is wanted


def test_the_next_window_is_begun_before_the_results_of_the_last_are_asked_for():
    order = []

    def start(x):
        order.append("begun")
        return lambda: (order.append("asked"), (x,))[1]

    for _ in run_windows(start, (np.zeros((6, 1)),), window=2, radius=0):
        order.append("used")
    assert order == ["begun", "begun", "asked", "used", "begun", "asked", "used", "asked", "used"]


def test_blend_weights_agree_with_distances_and_between_libraries():
    hidden = np.zeros((2, 20, 30), np.uint8)
    hidden[0, 8:12, 10:20] = 1
    box = np.zeros_like(hidden)
    box[:, 4:18, 5:25] = 1
    weights = blend_weights(hidden, box, feather=2)
    distance = ndimage.distance_transform_cdt(1 - hidden[0], metric="chessboard")
    expected = np.where(box[0] > 0, np.clip(1 - distance / 3, 0, 1), 0)
    np.testing.assert_allclose(weights[0], expected, atol=1e-6)
    assert not weights[1].any()
    np.testing.assert_array_equal(blend_weights(jnp.asarray(hidden), jnp.asarray(box), feather=2), weights)


def test_untouched_pixels_are_passed_bit_for_bit():
    rng = np.random.default_rng(0)
    image, other = rng.random((2, 8, 8)).astype(np.float32)
    weights = (rng.random((8, 8)) < 0.5).astype(np.float32)
    merged = composite(image, other, weights)
    np.testing.assert_array_equal(merged[weights == 0], image[weights == 0])
    np.testing.assert_allclose(merged[weights == 1], other[weights == 1], atol=1e-6)


def test_short_clips_are_not_divided_among_more_devices_than_pay():
    assert [lanes_for(frames, 4) for frames in (1, 7, 8, 16, 32, 1000)] == [1, 1, 1, 2, 4, 4]
    assert lanes_for(1000, 1) == 1


@pytest.mark.parametrize("size, wanted", [(112, (112, 112)), (120, (128, 128)), (200, (160, 128))])
def test_areas_are_rounded_up_within_the_frame(size, wanted):
    touched = np.zeros((size, size), bool)
    touched[24 : min(120, size - 24), 24 : min(100, size - 24)] = True  # 24 px of context around it
    view = View.around(touched, np.ones_like(touched), load_pretrained())
    assert (view.height, view.width) == wanted
