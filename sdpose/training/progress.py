"""Where a run stands."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass
class Progress:
    """Finished epochs, batches and iterations. It rides in every checkpoint."""

    epoch: int = 0
    """Finished epochs."""
    batch: int = 0
    """Finished batches of the epoch under way."""
    iteration: int = 0
    """Finished iterations since the very start."""

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    def move_to(self, other: Progress) -> None:
        """Stand where `other` stands; who holds this object sees it."""
        self.epoch, self.batch, self.iteration = other.epoch, other.batch, other.iteration
