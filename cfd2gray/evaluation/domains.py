"""Leave one clinical domain out: how does a model do on organs it has never seen?

Two ways to ask: `split_by_training_domain` reads it off one evaluation (heart trained only, tested on vessel, kidney,
liver, fetal); `leave_one_out` trains once per domain without it and tests on it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cfd2gray.evaluation.results import YARDSTICKS
from data_pipeline.schema import VIEW_DOMAIN, VIEWS

KNOWN = tuple(dict.fromkeys(VIEW_DOMAIN[view] for view in VIEWS[1:]))

TrainAndEvaluate = Callable[[Sequence[str], Sequence[str], str], Mapping[str, Any]]
"""``(training views, test views, name) -> evaluation JSON``."""


def views_of(domains: Sequence[str]) -> tuple[str, ...]:
    """Views that belong to some clinical domains.

    Raises:
      ValueError: an unknown domain, or none.
    """
    unknown = sorted(set(domains) - set(KNOWN))
    if unknown or not domains:
        raise ValueError(f"domains must be among {KNOWN}, got {list(domains)}")
    return tuple(view for view in VIEWS[1:] if VIEW_DOMAIN[view] in domains)


def leave_one_out(run: TrainAndEvaluate, *, domains: Sequence[str] = KNOWN) -> dict[str, Any]:
    """Train without each domain in turn and test on it; train on all once for comparison.

    Args:
      run: trains on some views, evaluates on others and returns the evaluation JSON.
      domains: at least two.

    Returns:
      ``{domain: {"unseen": measures, "seen": measures}}`` where ``measures`` are SSIM, PSNR and ratios in flow and box
      with intervals, and the do-nothing baselines' SSIM.
    """
    if len(set(domains)) < 2:
        raise ValueError(f"leaving one domain out needs at least two domains, got {list(domains)}")
    everything = run(views_of(domains), views_of(domains), "all")
    table = {}
    for domain in domains:
        others = [other for other in domains if other != domain]
        unseen = run(views_of(others), views_of([domain]), f"without-{domain}")
        seen = everything["by_domain"].get(domain)
        table[domain] = {"unseen": row_of(unseen), "seen": None if seen is None else row_of(seen)}
    return table


def split_by_training_domain(result: Mapping[str, Any], *, trained_on: Sequence[str]) -> dict[str, Any]:
    """Rows of one evaluation, each marked as trained on or not.

    Raises:
      ValueError: ``trained_on`` names a domain that does not exist.
    """
    views_of(trained_on)
    return {
        domain: {"trained_on": domain in trained_on, **row_of(block)} for domain, block in result["by_domain"].items()
    }


def row_of(block: Mapping[str, Any]) -> dict[str, Any]:
    """The few numbers of an evaluation that a table of domains shows."""
    kept = {
        f"{measure}_{stratum}": {"mean": block[measure].get(stratum), "ci95": block[measure]["ci95"].get(stratum)}
        for measure, stratum in (("ssim", "flow"), ("ssim", "box"), ("psnr", "flow"), ("flicker_ratio", "flow"))
    }
    known = block["baselines"].items()
    baselines = {name: values.get("flow") for name, values in known if name not in YARDSTICKS}
    return {"n_clips": block["n_clips"], "n_patients": block["n_patients"], **kept, "baselines_ssim_flow": baselines}
