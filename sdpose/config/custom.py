"""Types that are the user's own: a research loss or a hook from a file named in `custom_imports`."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ValidationInfo, model_validator

from sdpose.config.places import SourceDict, plain
from sdpose.config.section import Section, problem, reading_of
from sdpose.config.values import Texts
from sdpose.errors import nearest

OFFICIAL_PACKAGES = ("mmpose", "mmcv", "mmdet", "distilpose", "sdpose")


class CustomImports(Section):
    """Python files or modules with the user's own losses and hooks: the one place where the user's code runs.

    `imports` are module names or paths of .py files, relative to the config. The official packages are left
    out: what a config needs of them is built in.
    """

    imports: Texts = ()
    allow_failed_imports: bool = False

    @model_validator(mode="before")
    @classmethod
    def _leave_out_official(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        names = value.get("imports", ())
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            return value
        own = _own(names)
        for name in names:
            if name not in own:
                where = value.place_of("imports") if isinstance(value, SourceDict) else ""
                text = f"importing {name} is not needed: sdpose's own code takes its place."
                reading_of(info).note(f"import {name}", text, where)
        return {**value, "imports": own}


class CustomType(Section):
    """A type from the user's own code: what to call, with which arguments, and where the config says so."""

    type: str
    kwargs: dict[str, Any]
    where: str = ""

    known: ClassVar[tuple[str, ...]] = ()
    noun: ClassVar[str] = ""
    example: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, SourceDict):
            return value
        name = value.get("type")
        if not isinstance(name, str) or not name.isidentifier():
            raise problem("needs a type, as in dict(type='...').")
        where = value.place_of("type")
        if not reading_of(info).custom_imports:
            raise problem(
                f"unknown {cls.noun} type '{name}'.{nearest(name, cls.known)} "
                f"Known here: {', '.join(cls.known)}. If it is your own, put it into a file and name that file "
                "in the config:\n" + cls.example.replace("NAME", name).replace("ARGUMENTS", _arguments(value))
            )
        kwargs = {key: plain(item) for key, item in value.items() if key != "type"}
        return {"type": name, "kwargs": kwargs, "where": str(where)}


class CustomLoss(CustomType):
    """A loss of the user's: called with the cycles, the target heatmaps and their weights."""

    noun: ClassVar[str] = "loss"
    known: ClassVar[tuple[str, ...]] = ("JointsMSELoss", "TokenDistilLoss")
    example: ClassVar[str] = '''\
    # my_losses.py, beside the config
    from torch import nn

    class NAME(nn.Module):
        def __init__(self, ARGUMENTS):
            super().__init__()
            self.loss_weight = loss_weight

        def forward(self, cycles, target, target_weight):
            """cycles: one CycleOutput(heatmaps, keypoint_tokens, visual_tokens) a pass -> one number."""
            student, teacher = cycles[0].heatmaps, cycles[-1].heatmaps.detach()
            return self.loss_weight * ((student - teacher) ** 2 * target_weight[..., None]).mean()

    # and in the config
    custom_imports = dict(imports=['my_losses.py'], allow_failed_imports=False)'''


class CustomHook(CustomType):
    """A monitor hook of the user's: sees every record, gives alerts."""

    noun: ClassVar[str] = "hook"
    known: ClassVar[tuple[str, ...]] = ("TrainingMonitorHook", "DetailedLossLogHook")
    example: ClassVar[str] = '''\
    # my_hooks.py, beside the config
    from sdpose.monitor.hooks import Hook

    class NAME(Hook):
        def __init__(self, ARGUMENTS):
            super().__init__()

        def on_iterations(self, records):
            """records: what each iteration logged (epoch, iteration, values: name -> number) -> alerts."""
            return []

    # and in the config
    custom_imports = dict(imports=['my_hooks.py'], allow_failed_imports=False)'''


def names_own_files(custom_imports: Any) -> bool:
    """Whether a `custom_imports`, as written in the config, names anything beside the official packages."""
    names = custom_imports.get("imports", ()) if isinstance(custom_imports, dict) else ()
    return bool(_own([names] if isinstance(names, str) else names))


def _own(names: Any) -> tuple[Any, ...]:
    return tuple(name for name in names if str(name).split(".")[0] not in OFFICIAL_PACKAGES)


def _arguments(value: SourceDict) -> str:
    """The keys of a dict as the parameters of a constructor."""
    skipped = ("type", "priority", "loss_weight")
    names = [f"{key}={item!r}" for key, item in value.items() if key not in skipped and _is_scalar(item)]
    return ", ".join([f"loss_weight={value.get('loss_weight', 1.0)!r}", *names])


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)
