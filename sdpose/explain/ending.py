"""A run that ended on a critical alert explains itself, if it can, and never ends worse for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sdpose.assemble.machine import Machine
from sdpose.assemble.user_code import UserCode
from sdpose.config.settings import Settings
from sdpose.errors import first_line
from sdpose.explain.deadline import Deadline
from sdpose.explain.incident import RESULT_FILE, explain_incident
from sdpose.explain.page import verdict_lines
from sdpose.training.incident import list_incidents, load_incident

BUDGET_S = 60.0


def explain_ending(
    settings: Settings,
    work_dir: Path,
    machine: Machine,
    user_code: UserCode,
    *,
    since_iteration: int,
    stopped: Callable[[], bool],
    log: Callable[[str], None],
    budget_s: float = BUDGET_S,
) -> None:
    """Explain the last incident after `since_iteration`; log the verdict and what to do.

    At most some `budget_s` seconds, less once `stopped` says so. Whatever goes wrong is one line of the log.
    """
    try:
        folder = _last_incident(work_dir, since_iteration)
        if folder is None or stopped():
            return
        log(f"looking for the cause by experiment, at most {budget_s:.0f} s (monitor.explain=False: not)")
        explanation = explain_incident(
            settings,
            folder,
            machine,
            user_code=user_code,
            language=settings.monitor.language,
            deadline=Deadline(budget_s, stopped=stopped),
        )
        for line in verdict_lines(explanation):
            log(line)
        log(f"all experiments: sdpose explain {folder}")
    except Exception as error:
        # Also a bug of ours, or used up memory: the run has ended for its own reason, which has been said.
        log(f"the cause could not be looked for ({type(error).__name__}: {first_line(error)})")


def _last_incident(work_dir: Path, since_iteration: int) -> Path | None:
    """The newest incident of this process that nobody has explained."""
    for folder in reversed(list_incidents(work_dir)):
        incident = load_incident(folder)
        if incident.iteration > since_iteration and not (folder / RESULT_FILE).exists():
            return folder
    return None
