import numpy as np
import pytest

from data_pipeline.simulation.kinematics import arterial_pulse, contraction, draw_kinematics


def drawn(seed=0, rhythm="sinus", frames=200, fps=50, heart_rate=(60, 60)):
    return draw_kinematics(np.random.default_rng(seed), frames=frames, fps=fps, heart_rate=heart_rate, rhythm=rhythm)


def test_contraction_over_a_beat():
    phase = np.linspace(0, 1, 1001)
    s = contraction(phase)
    assert (
        s[0] == 0 and s[360] == pytest.approx(1) and s[400] == pytest.approx(1) and s[-1] == pytest.approx(0, abs=1e-6)
    )
    assert s[620] == pytest.approx(0.28, abs=0.01)  # 72 % filled, the rest is the atrial kick
    assert np.abs(np.diff(s)).max() < 0.02
    assert contraction(phase, kick=0.0)[830] < s[830]
    pulse = arterial_pulse(phase)
    assert 0.1 < phase[np.argmax(pulse)] < 0.25 and abs(pulse[0] - pulse[-1]) < 0.03


def test_rhythm_is_that_of_the_heart_rate_with_beat_to_beat_variation():
    kin = drawn(frames=1000)
    onsets = kin.times[1:][np.diff(kin.phase) < -0.5]
    lengths = np.diff(onsets)
    assert lengths.mean() == pytest.approx(1.0, rel=0.05) and 0.005 < lengths.std() < 0.08
    assert kin.phase.min() >= 0 and kin.phase.max() < 1 and 0.01 < kin.beat.std() < 0.12
    irregular = drawn(frames=1000, rhythm="fibrillation")
    assert irregular.kick == 0 and np.diff(irregular.times[1:][np.diff(irregular.phase) < -0.5]).std() > 0.1


def test_rates_are_the_derivatives_of_the_drives():
    kin = drawn(fps=400, frames=400)
    for name in ("contraction", "respiration", "hand_x"):
        numeric = np.diff(kin.drives[name]) * 400
        assert np.corrcoef(numeric, kin.rates[name][:-1])[0, 1] > 0.95
    assert all(a.dtype == np.float32 for a in (*kin.drives.values(), *kin.rates.values(), kin.phase, kin.times))


@pytest.mark.parametrize(
    ("change", "word"),
    [({"frames": 0}, "frames"), ({"fps": 0}, "fps"), ({"fps": 1e4}, "fps"), ({"rhythm": "waltz"}, "rhythm")],
)
def test_bad_parameters_are_named(change, word):
    with pytest.raises(ValueError, match=word):
        drawn(**change)
