"""Pairs on disk: TFRecord bytes, shards with index and manifest, patient splits, packing by one machine or by Apache Beam.

Enter with `records.pack.pack` and `records.tfrecord.ShardSource`. Never looks at what pixels mean."""
