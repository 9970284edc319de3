"""What is known of a run from the config beside its log, for advice as concrete as while it trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdpose.monitor.hooks import RunFacts

_SETTINGS_OF = re.compile(r"^# The settings of (.+)$", re.MULTILINE)


def facts_of(
    folder: Path,
    settings: Mapping[str, Any],
    text: str,
    *,
    log_facts: Mapping[str, Any],
    total_epochs: int | None,
) -> RunFacts:
    """What advice is made concrete with, from the config beside the log."""

    def look(*names: str) -> Any:
        value: Any = settings
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value if isinstance(value, int | float) else None

    named = _SETTINGS_OF.search(text)
    return RunFacts(
        name=folder.name,
        config_path=named[1] if named else None,
        work_dir=folder,
        total_epochs=total_epochs,
        epoch_length=log_facts.get("epoch_length"),
        lr=look("optimizer", "lr"),
        warmup_iterations=look("lr_config", "warmup_iters") or 0,
        max_norm=look("optimizer_config", "grad_clip", "max_norm"),
        samples_per_gpu=look("data", "samples_per_gpu"),
        workers_per_gpu=look("data", "workers_per_gpu"),
        evaluation_interval=look("evaluation", "interval"),
        checkpoint_interval=look("checkpoint_config", "interval"),
    )
