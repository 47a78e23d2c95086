"""A colour-flow clip to greyscale with NumPy and ONNX Runtime alone.

    cfd2gray export --onnx grey.onnx                    # once, on any machine with cfd2gray
    python onnx_numpy.py grey.onnx clip.npy grey.npy    # uint8 [T, H, W, 3] -> uint8 [T, H, W]

The sector should span about 256 px (`settings` in the graph's metadata); reduce larger frames first. The mask below takes
every coloured pixel; cfd2gray itself finds sector, box and outline first and spares coloured text and scales.
"""

import sys

import numpy as np
import onnxruntime as ort


def grown(mask, pixels):
    """The mask and everything at most ``pixels`` from it."""
    for axis in (1, 2):
        moved = [np.roll(mask, k, axis=axis) for k in range(-pixels, pixels + 1)]
        mask = np.maximum.reduce(moved)
    return mask


def main(graph, source, target):
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    radius = int(session.get_modelmeta().custom_metadata_map["radius"])

    frames = np.load(source)
    colourful = frames.max(axis=3).astype(int) - frames.min(axis=3) > 40
    hidden = grown(colourful, 2).astype(np.uint8)

    around = [(radius, radius), (0, 0), (0, 0)]  # the first and the last frame go on before and after the clip
    inputs = {
        "frames": np.pad(frames, [*around, (0, 0)], mode="edge"),
        "hidden": np.pad(hidden, around, mode="edge"),
    }
    grey, confidence = session.run(["grey", "confidence"], inputs)

    luma = frames @ np.array([0.299, 0.587, 0.114])
    result = np.where(hidden, 255.0 * grey, luma)  # what colour did not hide stays as it is
    np.save(target, np.rint(result).astype(np.uint8))
    print(f"{hidden.mean():.1%} of the pixels synthesised, mean confidence there {confidence[hidden > 0].mean():.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
