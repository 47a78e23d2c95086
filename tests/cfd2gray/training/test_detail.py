"""Teaching DetailNet: what is right in other frames must come to be believed, what is wrong must not."""

import cv2
import jax
import numpy as np
import pytest

from cfd2gray.models.detail import apply
from cfd2gray.training import detail
from cfd2gray.translation.detail import planes_of
from cfd2gray.translation.translator import Translator
from cfd2gray.weights.pretrained import load_pretrained


def clip(seed, *, right):
    """Noise hidden in the middle, smooth in the result; other frames show it, or other noise."""
    rng = np.random.default_rng(seed)
    noise = [
        np.clip(110 + 60 * cv2.GaussianBlur(rng.normal(size=(72, 80)).astype(np.float32), (0, 0), 1.5) / 0.19, 0, 255)
        for _ in range(2)
    ]
    truth, other = (plane.astype(np.uint8)[None] for plane in noise)
    hidden = np.zeros_like(truth)
    hidden[:, 20:50, 20:60] = 1
    made = np.where(hidden > 0, np.uint8(110), truth)
    seen = truth if right else other
    return {
        "truth": truth, "made": made, "hidden": hidden, "past": seen, "past_age": hidden, "future": seen,
        "future_age": hidden,
    }  # fmt: skip


@pytest.mark.parametrize("right", [True, False])
def test_belief_follows_what_is_right(right):
    told = []
    params = detail.train(
        [clip(k, right=right) for k in range(3)], steps=100, rate=4e-3, tell=lambda *x: told.append(x)
    )
    new = clip(9, right=right)
    sides = ((new[name].astype(np.float32), new[f"{name}_age"].astype(np.float32)) for name in ("past", "future"))
    planes, _ = planes_of(new["made"].astype(np.float32), new["hidden"], *sides, xp=np)
    belief = float(np.asarray(jax.jit(apply)(params, planes)[0])[new["hidden"] > 0].mean())
    assert belief > 0.5 if right else belief < 0.15, belief
    assert [step for step, _ in told] == [100]


def test_clips_are_kept_and_not_made_again(tmp_path, monkeypatch):
    translator = Translator(load_pretrained(), texture=0.0, detail=False)
    monkeypatch.setattr(detail, "SIZES", (112,))
    first = list(detail.example_clips(translator, tmp_path, 2))
    assert first and {plane.dtype for plane in first[0].values()} == {np.dtype(np.uint8)}
    seen = first[0]["past_age"] > 0
    assert seen.any() and not (seen & (first[0]["hidden"] == 0)).any()
    monkeypatch.setattr(detail, "example_clip", lambda *_: pytest.fail("made again"))
    for a, b in zip(first, detail.example_clips(translator, tmp_path, 2), strict=True):
        np.testing.assert_array_equal(a["past"], b["past"])
