"""Hidden pixels of pictures that move by a known amount: what is followed must be what lies there."""

import cv2
import numpy as np
import pytest

from cfd2gray.translation.motion import REACH, Follower, sights

SHAPE = (180, 240)


def moving(frames, *, by=(1.3, -0.7), seed=0):
    """uint8 ``[T, H, W, 3]``: speckle that moves by ``by`` (x, y) px a frame."""
    rng = np.random.default_rng(seed)
    large = cv2.GaussianBlur(rng.normal(size=(SHAPE[0] + 120, SHAPE[1] + 120)).astype(np.float32), (0, 0), 2.0)
    large = np.clip(110 + 35 * large / large.std(), 0, 255)
    out = []
    for t in range(frames):
        shift = np.array([[1, 0, -60 + by[0] * t], [0, 1, -60 + by[1] * t]], np.float32)
        out.append(cv2.warpAffine(large, shift, SHAPE[::-1], flags=cv2.INTER_CUBIC))
    return np.repeat(np.rint(np.clip(out, 0, 255)).astype(np.uint8)[..., None], 3, axis=-1)


def hole(frames, *, opens=6):
    """uint8 ``[T, H, W]``: a disc that is hidden but in every ``opens``-th frame, and one that always is."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    mask = np.zeros((frames, *SHAPE), np.uint8)
    mask[:, (x - 60) ** 2 + (y - 90) ** 2 < 20**2] = 1
    mask[::opens] = 0
    mask[:, (x - 170) ** 2 + (y - 90) ** 2 < 14**2] = 1
    return mask


@pytest.mark.parametrize("by", [(0.6, -0.3), (1.3, -0.7)])
def test_what_was_hidden_is_found_where_it_has_moved_to(by):
    frames, hidden = moving(13, by=by), hole(13)
    truth = frames[..., 0].astype(float)
    covered = np.where(hidden[..., None] > 0, np.uint8(7), frames)
    found = sights(covered, hidden)
    for way, sight in zip((1, -1), found):
        assert ((sight.age > 0) <= (hidden > 0)).all() and sight.age.max() <= REACH
        opening = sight.age[..., :130]  # of the disc that is seen now and then
        assert (opening[1:6][hidden[1:6, :, :130] > 0] > 0).mean() > 0.9
        for age in (1, 2):
            seen = sight.age == age
            seen[..., 130:] = False
            still = np.roll(truth, way * age, axis=0)
            error, stood = (np.abs(value - truth)[seen].mean() for value in (sight.value, still))
            assert error < 0.8 * stood, (way, age, error, stood)


def test_a_result_depends_on_no_frame_beyond_its_reach_and_a_stream_finds_the_same_past():
    frames, hidden = moving(40), hole(40, opens=23)
    whole = sights(frames, hidden)
    part = slice(18, 22)
    cut = slice(part.start - REACH, part.stop + REACH)
    for a, b in zip(whole, sights(frames[cut], hidden[cut], only=slice(REACH, REACH + 4))):
        np.testing.assert_array_equal(a.value[part], b.value)
        np.testing.assert_array_equal(a.age[part], b.age)
    follower = Follower()
    for t in range(12):
        value, age = follower.push(frames[t, ..., 0], hidden[t])
        np.testing.assert_array_equal(age, whole[0].age[t])
        np.testing.assert_array_equal(value, whole[0].value[t])


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (260, 260)])
def test_any_size_and_all_hidden(shape):
    frames = np.full((3, *shape, 3), 90, np.uint8)
    for share in (0, 1):
        past, future = sights(frames, np.full(frames.shape[:3], share, np.uint8))
        assert not past.age.any() and not future.age.any() and past.value.shape == frames.shape[:3]
    half = np.zeros(frames.shape[:3], np.uint8)
    half[1] = 1
    past, future = sights(frames, half)
    assert (past.age[1] == 1).mean() > 0.9 and np.ptp(past.value[1][past.age[1] > 0]) <= 1
