"""What all settings share: unknown keys name the nearest known one, meaningless ones leave a note."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from sdpose.config.places import SourceDict
from sdpose.errors import nearest


@dataclass
class Reading:
    """What travels along while settings are checked (pydantic's validation context)."""

    notes: list[str] = field(default_factory=list)
    custom_imports: bool = False  # whether the config names files with the user's own types
    _noted: set[str] = field(default_factory=set)

    def first_time(self, key: str) -> bool:
        """Whether `key` is asked about for the first time."""
        if key in self._noted:
            return False
        self._noted.add(key)
        return True

    def note(self, key: str, text: str, where: object = "") -> None:
        """Tell the user something once; `key` says what counts as the same."""
        if self.first_time(key):
            self.notes.append(f"{where}: {text}" if where else text)


def reading_of(info: ValidationInfo) -> Reading:
    """The `Reading` of a validation; a fresh one when somebody builds settings by hand."""
    return info.context if isinstance(info.context, Reading) else Reading()


def problem(message: str, *, key: str | int | None = None, at: str | None = None) -> PydanticCustomError:
    """An error that is shown as it stands.

    `key` is the setting of this section that it is about; `at` only says on whose line it is found.
    """
    return PydanticCustomError("sdpose", "{message}", {"message": message, "key": key, "at": at})


class Section(BaseModel):
    """A part of the settings. Values keep their type: `'3'` is no number, 3.0 no integer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: Keys of the original that mean nothing here, with the reason shown to the user.
    without_meaning: ClassVar[Mapping[str, str]] = {}
    #: Keys of the original that cannot be obeyed, with what to do instead.
    refused: ClassVar[Mapping[str, str]] = {}
    #: Fields that are not offered when a key is unknown.
    not_offered: ClassVar[tuple[str, ...]] = ("type",)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        reading = reading_of(info)
        kept: dict[Any, Any] = {}
        for key, item in value.items():
            if key in cls.without_meaning:
                cls._note(value, key, cls.without_meaning[key], reading)
            elif key in cls.refused:
                raise problem(f"cannot be obeyed: {cls.refused[key]}.", key=key)
            elif key in cls.model_fields:
                kept[key] = item
            else:
                known = [*cls.model_fields, *cls.without_meaning]
                raise problem(
                    unknown_key(key, [name for name in known if name not in cls.not_offered]), key=key
                )
        return kept

    @classmethod
    def _note(cls, value: dict[Any, Any], key: str, reason: str, reading: Reading) -> None:
        where = value.place_of(key) if isinstance(value, SourceDict) else ""
        reading.note(f"{cls.__name__}.{key}", f"{key} has no meaning here: {reason}.", where)

    def changed(self, **values: Any) -> Self:
        """A copy with other values, checked again."""
        return type(self).model_validate(
            {name: getattr(self, name) for name in type(self).model_fields} | values
        )


def unknown_key(key: object, known: list[str]) -> str:
    """The text for a key that no setting has."""
    return f"unknown key.{nearest(str(key), known)} Known here: {', '.join(known) or 'nothing'}."
