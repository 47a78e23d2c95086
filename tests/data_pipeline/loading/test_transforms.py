import dataclasses

import numpy as np
import pytest

from data_pipeline import schema
from data_pipeline.loading.transforms import (
    Augment,
    AugmentOptions,
    RandomClip,
    Sample,
    ToExample,
    grey_curve,
    held,
    whole_square,
    window,
)
from data_pipeline.screen.hidden import hidden_mask
from tests.data_pipeline.tiny_pairs import NO_AUGMENTATION, make_pair


def rng(seed=0):
    return np.random.default_rng(seed)


def counting(frames=9, height=16, width=16):
    """A pair whose pixels say which frame they are."""
    pair = make_pair(1, frames=frames, height=height, width=width)
    stamp = np.arange(frames, dtype=np.uint8)[:, None, None, None]
    return dataclasses.replace(
        pair, cfd=np.broadcast_to(stamp, pair.cfd.shape), grey=np.broadcast_to(stamp, pair.grey.shape)
    )


def test_crops_of_every_scale_are_equally_likely_on_a_logarithmic_axis():
    pair = make_pair(1, height=100, width=100)
    plain = RandomClip(3, dataclasses.replace(NO_AUGMENTATION, crop_probability=1.0, min_scale=0.2))
    sides = [plain.random_map(Sample(record=pair, index=0), rng(seed)).square[2] for seed in range(400)]
    assert min(sides) >= 20 and max(sides) <= 100
    assert np.median(sides) == pytest.approx(100 * np.sqrt(0.2), abs=6)


def test_smoothing_takes_speckle_from_both_sides_and_no_colour_into_tissue():
    noise = rng(3).integers(60, 120, (5, 32, 32, 1), dtype=np.uint8)
    strata = np.full((5, 32, 32), schema.SECTOR | schema.BOX, np.uint8)
    strata[:, 8:20, 8:20] |= schema.FLOW
    cfd = np.repeat(noise, 3, -1)
    cfd[:, 8:20, 8:20] = (255, 0, 0)
    pair = dataclasses.replace(make_pair(1, height=32, width=32), cfd=cfd, grey=noise, strata=strata)
    example = ToExample(5, 32).map(pair)
    options = dataclasses.replace(NO_AUGMENTATION, smooth_probability=1.0, max_smooth=1.5)
    out = Augment(options).random_map(example, rng(1))
    tissue = (strata & schema.FLOW) == 0
    assert (out["cfd"][~tissue] == (255, 0, 0)).all()
    assert np.ptp(out["cfd"][tissue], axis=-1).max() == 0
    assert out["grey"].std() < 0.8 * noise.std() and out["cfd"][tissue].std() < 0.8 * noise.std()
    far = np.zeros_like(tissue)
    far[:, 26:] = True  # out of reach of the paint both sides are smoothed alike
    assert np.abs(out["cfd"][far][:, :1].astype(int) - out["grey"][far]).max() <= 1


def test_example_has_the_keys_and_dtypes_of_the_contract():
    example = ToExample(4, 16).map(Sample(record=make_pair(1), index=7))
    assert tuple(example) == schema.BATCH_KEYS
    assert example["cfd"].shape == (4, 16, 16, 3) and example["grey"].shape == (4, 16, 16, 1)
    for name in ("strata", "hidden", "labels"):
        assert example[name].shape == (4, 16, 16)
    assert all(example[name].dtype == np.uint8 for name in ("cfd", "grey", "strata", "hidden", "labels", "shared"))
    assert all(example[name].dtype == np.int32 for name in ("view", "domain", "index"))
    assert schema.VIEWS[example["view"]] == "A4C" and schema.DOMAINS[example["domain"]] == "heart"
    assert (example["index"], example["mask"], example["shared"]) == (7, 1, 1)


def test_native_size_is_passed_through_untouched():
    pair = make_pair(2, height=16, width=16)
    example = ToExample(5, 16).map(pair)
    for name in ("cfd", "grey", "strata", "labels"):
        np.testing.assert_array_equal(example[name], getattr(pair, name))
    np.testing.assert_array_equal(example["hidden"], hidden_mask(pair.strata, pair.cfd))


@pytest.mark.parametrize(
    "n_frames, frames, expected",
    [(9, 3, [3, 4, 5]), (4, 4, [0, 1, 2, 3]), (3, 7, [0, 1, 2, 1, 0, 1, 2]), (2, 3, [0, 1, 0]), (1, 3, [0, 0, 0])],
)
def test_window_is_central_and_reflects(n_frames, frames, expected):
    assert np.arange(n_frames)[window(n_frames, frames)].tolist() == expected
    example = ToExample(frames, 16).map(counting(n_frames))
    assert example["grey"][:, 0, 0, 0].tolist() == expected


@pytest.mark.parametrize("height, width", [(12, 16), (16, 12), (7, 16), (16, 16)])
def test_padding_is_black_and_central(height, width):
    pair = make_pair(1, height=height, width=width)
    pair = dataclasses.replace(pair, grey=np.full_like(pair.grey, 200))
    y, x, side = whole_square(height, width)
    example = ToExample(5, side).map(pair)
    assert example["grey"][:, -y : height - y, -x : width - x].min() == 200
    assert example["grey"].sum(dtype=int) == pair.grey.sum(dtype=int)


def test_resize_averages_pictures_and_keeps_thin_masks():
    pair = make_pair(1, height=48, width=48)
    strata = np.full(pair.strata.shape, schema.SECTOR, np.uint8)
    strata[:, 10, :] |= schema.OUTLINE  # one pixel high: a third of a row after the reduction
    labels = np.repeat(np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16) % 10, 3, 1), 3, 2)
    pair = dataclasses.replace(pair, strata=strata, labels=np.broadcast_to(labels, strata.shape))
    example = ToExample(5, 16).map(pair)
    expected = pair.grey[0, ..., 0].reshape(16, 3, 16, 3).mean((1, 3))
    np.testing.assert_allclose(example["grey"][0, ..., 0], expected, atol=0.51)
    assert (example["strata"][:, 3] & schema.OUTLINE).all()
    assert (example["strata"] & schema.OUTLINE).astype(bool).sum() == 5 * 16
    np.testing.assert_array_equal(example["labels"][0], labels[0, 1::3, 1::3])
    assert (example["hidden"][:, 3] == 1).all() and set(np.unique(example["hidden"])) <= {0, 1}


def test_random_clip_draws_windows_strides_and_crops():
    options = AugmentOptions(crop_probability=1, min_scale=0.5, max_stride=3)
    starts, strides, sides = set(), set(), set()
    for seed in range(60):
        sample = RandomClip(3, options).random_map(Sample(record=counting(9), index=0), rng(seed))
        times = sample.record.grey[:, 0, 0, 0].astype(int)
        assert len(times) == 3 and (np.diff(times) == times[1] - times[0]).all()
        starts.add(int(times[0]))
        strides.add(int(times[1] - times[0]))
        y, x, side = sample.square
        assert 0 <= y <= 16 - side and 0 <= x <= 16 - side and 8 <= side <= 16
        sides.add(side)
    assert strides == {1, 2, 3} and 0 in starts and len(starts) > 4 and len(sides) > 4


@pytest.mark.parametrize("n_frames, times", [(1, [0] * 4), (3, [0, 1, 2, 1]), (4, [0, 1, 2, 3])])
def test_short_clips_survive_random_clip(n_frames, times):
    sample = RandomClip(4, AugmentOptions(max_stride=4)).random_map(Sample(record=counting(n_frames), index=0), rng())
    assert ToExample(4, 16).map(sample)["grey"][:, 8, 8, 0].tolist() == times


def test_flip_and_reversal_only_when_asked():
    pair = make_pair(1, frames=6, height=16, width=16)
    for seed in range(20):
        sample = RandomClip(6, NO_AUGMENTATION).random_map(Sample(record=pair, index=0), rng(seed))
        np.testing.assert_array_equal(sample.record.cfd, pair.cfd)
    options = dataclasses.replace(NO_AUGMENTATION, flip_probability=1, reverse_probability=1)
    sample = RandomClip(6, options).random_map(Sample(record=pair, index=0), rng())
    example = ToExample(6, 16).map(sample)
    for name in ("cfd", "grey", "strata", "labels"):
        np.testing.assert_array_equal(example[name], getattr(pair, name)[::-1, :, ::-1])


def test_crop_takes_the_same_pixels_of_everything():
    pair = counting(5)
    place = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    pair = dataclasses.replace(
        pair,
        cfd=np.broadcast_to(place[..., None], pair.cfd.shape),
        grey=np.broadcast_to(place[..., None], pair.grey.shape),
        labels=np.broadcast_to(place, pair.labels.shape),
    )
    sample = Sample(record=pair, index=0, square=(3, 5, 8))
    example = ToExample(5, 8).map(sample)
    np.testing.assert_array_equal(example["labels"][0], place[0, 3:11, 5:13])
    np.testing.assert_array_equal(example["cfd"][0, ..., 1], place[0, 3:11, 5:13])
    np.testing.assert_array_equal(example["grey"][0, ..., 0], place[0, 3:11, 5:13])


def test_grey_curve_acts_on_both_sides_but_not_on_paint():
    pair = make_pair(1, height=16, width=16)
    pair = dataclasses.replace(pair, cfd=np.repeat(pair.grey, 3, axis=-1))
    example = ToExample(5, 16).map(pair)
    options = AugmentOptions(gain=0.5, jpeg_probability=0, max_dilation=0)
    changed = Augment(options).random_map(example, rng(3))
    painted = (pair.strata & (schema.FLOW | schema.OUTLINE)) != 0
    assert not np.array_equal(changed["grey"], example["grey"])
    np.testing.assert_array_equal(changed["cfd"][painted], example["cfd"][painted])
    np.testing.assert_array_equal(changed["cfd"][~painted][:, 0], changed["grey"][~painted][:, 0])
    for name in ("strata", "labels", "hidden", "view", "mask"):
        np.testing.assert_array_equal(changed[name], example[name])


def test_curve_is_monotone_and_keeps_black():
    for seed in range(20):
        gain, gamma, contrast = 1 + rng(seed).uniform(-0.9, 0.9, 3)
        curve = grey_curve(gain=gain, gamma=gamma, contrast=contrast)
        assert curve[0] == 0 and (np.diff(curve.astype(int)) >= 0).all()
    np.testing.assert_array_equal(grey_curve(gain=1, gamma=1, contrast=1), np.arange(256))


def test_jpeg_touches_the_input_only_and_dilation_grows_hidden():
    example = ToExample(5, 16).map(make_pair(1, height=16, width=16))
    options = dataclasses.replace(NO_AUGMENTATION, jpeg_probability=1, jpeg_quality=(95, 95), max_dilation=3)
    grown = 0
    for seed in range(12):
        changed = Augment(options).random_map(example, rng(seed))
        assert not np.array_equal(changed["cfd"], example["cfd"])
        np.testing.assert_array_equal(changed["grey"], example["grey"])
        assert (changed["hidden"] >= example["hidden"]).all() and changed["hidden"].max() == 1
        grown += changed["hidden"].sum() > example["hidden"].sum()
    assert 0 < grown < 12
    smooth = dict(example, cfd=np.full_like(example["cfd"], 90) + np.uint8([10, 0, 60]))
    error = np.abs(Augment(options).random_map(smooth, rng())["cfd"].astype(int) - smooth["cfd"]).max()
    assert error <= 4  # channels stay in their order


def test_held_colour_stays_for_some_frames_and_hides_what_it_covers():
    example = ToExample(6, 16).map(make_pair(1, height=16, width=16, frames=6))
    hidden = np.zeros_like(example["hidden"])
    hidden[1, 4:8, 4:8] = 1
    example |= {"hidden": hidden, "strata": np.where(hidden, example["strata"] | schema.FLOW, schema.SECTOR)}
    changed = held(example, frames=2)
    np.testing.assert_array_equal(changed["hidden"].any(axis=(1, 2)), [False, True, True, True, False, False])
    for t in (2, 3):
        np.testing.assert_array_equal(changed["hidden"][t], hidden[1])
        np.testing.assert_array_equal(changed["cfd"][t, 4:8, 4:8], example["cfd"][1, 4:8, 4:8])
        np.testing.assert_array_equal((changed["strata"][t] & schema.FLOW) > 0, hidden[1])
    outside = changed["hidden"] == example["hidden"]
    np.testing.assert_array_equal(changed["cfd"][outside], example["cfd"][outside])
    np.testing.assert_array_equal(changed["grey"], example["grey"])
    always = Augment(dataclasses.replace(NO_AUGMENTATION, hold_probability=1.0, max_hold=6))
    assert any(always.random_map(example, rng(seed))["hidden"].sum() > hidden.sum() for seed in range(4))


def test_no_augmentation_is_the_identity():
    example = ToExample(5, 16).map(make_pair(1, height=16, width=16))
    changed = Augment(NO_AUGMENTATION).random_map(example, rng())
    for name in example:
        np.testing.assert_array_equal(changed[name], example[name])


def test_options_that_draw_nothing_do_not_move_other_draws():
    sample = Sample(record=counting(9), index=0)
    plain = RandomClip(3, NO_AUGMENTATION)
    cropped = RandomClip(3, dataclasses.replace(NO_AUGMENTATION, crop_probability=1.0, min_scale=0.5))
    for seed in range(10):
        a, b = plain.random_map(sample, rng(seed)), cropped.random_map(sample, rng(seed))
        np.testing.assert_array_equal(a.record.grey, b.record.grey)


@pytest.mark.parametrize(
    "option", [{"gain": -1}, {"min_scale": 0}, {"jpeg_quality": (90, 50)}, {"max_stride": 0}, {"flip_probability": 2}]
)
def test_bad_options_name_themselves(option):
    with pytest.raises(ValueError, match=next(iter(option)).split("[")[0]):
        AugmentOptions(**option)
    with pytest.raises(ValueError, match="frames"):
        ToExample(0, 16)


@pytest.mark.parametrize("size", [9, 20, 31, 64])
def test_any_ratio_of_sizes(size):
    pair = make_pair(1, height=20, width=31)
    example = ToExample(2, size).map(pair)
    assert example["cfd"].shape == (2, size, size, 3) and example["strata"].shape == (2, size, size)
    assert (example["strata"] & schema.BOX).any() and not (example["strata"] & 0xF0).any()
    sector = (example["strata"] & schema.SECTOR) != 0
    assert abs(sector.mean() - 20 / 31) < 0.15
