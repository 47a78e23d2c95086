"""SSIM of 256 frames of 256 x 256: ours against scikit-image's loop and tf.image.ssim, paired and alternated.

    python tests/benchmarks/bench_ssim.py [--rounds 5] [--json FILE]

Goal: at least 3 times as fast as each. Every round times all contenders one after the other, in turning order, and gives
one ratio per contender; the median of the ratios and their range are printed, so that a machine that slows down for a
while slows all of them down alike. Agreement is checked before anything is timed. scikit-image is called with the
conventions of Wang et al. (Gaussian 11 x 11, sigma 1.5, population covariance, explicit data range); its defaults differ.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import skimage  # noqa: E402
import skimage.metrics  # noqa: E402

from cfd2gray.metrics import ssim  # noqa: E402

FRAMES, SIDE, CROP = 256, 256, 5


def frames(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Speckle-like frames and a noisy copy: float32 ``[256, 256, 256]`` in [0, 1]."""
    rng = np.random.default_rng(seed)
    a = np.stack([cv2.GaussianBlur(rng.random((SIDE, SIDE), np.float32), (0, 0), 1.2) for _ in range(FRAMES)])
    a = np.clip(0.3 + 1.5 * (a - 0.5), 0, 1)
    return a, np.clip(a + 0.08 * rng.standard_normal(a.shape, np.float32), 0, 1)


def contenders(a: np.ndarray, b: np.ndarray) -> dict:
    """Name -> function without arguments that returns the SSIM of every frame."""
    x, y = (jax.device_put(frames[None]) for frames in (a, b))
    inner = np.zeros((1, FRAMES, SIDE, SIDE), bool)
    inner[..., CROP:-CROP, CROP:-CROP] = True
    mask = jax.device_put(inner)
    ours = jax.jit(lambda x, y, m: ssim(x, y, data_range=1.0, mask=m))

    def loop() -> float:
        return float(
            np.mean(
                [
                    skimage.metrics.structural_similarity(
                        p, t, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
                    )
                    for p, t in zip(a, b)
                ]
            )
        )

    found = {"ours": lambda: float(ours(x, y, mask)[0]), "scikit-image loop": loop}
    try:
        import tensorflow as tf
    except ImportError:
        return found
    p, t = (tf.constant(frames[..., None]) for frames in (a, b))
    graph = tf.function(lambda p, t: tf.reduce_mean(tf.image.ssim(p, t, max_val=1.0)))
    return found | {"tf.image.ssim": lambda: float(graph(p, t))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="write the numbers here")
    options = parser.parse_args()
    runs = contenders(*frames())
    scores = {name: run() for name, run in runs.items()}  # warms up, too
    for name, score in scores.items():
        if abs(score - scores["ours"]) > 1e-5:
            raise SystemExit(f"{name} disagrees: {score:.7f} against {scores['ours']:.7f}")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for number in range(options.rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            runs[name]()
            seconds[name].append(time.perf_counter() - start)
    out = {"frames": FRAMES, "side": SIDE, "rounds": options.rounds, "load": os.getloadavg()[0], "contenders": {}}
    out["versions"] = {"jax": jax.__version__, "scikit-image": skimage.__version__, "numpy": np.__version__}
    for name, times in seconds.items():
        ratios = [t / own for t, own in zip(times, seconds["ours"])]
        facts = {
            "median_s": statistics.median(times),
            "ssim": scores[name],
            "ours_is_faster_by": statistics.median(ratios),
        }
        out["contenders"][name] = facts | {"range": [min(ratios), max(ratios)]}
        print(
            f"{name:18s} {1000 * facts['median_s']:7.0f} ms   ours is {facts['ours_is_faster_by']:5.2f}x as fast "
            f"({min(ratios):.2f}-{max(ratios):.2f})   SSIM {scores[name]:.7f}"
        )
    if options.json:
        with open(options.json, "w") as file:
            json.dump(out, file, indent=2)


if __name__ == "__main__":
    main()
