"""Score a reader study: accuracy with exact intervals, agreement, ROC by confidence, and what the study could have seen.

A study that finds 54 % accuracy says little without its size: every score therefore carries its interval and the smallest
accuracy that this number of answers would have detected.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from cfd2gray.evaluation.reader_study.build import ANSWER_FORMAT, CONFIDENCES, KEY_FORMAT
from cfd2gray.metrics.task import auc

CHANCE = 0.5


def read_key(path: str | os.PathLike) -> dict[str, Any]:
    """A study's ``key.json``."""
    key = _read_json(Path(path), "a reader study's key.json")
    if key.get("format") != KEY_FORMAT:
        raise ValueError(f"{path}: not a reader study's key (format {key.get('format')!r}, wanted {KEY_FORMAT!r})")
    return key


def read_answers(path: str | os.PathLike, key: Mapping[str, Any]) -> dict[str, Any]:
    """A reader's answer file, checked: format, study, signature, and one valid answer for every item.

    The signature is made with a secret that the page itself carries: it finds files that were edited or damaged, and
    honest mistakes; it is no protection against someone who takes the page apart.
    """
    path = Path(path)
    file = _read_json(path, "an answer file")
    if file.get("format") != ANSWER_FORMAT or not isinstance(file.get("body"), str):
        raise ValueError(f"{path}: not an answer file of a reader study (format {file.get('format')!r})")
    try:
        body = json.loads(file["body"])
        study, reader, answers = body["study"], body["reader"], body["answers"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: the answers cannot be read ({error!r}); ask for the file again") from error
    if study != key["study"]:
        raise ValueError(f"{path}: answers of study {study}, but the key is of study {key['study']}")
    expected = sign(file["body"], key["secret"])
    if not hmac.compare_digest(str(file.get("signature", "")), expected):
        raise ValueError(f"{path}: the signature does not fit, so the file was edited or damaged; ask for it again")
    items = {item["item"] for item in key["items"]}
    given = [answer.get("item") for answer in answers]
    if len(given) != len(set(given)) or set(given) != items:
        missing = len(items - set(given))
        raise ValueError(
            f"{path}: {missing} of {len(items)} items are unanswered, or some are answered twice or unknown"
        )
    for answer in answers:
        if answer.get("choice") not in ("real", "synthetic") or answer.get("confidence") not in CONFIDENCES:
            raise ValueError(f"{path}: item {answer.get('item')} has no valid answer ({answer})")
    if not str(reader).strip():
        raise ValueError(f"{path}: there is no reader name")
    return body


def sign(body: str, secret: str) -> str:
    """HMAC-SHA256 (RFC 2104) of an answer body, hexadecimal."""
    return hmac.new(bytes.fromhex(secret), body.encode(), hashlib.sha256).hexdigest()


def score_study(key: Mapping[str, Any], readers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Scores of a study from checked answers (`read_answers`).

    Returns:
      ``{"readers": [...], "pooled": {...}, "agreement": {...}, "roc": {...}, "power": {...}}``; accuracies and
      intervals are shares in [0, 1]. Repeated items count for agreement with oneself only.
    """
    if not readers:
        raise ValueError("there are no answers to score; give at least one answer file")
    names = [str(body["reader"]) for body in readers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"reader {twice[0]} has {names.count(twice[0])} answer files; keep one per reader")
    items = [item for item in key["items"] if not item["repeat"]]
    truth = np.array([item["synthetic"] for item in items])
    given = [{a["item"]: a for a in body["answers"]} for body in readers]
    says = np.array([[g[i["item"]]["choice"] == "synthetic" for i in items] for g in given])  # [readers, items]
    sure = np.array([[g[i["item"]]["confidence"] for i in items] for g in given])
    rating = np.where(says, sure, 1 - sure)  # 5 certain synthetic .. -4 certain real: ten steps without a gap
    right = says == truth
    rows = [
        {
            "reader": name,
            "experience": body.get("experience"),
            **_accuracy(int(r.sum()), r.size),
            "sensitivity": _share(s[truth]),
            "specificity": _share(~s[~truth]),
            "auc": auc(q, truth),
            "seconds_per_clip": float(np.mean([a["seconds"] for a in body["answers"]])),
            "self_agreement": _self_agreement(key, g),
        }
        for name, body, r, s, q, g in zip(names, readers, right, says, rating, given)
    ]
    pooled = _accuracy(int(right.sum()), right.size)
    pooled["note"] = "answers pooled as if independent; the spread between readers is beside"
    pooled["mean_of_readers"] = float(right.mean(axis=1).mean())
    pooled["sd_of_readers"] = float(right.mean(axis=1).std(ddof=1)) if len(readers) > 1 else None
    pooled["auc"] = auc(rating.ravel(), np.tile(truth, len(readers)))
    return {
        "study": key["study"],
        "n_readers": len(readers),
        "n_items": len(items),
        "readers": rows,
        "pooled": pooled,
        "agreement": _agreement(says, names),
        "roc": roc(rating.ravel(), np.tile(truth, len(readers))),
        "by_view": _by_view(items, right),
        "power": power_table(right.size),
    }


def exact_interval(successes: int, n: int) -> list[float]:
    """95 % Clopper-Pearson interval of a share (Biometrika 26, 1934)."""
    ends = stats.binomtest(successes, n).proportion_ci(0.95, method="exact")
    return [float(ends.low), float(ends.high)]


WANTED, LEVEL, MOST_ANSWERS = 0.8, 0.05, 20_000
"""Power and two-sided level that a study is planned for, and the number of answers beyond which nobody plans one."""


def power(n: int, accuracy: float) -> float:
    """Chance that ``n`` answers of a given true accuracy differ from guessing in an exact two-sided binomial test."""
    k = np.arange(n + 1)
    p_value = np.minimum(1, 2 * np.minimum(stats.binom.cdf(k, n, CHANCE), stats.binom.sf(k - 1, n, CHANCE)))
    return float(stats.binom.pmf(k, n, accuracy)[p_value <= LEVEL].sum())


def answers_needed(accuracy: float) -> int | None:
    """Smallest number of answers from which on the power is at least `WANTED`; ``None`` beyond `MOST_ANSWERS`."""
    if not 0 < accuracy < 1 or accuracy == CHANCE:
        raise ValueError(f"the accuracy to detect must lie in 0..1 and differ from {CHANCE}, got {accuracy}")
    # A normal approximation says where to look; the exact power wiggles, so a stretch of it is looked at.
    gap = abs(accuracy - CHANCE)
    z = stats.norm.ppf(1 - LEVEL / 2) * 0.5 + stats.norm.ppf(WANTED) * np.sqrt(accuracy * (1 - accuracy))
    guess = int((z / gap) ** 2)
    if guess > MOST_ANSWERS:
        return None
    last_short = 0
    for n in range(max(1, int(0.7 * guess) - 10), int(1.3 * guess) + 40):
        if power(n, accuracy) < WANTED:
            last_short = n
    return last_short + 1


def power_table(n: int, *, accuracy: float | None = None) -> dict[str, Any]:
    """What ``n`` answers can see: power for some accuracies, and the smallest accuracy seen with 80 % power.

    ``accuracy`` adds one more to the usual accuracies.
    """
    if n < 1:
        raise ValueError(f"the number of answers must be at least 1, got {n}")
    own = () if accuracy is None else (accuracy,)
    candidates = np.arange(0.505, 1.0, 0.005)
    seen = [float(a) for a in candidates if power(n, a) >= WANTED]
    return {
        "n_answers": n,
        "power": {f"{a:.2f}": power(n, a) for a in sorted({0.55, 0.6, 0.65, 0.7, 0.8, *own})},
        "smallest_accuracy_seen": round(seen[0], 3) if seen else None,
        "answers_needed": {f"{a:.2f}": answers_needed(a) for a in sorted({0.55, 0.6, 0.7, *own})},
    }


def cohen_kappa(a: np.ndarray, b: np.ndarray) -> float | None:
    """Cohen's kappa (1960) of two raters' categories; ``None`` when both always say the same one thing."""
    categories = np.unique(np.concatenate([a, b]))
    observed = float(np.mean(a == b))
    expected = float(sum(np.mean(a == c) * np.mean(b == c) for c in categories))
    return None if expected == 1 else (observed - expected) / (1 - expected)


def fleiss_kappa(ratings: np.ndarray) -> float | None:
    """Fleiss' kappa (1971) of categories ``[raters, items]``; ``None`` when everyone always says the same one thing."""
    n = ratings.shape[0]
    counts = np.stack([(ratings == c).sum(axis=0) for c in np.unique(ratings)], axis=-1)  # [items, categories]
    observed = float(np.mean((counts**2).sum(axis=1) - n) / (n * (n - 1)))
    expected = float(np.sum((counts.sum(axis=0) / counts.sum()) ** 2))
    return None if expected == 1 else (observed - expected) / (1 - expected)


def roc(rating: np.ndarray, truth: np.ndarray) -> dict[str, list[float]]:
    """ROC points of "synthetic" by confidence, from (0, 0) to (1, 1)."""
    steps = np.unique(rating)[::-1]
    sensitivity = [0.0, *(float(np.mean(rating[truth] >= s)) for s in steps)]
    false_alarms = [0.0, *(float(np.mean(rating[~truth] >= s)) for s in steps)]
    return {"false_alarms": false_alarms, "sensitivity": sensitivity}


def _accuracy(right: int, n: int) -> dict[str, Any]:
    return {
        "right": right,
        "n": n,
        "accuracy": right / n,
        "ci95": exact_interval(right, n),
        "p_against_guessing": float(stats.binomtest(right, n, CHANCE).pvalue),
    }


def _share(values: np.ndarray) -> dict[str, Any]:
    return {"share": float(values.mean()), "ci95": exact_interval(int(values.sum()), values.size)}


def _agreement(says: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    if len(names) < 2:
        return {"fleiss_kappa": None, "pairs": {}}
    pairs = {f"{names[i]} / {names[j]}": cohen_kappa(says[i], says[j]) for i, j in combinations(range(len(names)), 2)}
    return {"fleiss_kappa": fleiss_kappa(says), "pairs": pairs}


def _self_agreement(key: Mapping[str, Any], given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    first = {(i["clip_id"], i["synthetic"]): i["item"] for i in key["items"] if not i["repeat"]}
    pairs = [(first[i["clip_id"], i["synthetic"]], i["item"]) for i in key["items"] if i["repeat"]]
    if not pairs:
        return None
    a, b = (np.array([given[pair[k]]["choice"] for pair in pairs]) for k in (0, 1))
    return {"n": len(pairs), "share": float(np.mean(a == b)), "kappa": cohen_kappa(a, b)}


def _by_view(items: Sequence[Mapping[str, Any]], right: np.ndarray) -> dict[str, Any]:
    views = np.array([item["view"] for item in items])
    return {str(v): _accuracy(int(right[:, views == v].sum()), right[:, views == v].size) for v in np.unique(views)}


def _read_json(path: Path, what: str) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give {what}")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not JSON ({error}); give {what}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: holds a {type(value).__name__}; give {what}")
    return value
