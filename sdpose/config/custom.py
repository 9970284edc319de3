"""Types that are the user's own: a research loss or a hook from a file named in `custom_imports`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ValidationInfo, model_validator

from sdpose.config.places import SourceDict, plain, without
from sdpose.config.section import Section, problem, reading_of
from sdpose.config.values import Texts
from sdpose.errors import nearest

HOOK_WITHOUT_MEANING = {"priority": "hooks see complete records whatever their order"}
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
    misplaced: ClassVar[str] = ""  # where the known types belong
    noun: ClassVar[str] = ""
    example: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        name = value.get("type")
        if not isinstance(name, str) or not name.isidentifier():
            raise problem("needs a type, as in dict(type='...').", at="type")
        if name in cls.known:
            raise problem(f"a {name} cannot stand here: {cls.misplaced}", at="type")
        if not reading_of(info).custom_imports:
            show_example = reading_of(info).first_time(f"example of a {cls.noun}")
            raise problem(cls._unknown(name, value, show_example=show_example), at="type")
        for key, reason in cls.without_meaning.items():
            if key in value:
                cls._note(value, key, reason, reading_of(info))
        dropped = ("type", *cls.without_meaning)
        kwargs = {key: plain(item) for key, item in value.items() if key not in dropped}
        where = str(value.place_of("type")) if isinstance(value, SourceDict) else ""
        return {"type": name, "kwargs": kwargs, "where": where}

    def __eq__(self, other: object) -> bool:
        """Whether two configs ask for the same; where they do does not count."""
        if not isinstance(other, CustomType):
            return NotImplemented
        return (self.type, self.kwargs) == (other.type, other.kwargs)

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def _unknown(cls, name: str, value: dict[Any, Any], *, show_example: bool) -> str:
        known = ", ".join(cls.known)
        text = f"unknown {cls.noun} type '{name}'.{nearest(name, cls.known)} Known here: {known}."
        if not show_example:
            return text
        arguments = _arguments(without(value, "type", *cls.without_meaning))
        example = cls.example.replace("NAME", name).replace(", ARGUMENTS", arguments)
        return f"{text} If it is your own, put it into a file and name that file in the config:\n{example}"


class CustomLoss(CustomType):
    """A loss of the user's: called with the cycles, the target heatmaps and their weights."""

    noun: ClassVar[str] = "loss"
    known: ClassVar[tuple[str, ...]] = ("JointsMSELoss", "TokenDistilLoss")
    misplaced: ClassVar[str] = (
        "JointsMSELoss compares heatmaps with the truth (loss_keypoint), TokenDistilLoss the tokens of "
        "neighbouring cycles (loss_vis_token_dist, loss_kpt_token_dist); other losses are your own types."
    )
    example: ClassVar[str] = '''\
    # my_losses.py, beside the config
    from torch import nn

    class NAME(nn.Module):
        def __init__(self, ARGUMENTS):
            super().__init__()

        def forward(self, cycles, target, target_weight):
            """cycles: one CycleOutput(heatmaps, keypoint_tokens, visual_tokens) a pass -> one number."""
            student, teacher = cycles[0].heatmaps, cycles[-1].heatmaps.detach()
            return 5e-6 * ((student - teacher) ** 2 * target_weight[..., None]).mean()

    # and in the config
    custom_imports = dict(imports=['my_losses.py'], allow_failed_imports=False)'''


class CustomHook(CustomType):
    """A monitor hook of the user's: sees every record, gives alerts."""

    noun: ClassVar[str] = "hook"
    without_meaning: ClassVar[Mapping[str, str]] = HOOK_WITHOUT_MEANING
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
    names = custom_imports.get("imports") if isinstance(custom_imports, dict) else None
    if not isinstance(names, str | list | tuple):
        return False
    return bool(_own([names] if isinstance(names, str) else names))


def with_absolute_files(custom_imports: Any, folder: Path) -> Any:
    """`custom_imports` with the .py files that lie in `folder` by their full path."""
    names = custom_imports.get("imports") if isinstance(custom_imports, dict) else None
    if not isinstance(names, str | list | tuple):
        return custom_imports
    copy = without(custom_imports)
    names = [names] if isinstance(names, str) else names
    copy["imports"] = [
        str(folder / name) if str(name).endswith(".py") and (folder / name).is_file() else name
        for name in names
    ]
    return copy


def _own(names: Any) -> tuple[Any, ...]:
    return tuple(name for name in names if str(name).split(".")[0] not in OFFICIAL_PACKAGES)


def type_or_custom(value: Any, *known: str) -> str | None:
    """The tag of a dict with a `type`: the type when it is `known`, else "custom"; None without one."""
    name = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return name if name is None or name in known else "custom"


def _arguments(value: dict[Any, Any]) -> str:
    """The keys of a dict as further parameters of a constructor; many of them as `**settings`."""
    if len(value) > 5 or not all(
        item is None or isinstance(item, str | int | float) for item in value.values()
    ):
        return ", **settings"
    return "".join(f", {key}={item!r}" for key, item in value.items())
