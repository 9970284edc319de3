"""`report.html` in the folder of a run, on request and at the end of every training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sdpose.monitor.language import choose_language
from sdpose.report.html_page import html_page
from sdpose.report.markdown_page import markdown_page
from sdpose.report.run_folder import read_run_folder
from sdpose.report.sections import document
from sdpose.training.atomic_file import write_atomically

NAME = "report.html"


def write_report(folder: Path, out: Path, *, language: str, markdown: bool = False) -> None:
    """Write the report of a run. The same folder gives the same bytes.

    Raises SdposeError for a folder without a run, and where the file cannot be written.
    """
    whole = document(read_run_folder(folder, language=language), language=language)
    # A lone surrogate, from a file name that is no UTF-8, is shown and not refused.
    data = (markdown_page if markdown else html_page)(whole).encode("utf-8", errors="backslashreplace")
    write_atomically(out, lambda file: file.write(data))


@contextmanager
def report_at_end(
    folder: Path, *, language: str | None, say: Callable[[str], None], enabled: bool = True
) -> Iterator[None]:
    """Write the report when the block ends, however it ends. A report that fails changes nothing about the ending.

    language: None for the locale's. A page of an earlier training goes first: if this one is killed, it would speak for
    it.
    """
    if enabled:
        with suppress(OSError):
            (folder / NAME).unlink()
    try:
        yield
    finally:
        if enabled:
            try:
                write_report(folder, folder / NAME, language=choose_language(language))
                say(f"{NAME} is written")
            except Exception as error:
                # One line: a broken page must not hide how the run ended.
                say(f"no {NAME}: {type(error).__name__}: {' '.join(str(error).split())}")
