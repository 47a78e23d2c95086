"""A user's own downstream model: a Python callable, or an ONNX file.

A callable takes uint8 clips ``[N, T, H, W]`` and returns class scores ``[N, classes]`` or label maps
``[N, T, H, W]``. An ONNX model may work on clips or on frames; its input's layout is read from its declared shape.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cfd2gray.evaluation.tasks.downstream import Model


def load_model(name: str) -> Model:
    """``package.module:function`` or ``file.onnx`` -> a `downstream.Model`.

    Raises:
      ValueError: neither of the two, not found, or not callable.
    """
    if name.endswith(".onnx"):
        return OnnxModel(name)
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(f"a model is given as package.module:function or as a file.onnx, got {name!r}")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name}: cannot be imported ({error}); is its folder on PYTHONPATH?") from error
    if not callable(found):
        raise ValueError(f"{name}: is a {type(found).__name__}, not something that can be called with clips")
    return found


class OnnxModel:
    """An ONNX classifier or segmenter with one input.

    Accepted input shapes (batch and time may be free, 1 or 3 channels, height and width fixed or free): frames
    ``[B, C, H, W]`` or ``[B, H, W, C]``; clips ``[N, T, H, W, C]``, ``[N, T, C, H, W]`` or ``[N, C, T, H, W]``. Values are
    float32 in [0, 1]. Outputs ``[*, classes]`` are class scores (averaged over frames); outputs with as many axes as the
    input are label scores, of which the largest is taken. Runs on ONNX Runtime where it is installed, else on ONNX's own
    reference implementation, which is slow.
    """

    def __init__(self, path: str):
        if not Path(path).is_file():
            raise ValueError(f"{path}: no such file; give an ONNX model")
        try:
            import onnx
        except ImportError as error:
            raise ValueError(f"{path}: reading ONNX needs the package onnx; pip install cfd2gray[onnx]") from error
        try:
            model = onnx.load(path)
            onnx.checker.check_model(model)
        except Exception as error:  # onnx raises its own types, protobuf's and ValueError
            raise ValueError(f"{path}: not a valid ONNX model ({str(error).splitlines()[0]})") from error
        initial = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in initial]
        if len(inputs) != 1:
            raise ValueError(f"{path}: the model must have one input, got {[value.name for value in inputs]}")
        self._path, self._input = path, inputs[0].name
        shape = [d.dim_value or None for d in inputs[0].type.tensor_type.shape.dim]
        self._axes = _layout(path, shape)
        self._size = {axis: shape[i] for i, axis in enumerate(self._axes)}
        self._run = _runner(path, model, self._input)

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        """uint8 ``[N, T, H, W]`` -> class scores ``[N, classes]`` or uint8 label maps ``[N, T, H, W]``."""
        return np.stack([self._clip(clip) for clip in clips])

    def _clip(self, clip: np.ndarray) -> np.ndarray:
        frames = clip
        if self._size["H"] and self._size["W"]:
            size = (self._size["W"], self._size["H"])
            frames = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in clip])
        if self._size.get("T"):
            frames = frames[((np.arange(self._size["T"]) + 0.5) * len(frames) / self._size["T"]).astype(int)]
        x = np.repeat(frames[..., None].astype(np.float32) / 255, self._size["C"], axis=-1)  # [T, H, W, C]
        clipwise = "T" in self._axes
        source = "NTHWC" if clipwise else "NHWC"
        x = x[None] if clipwise else x
        x = x.transpose([source.index(axis) for axis in self._axes])
        if not clipwise and self._size["N"] == 1:
            out = np.concatenate([self._run(frame[None]) for frame in x])
        else:
            out = self._run(x)
        if out.ndim == 2:
            return out.mean(axis=0)
        if out.ndim != len(self._axes):
            raise ValueError(f"{self._path}: output of shape {list(out.shape)} is neither class scores nor a label map")
        labels = np.argmax(out, axis=self._axes.index("C")).astype(np.uint8)
        rest = [axis for axis in self._axes if axis != "C"]
        return labels.transpose([rest.index(axis) for axis in ("NTHW" if clipwise else "NHW")])[0 if clipwise else ...]


def _layout(path: str, shape: list[int | None]) -> str:
    layouts = {4: ("NCHW", "NHWC"), 5: ("NTHWC", "NTCHW", "NCTHW")}.get(len(shape), ())
    found = [layout for layout in layouts if shape[layout.index("C")] in (1, 3)]
    if not found:
        raise ValueError(
            f"{path}: an input of shape {shape} is not understood; wanted frames [B, C, H, W] or [B, H, W, C] or clips "
            "[N, T, H, W, C], [N, T, C, H, W] or [N, C, T, H, W], with C = 1 or 3"
        )
    return found[0]


def _runner(path: str, model: Any, name: str) -> Callable[[np.ndarray], np.ndarray]:
    def guarded(run: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        def call(x: np.ndarray) -> np.ndarray:
            try:
                return run(x)
            except Exception as error:  # each runtime has its own types
                raise ValueError(f"{path}: failed on an input of shape {list(x.shape)}: {error}") from error

        return call

    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        evaluator = ReferenceEvaluator(model)
        return guarded(lambda x: np.asarray(evaluator.run(None, {name: x})[0]))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return guarded(lambda x: np.asarray(session.run(None, {name: x})[0]))
