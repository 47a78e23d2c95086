"""The same records through tf.data, in the order of the files."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from cfd2gray.benchmarks.reading import BATCH, SKIP

from data_pipeline.records import example as records


def by_tf_data(*, folder: str, threads: int) -> tuple[Callable[[], Any], dict[str, Any]]:
    """Batches of parsed raw clips as NumPy arrays."""
    tf.config.set_visible_devices([], "GPU")
    fields = {}
    for name in records.ARRAYS:
        fields[f"{name}/value"] = tf.io.FixedLenFeature([], tf.string)
        fields[f"{name}/shape"] = tf.io.FixedLenFeature([4 if name in ("cfd", "grey") else 3], tf.int64)

    def parse(data: tf.Tensor) -> dict[str, tf.Tensor]:
        row = tf.io.parse_single_example(data, fields)
        return {
            name: tf.reshape(tf.io.decode_raw(row[f"{name}/value"], tf.uint8), row[f"{name}/shape"])
            for name in records.ARRAYS
        }

    files = sorted(str(path) for path in pathlib.Path(folder).glob("*.tfrecord-?????"))
    dataset = tf.data.TFRecordDataset(files).repeat().map(parse, num_parallel_calls=threads, deterministic=True)
    iterator = dataset.batch(BATCH, drop_remainder=True).prefetch(2).as_numpy_iterator()
    return lambda: next(iterator), {"units": BATCH, "skip": SKIP}
