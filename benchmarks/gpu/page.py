"""The page of `gpu_check`: what held, what it cost, where the time went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TITLE = "# On a GPU"
WORDS = {True: "yes", False: "**no**", None: "not run"}


def page(found: Mapping[str, Mapping[str, Any]], checks: Mapping[str, bool | None]) -> str:
    """Markdown of results by stage (`gpu_check.run`) and of what must hold (`gpu_check.check`)."""
    lines = [TITLE, "", f"Made by `python -m benchmarks.gpu_check` on {_device(found)}.", ""]
    lines += _table(["what must hold", "does it?"], [[what, WORDS[good]] for what, good in checks.items()])
    rows, kernels = [], []
    for name, result in found.items():
        for part in ("update", "warm-up", "generator"):
            if part in result:
                speed = result[part]
                rows.append(
                    [
                        name.removeprefix("speed_").replace("_", ", "),
                        part,
                        f"{speed['ms']:.1f}",
                        f"{speed['per_s']:.1f}",
                    ]
                    + [f"{speed['tflops']:.2f}", f"{speed['of_peak']:.0%}", f"{speed['compile_s']:.0f}"]
                )
                for kernel, share in speed.get("kernels", {}).items():
                    kernels.append([name.removeprefix("speed_"), part, f"`{kernel}`", f"{share:.1%}"])
    if rows:
        about = "Shares are of the peak that a large matrix product reached on the same device in the same minute."
        header = ["precision, px", "what", "ms", "clips/s, frames/s", "TFLOP/s", "of peak", "compiling, s"]
        lines += ["", "## Speed", "", about, "", *_table(header, rows)]
    if kernels:
        lines += ["", "## Slowest kernels", "", *_table(["precision, px", "what", "kernel", "of device time"], kernels)]
    if told := _sentences(found):
        lines += ["", "## Commands", "", *(f"- {sentence}" for sentence in told)]
    failed = [
        f"- `{name}`: {' '.join(result['error'].split())[-200:]}" for name, result in found.items() if "error" in result
    ]
    if failed:
        lines += ["", "## What did not run", "", *failed]
    return "\n".join(lines) + "\n"


def _device(found: Mapping[str, Mapping[str, Any]]) -> str:
    return next(
        (str(result["device"]) for result in found.values() if "device" in result), "a device that was not told"
    )


def _sentences(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    told = []
    if "frames_per_s" in (shown := found.get("shown", {})):
        on_cpu = found.get("shown_cpu", {}).get("frames_per_s", float("nan"))
        told.append(
            f"Translator, array to array: {shown['frames_per_s']:.0f} frames/s (CPU of that machine: {on_cpu:.0f})"
        )
        told.append(f"stream: a frame in {shown['push_ms_p50']:.1f} ms (median), {shown['push_ms_p95']:.1f} ms (95 %)")
    if "stopped_with" in (whole := found.get("whole", {})):
        speed, wait = whole["clips_per_s"] or 0, whole["data_wait_percent"] or 0
        told.append(f"`train` with readers: {speed:.1f} clips/s, {wait:.0f} % of the time spent waiting for data")
        told.append(f"processes that held the GPU's memory: {whole['gpu_processes'] or 'not told'}")
    for name, words in (("again", "as they are"), ("again_deterministic", "told to be deterministic")):
        if "equal" in found.get(name, {}):
            word = "equal" if found[name]["equal"] else "not equal"
            told.append(f"five updates twice, XLA's flags {words}: {word} bit for bit")
    return told


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
