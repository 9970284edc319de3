"""Somebody who types every command of a page, in order, and compares what it prints with what the page shows."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from excused import EXCUSED, EXIT_CODES, SMALLER_WORDS, starts_with
from page_text import (
    OF_THE_SHELL,
    REPOSITORY,
    Block,
    Command,
    commands_of,
    fenced,
    page_id,
    verb_arguments,
    without_surroundings,
)
from sandbox import S_V1, Prepared, lay_out, provide

from sdpose.cli.main import main

# What the pages write for a thing of the reader's.
STANDS_FOR = {"CONFIG": str(S_V1), "CHECKPOINT": "work_dirs/RUN/latest.pth", "DIR": "data/coco"}
PATIENCE_S = 60.0


@dataclass
class Reader:
    """Reads one page in a folder of its own."""

    page: Path
    folder: Path
    prepared: Prepared
    capsys: pytest.CaptureFixture[str]
    variables: dict[str, str] = field(default_factory=dict)

    def read(self) -> None:
        """Run all; fails with the command, and what to do about it."""
        lay_out(self.folder, self.prepared)
        found = fenced(self.page)
        for block, following in zip(found, [*found[1:], None], strict=True):
            if block.language != "bash":
                continue
            said = "".join(self.run(command) for command in commands_of(self.page, block))
            if following and following.language == "text" and following.continues:
                self.compare(following, said)

    def run(self, command: Command) -> str:
        """One command; gives what it printed, "" for one that is excused."""
        if starts_with(command, EXCUSED) is not None:
            return ""
        words = self.filled_in(command.words())
        if len(words) == 1 and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            name, _, value = words[0].partition("=")
            self.variables[name] = value
            return ""
        arguments = verb_arguments(without_surroundings(words))
        if arguments is not None and words[0] != "bash":
            code, said, complained = self.run_verb(command, arguments)
        elif words[0] in OF_THE_SHELL or words[:2] == ["python", "-c"]:
            code, said, complained = self.run_in_a_shell(command)
        else:
            pytest.fail(
                f"{command.page}: command `{command.text}` (line {command.line}) is neither run nor excused: teach "
                f"tests/docs/reader.py to run it, or add it to EXCUSED in tests/docs/excused.py with the reason"
            )
        expected = starts_with(command, EXIT_CODES) or (0,)
        assert code in expected, (
            f"{command.page}: command `{command.text}` (line {command.line}) ended with exit code {code}, expected "
            f"{' or '.join(map(str, expected))}. If the page is right: files that it names are made by MAKERS in "
            f"tests/docs/sandbox.py, other codes stand in EXIT_CODES in tests/docs/excused.py.\n{said}{complained}"
        )
        if ">" in words:
            (self.folder / words[words.index(">") + 1]).write_text(said, encoding="utf-8")
        return said + complained

    def filled_in(self, words: Sequence[str]) -> list[str]:
        """The words with variables and placeholders replaced."""
        filled = []
        for word in words:
            for name, value in self.variables.items():
                word = word.replace(f"${name}", value)
            filled.append(STANDS_FOR.get(word, word))
        return filled

    def run_verb(self, command: Command, arguments: list[str]) -> tuple[int, str, str]:
        """`sdpose ARGUMENTS`: in this process, which has torch already, unless it would go on for ever."""
        arguments = [*arguments, *(starts_with(command, SMALLER_WORDS) or ())]
        provide(arguments, self.folder, self.prepared)
        if arguments[0] == "watch" or "--follow" in arguments:
            return self.run_until_it_speaks(arguments)
        self.capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as ended:  # argparse
            code = int(ended.code or 0)
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def run_in_a_shell(self, command: Command) -> tuple[int, str, str]:
        text = command.text
        for name, value in STANDS_FOR.items():
            text = re.sub(rf"(?<![\w$]){name}(?!\w)", value, text)
        provide(["sh", *shlex.split(text, comments=True)], self.folder, self.prepared)
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=self.folder,
            env=environment() | self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def run_until_it_speaks(self, arguments: list[str]) -> tuple[int, str, str]:
        """A command that goes on until Ctrl-C: its first line is waited for, then Ctrl-C is what it gets."""
        process = subprocess.Popen(
            [sys.executable, "-m", "sdpose.cli.main", *arguments],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # Whatever happens, nothing is left running.
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        try:
            with process:
                assert process.stdout is not None
                said = process.stdout.readline()
                process.send_signal(signal.SIGINT)
                said += process.stdout.read()
        finally:
            watchdog.cancel()
        return process.returncode, said, ""

    def compare(self, shown: Block, said: str) -> None:
        """Every line that the page shows begins with the same words as one that was printed, numbers free."""
        if not said:
            return
        printed = {beginning(line) for line in said.splitlines()}
        for number, line in enumerate(shown.text.splitlines(), start=shown.line):
            if line.strip(" .") and beginning(line) not in printed:
                pytest.fail(
                    f"{page_id(self.page)}:{number} shows {line!r}, and the commands above it print no line that "
                    f"begins like it. They print:\n{said}"
                )


def beginning(line: str) -> str:
    """The first three words of a line: numbers are all alike, and so are paths and signs of what is well or not."""
    words = re.sub(r"[✅❌⚠️]+", "", line).split()[:3]
    return " ".join("/" if "/" in word else re.sub(r"\d\S*", "0", word) for word in words)


def environment() -> dict[str, str]:
    """English, one thread, the Python of this test first on the path, and this checkout's package."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": path,
        # Before the sandbox's folder sdpose, which holds weights alone and would pass for a package.
        "PYTHONPATH": str(REPOSITORY),
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
