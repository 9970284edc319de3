"""The loggers that `log_config` asks for, besides the log files that every run has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sdpose.config.run_settings import MlflowLogger, TensorboardLogger, WandbLogger
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.training.mlflow_logger import MlflowScalars
from sdpose.training.scalar_loggers import ScalarLogger
from sdpose.training.tensorboard import TensorboardScalars
from sdpose.training.wandb_logger import WandbScalars

# Long, the same in every run, or (the addresses of monitor.notify) secret.
_NOT_TOLD = ("dataset_info", "pipeline", "notify", "custom_imports", "init_kwargs")


def build_loggers(
    settings: Settings, work_dir: Path, *, resumed: bool, warn: Callable[[str], None]
) -> list[ScalarLogger]:
    """All of them. One that cannot be reached is left out with a warning.

    Raises SdposeError for what the user can mend: a package that is missing, arguments that the library refuses.
    """
    parameters = _told(settings.written)
    built: list[ScalarLogger] = []
    for hook in settings.log_config.hooks:
        try:
            if isinstance(hook, TensorboardLogger):
                built.append(TensorboardScalars(Path(hook.log_dir) if hook.log_dir else work_dir / "tf_logs"))
            elif isinstance(hook, MlflowLogger):
                built.append(
                    MlflowScalars(
                        work_dir,
                        exp_name=hook.exp_name,
                        tags=hook.tags,
                        parameters=parameters,
                        resumed=resumed,
                    )
                )
            elif isinstance(hook, WandbLogger):
                kwargs = hook.init_kwargs
                built.append(
                    WandbScalars(work_dir, init_kwargs=kwargs, parameters=parameters, resumed=resumed)
                )
        except SdposeError:
            raise
        except Exception as error:
            # Its server or its disk: the training is worth more than its copy of the numbers.
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            warn(f"{hook.type}: cannot be used, the training goes on without it: {reason:.300}")
    return built


def _told(value: Any) -> Any:
    """Settings without what is not told."""
    if isinstance(value, Mapping):
        return {
            key: _told(each) for key, each in value.items() if not any(word in str(key) for word in _NOT_TOLD)
        }
    return [_told(each) for each in value] if isinstance(value, list | tuple) else value
