"""A sweep whose runs are chosen while it goes on: Optuna's ask and tell, over a journal in the sweep's folder.

A sweep file has then ``TRIALS`` and ``suggest(trial)`` in place of ``get_runs()``: it asks an `optuna.Trial` for values and
returns the settings of one run. The score is `GOAL`, so that a run needs an evaluation (``eval.every``).
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from data_pipeline.files import write_json
from data_pipeline.mistakes import Mistake

GOAL = "val/ssim_flow"
"""What is made large: SSIM under colour at the last evaluation of a run."""
JOURNAL = "optuna.log"


def ask(suggest: Callable[[Any], dict[str, Any]], workdir: pathlib.Path, number: int) -> dict[str, Any]:
    """Settings of run ``number``: what the runs told so far suggest; asked again, those that it had."""
    path = _note(workdir, number)
    if not path.is_file():
        trial = _study(workdir).ask()
        write_json(path, {"trial": trial.number, "overrides": suggest(trial)})
    return chosen(workdir, number)


def chosen(workdir: pathlib.Path, number: int) -> dict[str, Any]:
    """Settings that run ``number`` was given; empty before it was asked."""
    path = _note(workdir, number)
    return json.loads(path.read_text())["overrides"] if path.is_file() else {}


def tell(workdir: pathlib.Path, number: int, result: Mapping[str, Any]) -> None:
    """How run ``number`` ended: its metrics; without the goal among them it counts as failed."""
    from optuna.trial import TrialState

    study, trial = _study(workdir), json.loads(_note(workdir, number).read_text())["trial"]
    if not study.trials[trial].state.is_finished():
        score = result.get(GOAL)
        study.tell(trial, score, state=TrialState.FAIL if score is None else TrialState.COMPLETE)


def _note(workdir: pathlib.Path, number: int) -> pathlib.Path:
    return workdir / "trials" / f"{number:03}.json"


def _study(workdir: pathlib.Path) -> Any:
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalStorage
    except ImportError:
        raise Mistake("a search needs Optuna; pip install 'cfd2gray[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    workdir.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(workdir / JOURNAL)))
    return optuna.create_study(study_name="sweep", storage=storage, direction="maximize", load_if_exists=True)
