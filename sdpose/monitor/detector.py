"""What every detector is: a small state machine over records that knows one fault."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.finding import Finding
from sdpose.monitor.record import Record


class Detector(ABC):
    """Records in, one at a time and in order; findings out. Parameters are checked in the constructor.

    Resumed from `state_dict` it finds exactly what it would have found without the interruption.
    """

    @abstractmethod
    def update(self, record: Record) -> Sequence[Finding]:
        """What is wrong as of this record; mostly nothing. Records of the other mode are passed over."""

    def finish(self) -> Sequence[Finding]:
        """What can only be said once nothing more will come: the run, or the log of it, is at its end."""
        return ()

    @abstractmethod
    def reset(self) -> None:
        """Forget everything seen."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What was seen and still matters, as plain data; parameters are not part of it."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave, also when it came from other parameters."""
