"""Keeping count of images that could not be used, and knowing when to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sdpose.errors import SdposeError

LARGEST_BAD_SHARE = 0.01
NUM_LISTED = 20


class ProblemLog:
    """Names each bad image once and ends the run when more than 1 % of the images are bad.

    num_images: how many images the set has. on_problem: called with the sentence about each newly met bad
    image.
    """

    def __init__(self, num_images: int, on_problem: Callable[[str], None] | None = None) -> None:
        self.num_images = num_images
        self._on_problem = on_problem
        self._problems: dict[str, None] = {}  # a set that keeps the order of arrival

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for each bad image met so far, in the order of meeting."""
        return tuple(self._problems)

    def add(self, problems: Iterable[str | None]) -> None:
        """Note the problems of a batch (None: no problem), some of which may be known already.

        Raises SdposeError with the list when there are too many.
        """
        for problem in problems:
            if problem is not None and problem not in self._problems:
                self._problems[problem] = None
                if self._on_problem is not None:
                    self._on_problem(problem)
        if len(self._problems) > LARGEST_BAD_SHARE * self.num_images:
            raise SdposeError(self._verdict())

    def _verdict(self) -> str:
        listed = "\n  ".join(self.problems[:NUM_LISTED])
        more = len(self._problems) - NUM_LISTED
        return (
            f"{len(self._problems)} of {self.num_images} images cannot be used, more than 1 % (each is "
            "counted when it is met, so there may be more); repair them or take them out of the annotation "
            "file:\n  "
            f"{listed}" + (f"\n  and {more} more" if more > 0 else "")
        )
