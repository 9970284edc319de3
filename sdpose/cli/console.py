"""What a person sees while something long runs: log lines, and below them a progress bar on a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class ProgressConsole:
    """Plain lines everywhere; a bar as well where the output is a terminal."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def line(self, text: str) -> None:
        """Print one finished line (above the bar)."""
        if self._console.is_terminal:
            self._console.print(text)
        else:
            print(text, flush=True)

    def begin(self, description: str, total: int, completed: int = 0) -> TaskID:
        """Show a bar."""
        return self._progress.add_task(description, total=total, completed=completed)

    def update(
        self, task: TaskID, completed: int, description: str | None = None, total: int | None = None
    ) -> None:
        """Move a bar; `description` and `total` change only when given."""
        self._progress.update(task, completed=completed, description=description, total=total)

    def end(self, task: TaskID) -> None:
        """Take a bar away."""
        self._progress.remove_task(task)


class TrainingConsole(ProgressConsole):
    """The bar of a training run and, while it evaluates, a second one."""

    def __init__(self) -> None:
        super().__init__()
        self._training: TaskID | None = None
        self._evaluation: TaskID | None = None

    def training(self, iteration: int, total: int, epoch: int, total_epochs: int) -> None:
        """Iterations done of all; epochs are 1-based."""
        text = f"epoch {epoch}/{total_epochs}"
        if self._training is None:
            self._training = self.begin(text, total, iteration)
        else:
            self.update(self._training, iteration, text)

    def evaluation(self, done: int, total: int) -> None:
        """Persons evaluated of all; the bar goes when all are done."""
        if self._evaluation is None:
            self._evaluation = self.begin("evaluating", total)
        self.update(self._evaluation, done)
        if done >= total:
            self.end(self._evaluation)
            self._evaluation = None


EvaluationConsole = TrainingConsole


class JobConsole(ProgressConsole):
    """The bar of work over many files; one after the other where each has a length of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._task: TaskID | None = None
        self._total: int | None = None

    def advance(self, done: int, total: int | None, name: str) -> None:
        """Done of all, and what is under way; `total` None where nobody knows."""
        if self._task is None or total != self._total:
            if self._task is not None:
                self.end(self._task)
            self._task, self._total = self.begin(name, total or 0), total
        self.update(self._task, done, name)
