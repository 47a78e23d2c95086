"""Simulated readers: answer files as the page would make them, from readers of known skill.

They test the scoring and let one rehearse a study before asking people for their time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from cfd2gray.evaluation.reader_study.build import ANSWER_FORMAT
from cfd2gray.evaluation.reader_study.score import sign


def simulate_reader(
    key: Mapping[str, Any], *, name: str, skill: float, seed: int = 0, bias: float = 0.0
) -> dict[str, Any]:
    """The answer file of one reader.

    Args:
      key: of the study.
      name: the reader's.
      skill: distance, in standard deviations, between how real and translated clips look to the reader (d'): 0 guesses,
        1 is right about 69 % of the time, 2 about 84 %.
      seed: of the reader's noise.
      bias: leaning towards "synthetic", in the same units.
    """
    rng = np.random.default_rng(seed)
    evidence = {}  # a repeated clip looks much as it did the first time
    answers = []
    for item in key["items"]:
        place = (item["clip_id"], item["synthetic"])
        if place not in evidence:
            evidence[place] = (skill / 2 if item["synthetic"] else -skill / 2) + bias + rng.standard_normal()
        seen = evidence[place] + 0.1 * rng.standard_normal()
        answers.append(
            {
                "item": item["item"],
                "choice": "synthetic" if seen > 0 else "real",
                "confidence": int(np.clip(1 + abs(seen) * 2, 1, 5)),
                "seconds": round(float(rng.gamma(4, 2)), 1),
            }
        )
    body = json.dumps(
        {"study": key["study"], "reader": name, "experience": "", "started": "", "finished": "", "answers": answers}
    )
    return {"format": ANSWER_FORMAT, "body": body, "signature": sign(body, key["secret"])}
