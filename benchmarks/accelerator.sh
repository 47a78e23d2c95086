#!/usr/bin/env bash
# The whole benchmark on an accelerator: float32 and bfloat16, 128 and 256 px, one page each under OUT (default: docs).
#
#   benchmarks/accelerator.sh [OUT]
#
# Needs the package with the extra `bench` and a JAX for the device (`pip install -U "jax[cuda13]"` or "jax[tpu]").
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-docs}
mkdir -p "$out"
for precision in float32 bfloat16; do
  for size in 128 256; do
    name="benchmarks_${precision}_${size}"
    cfd2gray bench all --config default --config.model.dtype="$precision" --size "$size" --frames 16 --batch 8 \
      --repeats 7 --seconds 1 --train-seconds 300 --json "$out/$name.json" --page "$out/$name.md"
  done
done
