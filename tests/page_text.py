"""What the pages of the documentation contain: their commands, and what they show below them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "README.ko.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
# The same commands in another language; a test holds that they are the same.
TRANSLATIONS = {"README.ko.md": "README.md", "docs/guide.ko.md": "docs/guide.md"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Programs that every system has.
OF_THE_SHELL = {"ls", "grep", "cat", "tail", "head"}
MANY = 99
DOORS = {"tools/train.py": "train", "tools/test.py": "test", "tools/quick_check.py": "check"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the page on which the text begins."""

    language: str
    text: str
    line: int
    # It belongs to the block before: no heading and at most one paragraph stand between.
    continues: bool


@dataclass(frozen=True)
class Command:
    """One command of a bash block, continued lines joined."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"

    def words(self) -> list[str]:
        """As the shell splits it, comments left out."""
        return shlex.split(self.text, comments=True)


def page_id(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def fenced(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found: list[Block] = []
    inside: list[str] | None = None
    language, begun = "", 0
    # Of prose since the last block; a heading counts as many.
    paragraphs, before = MANY, ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("```") and inside is None:
            language, inside, begun = line[3:].strip(), [], number + 1
        elif line == "```" and inside is not None:
            text = "".join(f"{each}\n" for each in inside)
            found.append(Block(language, text, begun, continues=paragraphs <= 1))
            inside, paragraphs = None, 0
        elif inside is not None:
            inside.append(line)
        elif line.startswith("#"):
            paragraphs = MANY
        elif line and not before:
            paragraphs += 1
        before = line
    assert inside is None, f"{page_id(page)}:{begun}: a block that never ends"
    return found


def anchors(page: Path) -> set[str]:
    """What links may name behind a `#`, as GitHub makes it of headings."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return [block.text for block in fenced(page) if block.language == language]


def commands_of(page: Path, block: Block) -> list[Command]:
    """The commands of a bash block."""
    found = []
    waiting, first = "", block.line
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        first = first if waiting else number
        waiting += line
        if waiting.endswith("\\"):
            waiting = waiting[:-1] + " "
            continue
        if shlex.split(waiting, comments=True):
            found.append(Command(page_id(page), first, waiting.strip()))
        waiting = ""
    return found


def page_commands(page: Path) -> Iterator[Command]:
    """Every command of the page's bash blocks."""
    for block in fenced(page):
        if block.language == "bash":
            yield from commands_of(page, block)


def verb_arguments(words: list[str]) -> list[str] | None:
    """The command as arguments of `sdpose`; None when it is not one of ours."""
    if words[0] == "sdpose":
        return words[1:]
    if words[0] == "python" and words[1] in DOORS:
        return [DOORS[words[1]], *words[2:]]
    if words[:2] == ["bash", "tools/dist_train.sh"]:
        config, gpus, *rest = words[2:]
        assert gpus.isdigit()
        return ["train", config, "--launcher", "pytorch", "--seed", "0", *rest]
    if words[:2] == ["bash", "tools/dist_test.sh"]:
        config, checkpoint, gpus, *rest = words[2:]
        assert gpus.isdigit()
        return ["test", config, checkpoint, "--launcher", "pytorch", *rest]
    return None


def without_surroundings(words: list[str]) -> list[str]:
    """Words without variables set before the command and without where its output goes."""
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words = words[1:]
    return words[: words.index(">")] if ">" in words else words
