"""The process that `cfd2gray.benchmarks.process.Worker` talks to: one JSON request a line, one JSON answer a line."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import IO, Any

Calls = dict[str, tuple[Callable[[], Any], int]]
"""Contenders by name, with the number of calls that each turn begins with and does not count."""


def answer(request: dict[str, Any], calls: Calls) -> dict[str, Any]:
    """``build`` a contender (twice called: once cold, once more so that nothing is left to warm up) or ``run`` it."""
    if request["do"] == "build":
        module, _, function = request["target"].partition(":")
        call, facts = getattr(importlib.import_module(module), function)(**request["options"])
        start = time.perf_counter()
        call()
        first = time.perf_counter() - start
        call()
        calls[request["name"]] = call, facts.get("skip", 0)
        return {"first_call_s": first, "facts": facts}
    (call, skip), times = calls[request["name"]], request["calls"]
    for _ in range(skip):
        call()
    start, used = time.perf_counter(), time.process_time()
    for _ in range(times):
        call()
    return {"seconds": (time.perf_counter() - start) / times, "cpu_seconds": (time.process_time() - used) / times}


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answer until ``requests`` ends. Whatever goes wrong in a contender is an answer too."""
    calls: Calls = {}
    for line in requests:
        request = json.loads(line)
        try:
            found = answer(request, calls)
        except Exception as error:  # another framework may fail in any way; the run goes on without it
            text = " ".join(str(error).split())[:300]
            found = {"error": f"{request['name']}: {type(error).__name__}: {text}"}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
