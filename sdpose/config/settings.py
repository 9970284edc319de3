"""Typed, checked settings of a run, from a classic config file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, ValidationError

from sdpose.config.consistency import check_consistency
from sdpose.config.custom import CustomImports, names_own_files, with_absolute_files
from sdpose.config.data_settings import DataSettings
from sdpose.config.model_settings import ModelSettings
from sdpose.config.overrides import COMMAND_LINE, parse_overrides
from sdpose.config.places import Place, SourceDict, plain, shown_path
from sdpose.config.problems import as_error
from sdpose.config.python_text import python_text
from sdpose.config.reader import read_config
from sdpose.config.run_settings import (
    CheckpointSettings,
    EvaluationSettings,
    HookSettings,
    LogSettings,
    MonitorSettings,
    RuntimeSettings,
    TextLogger,
)
from sdpose.config.schedule_settings import (
    PUBLISHED_SCHEDULE,
    AdamSettings,
    LrConfig,
    OptimizerConfig,
    OptimizerSettings,
)
from sdpose.config.section import Reading, Section
from sdpose.config.top_level import check_top_level
from sdpose.config.values import AsTuple, LocalPath, NotNegative, Positive
from sdpose.errors import SdposeError

DATA_ROOT_VARIABLE = "SDPOSE_DATA_ROOT"


class Settings(Section):
    """A run, in the classic names. A section that the config leaves out is the published one."""

    model: ModelSettings
    data: DataSettings
    optimizer: OptimizerSettings = AdamSettings()
    optimizer_config: OptimizerConfig = OptimizerConfig()
    lr_config: LrConfig = PUBLISHED_SCHEDULE
    total_epochs: Positive = 300
    evaluation: EvaluationSettings = EvaluationSettings(interval=10, save_best="AP")
    checkpoint_config: CheckpointSettings = CheckpointSettings(interval=10)
    log_config: LogSettings = LogSettings(interval=50, hooks=(TextLogger(type="TextLoggerHook"),))
    custom_hooks: Annotated[tuple[HookSettings, ...], AsTuple] = ()
    custom_imports: CustomImports = CustomImports()
    work_dir: LocalPath
    load_from: LocalPath | None = None
    resume_from: LocalPath | None = None  # a file, or 'auto'
    seed: NotNegative | None = None
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$")] = "INFO"
    # Every parameter is used in every step; True costs a walk over the graph.
    find_unused_parameters: bool = False
    monitor: MonitorSettings = MonitorSettings()
    runtime: RuntimeSettings = RuntimeSettings()

    _path: Path = PrivateAttr(default=Path())
    _notes: tuple[str, ...] = PrivateAttr(default=())
    _raw: dict[str, Any] = PrivateAttr(default_factory=dict)
    _data_root: str | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path:
        """The config file."""
        return self._path

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to show the user: what was accepted without having a meaning here, what was replaced."""
        return self._notes

    def python_text(self) -> str:
        """The resolved config as a classic Python file, from which `load_settings` reads equal settings."""
        return python_text(
            self, self._raw, title=f"The settings of {shown_path(self._path)}", data_root=self._data_root
        )

    @property
    def written(self) -> Mapping[str, Any]:
        """What the config says, as plain data; defaults are left out."""
        return self._raw

    def __eq__(self, other: object) -> bool:
        """Whether two files say the same; where they lie and what was noted does not count."""
        if not isinstance(other, Settings):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in type(self).model_fields)

    __hash__ = None  # type: ignore[assignment]


def load_settings(
    path: Path | str,
    *,
    cfg_options: Sequence[str] = (),
    data_root: str | None = None,
    changes: Mapping[str, object] | None = None,
) -> Settings:
    """Read and check a config. Raises SdposeError with file and line, one line a mistake.

    `cfg_options` are `a.b=c` texts from the command line, `changes` the same with typed values (they win; a SourceDict
    says where they were written).
    `data_root` replaces the config's own; without it the environment variable SDPOSE_DATA_ROOT does.
    """
    overrides = _joined(parse_overrides(cfg_options), changes or {})
    reading = Reading()
    asked = data_root if data_root is not None else overrides.get("data_root")
    if asked is None and (default := os.environ.get(DATA_ROOT_VARIABLE)):
        data_root = default
    raw = read_config(path, overrides=overrides, data_root=data_root)
    if asked is None and data_root is not None and raw.data_roots:
        text = f"data_root = '{data_root}' comes from the environment variable {DATA_ROOT_VARIABLE}."
        reading.note(DATA_ROOT_VARIABLE, text)
    if asked is not None and not raw.data_roots:
        raise SdposeError(
            f"{shown_path(raw.path)}: assigns no data_root that '{asked}' could replace; change the paths by "
            "--cfg-options data.train.ann_file=... instead."
        )
    reading.notes.extend(raw.notes)
    values = check_top_level(raw, reading, list(Settings.model_fields))
    if "custom_imports" in values:
        values["custom_imports"] = with_absolute_files(values["custom_imports"], raw.path.absolute().parent)
    reading.custom_imports = names_own_files(values.get("custom_imports"))
    values.setdefault("work_dir", f"./work_dirs/{raw.path.stem}")
    try:
        settings = Settings.model_validate(values, context=reading)
    except ValidationError as error:
        raise as_error(error, values) from None
    check_consistency(settings.model, settings.data, values)
    settings._path = raw.path
    settings._notes = tuple(reading.notes)
    settings._raw = plain(values)
    settings._data_root = raw.values.get("data_root")
    return settings


def _joined(options: Mapping[str, object], changes: Mapping[str, object]) -> SourceDict:
    """Both in one, each with its place where it has one."""
    joined = SourceDict(Place(COMMAND_LINE, 0))
    joined.update(options)
    joined.update(changes)
    if isinstance(changes, SourceDict):
        joined.places.update(changes.places)
    return joined
