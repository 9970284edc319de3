"""The pages tell the truth where a test can know it: commands parse, links lead somewhere, examples run."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_architecture import BELOW_FIT, TABLE

from sdpose.cli.main import build_parser

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "README.ko.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
DOORS = {"tools/train.py": "train", "tools/test.py": "test", "tools/quick_check.py": "check"}
OTHER_COMMANDS = {"source", "export"}


def page_id(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return [text for kind, text in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def commands(page: Path) -> Iterator[list[str]]:
    """Every command of the page's bash blocks as words; shell variables stay as they are written."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"\w+=.*", words[0]):
                words.pop(0)
            if ">" in words:
                words = words[: words.index(">")]
            if words:
                yield words


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


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_parses(page: Path) -> None:
    targets = re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in commands(page):
        arguments = verb_arguments(words)
        if arguments is not None:
            said = io.StringIO()
            try:
                with contextlib.redirect_stderr(said):
                    build_parser().parse_args(arguments)
            except SystemExit:
                pytest.fail(f"{shlex.join(words)}: {said.getvalue()}")
        elif words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= set(targets), shlex.join(words)
        elif words[0] == "python":
            assert (REPOSITORY / words[1]).is_file(), shlex.join(words)
        else:
            assert words[0] in OTHER_COMMANDS, shlex.join(words)


def test_the_readme_shows_the_guides_commands_in_its_order() -> None:
    shown = [shlex.join(words) for words in commands(REPOSITORY / "README.md")]
    wanted = ["tools/quick_check.py", "tools/train.py", "tools/dist_train.sh", "--resume-from"]
    places = [next(i for i, command in enumerate(shown) if name in command) for name in wanted]
    assert places == sorted(places)
    assert shown[:2] == ["make demo", "make test"]


def test_both_readmes_have_the_same_commands_and_outputs() -> None:
    english, korean = REPOSITORY / "README.md", REPOSITORY / "README.ko.md"
    assert blocks(korean, "bash") == blocks(english, "bash")
    assert blocks(korean, "text") == blocks(english, "text")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    links = [link.partition("#")[0] for link in LINK.findall(prose) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_the_python_examples_give_what_they_show(name: str) -> None:
    source = "".join(blocks(REPOSITORY / name, "python"))
    example = doctest.DocTestParser().get_doctest(source, {}, name, name, 0)
    report = io.StringIO()
    result = doctest.DocTestRunner(verbose=False).run(example, out=report.write)
    assert result.attempted >= 6
    assert result.failed == 0, report.getvalue()


def test_the_example_of_an_own_loss_and_hook_works(tmp_path: Path) -> None:
    import torch

    from sdpose.assemble.model import build_loss
    from sdpose.assemble.schedule import build_hooks
    from sdpose.assemble.user_code import import_user_code
    from sdpose.config.settings import load_settings
    from sdpose.models import CycleOutput

    (tmp_path / "configs").symlink_to(REPOSITORY / "configs")
    (tmp_path / "my").mkdir()
    for block in blocks(REPOSITORY / "docs" / "configs.md", "python"):
        name = block.splitlines()[0].removeprefix("# ")
        assert name.startswith("my/"), name
        (tmp_path / name).write_text(block, encoding="utf-8")
    changes = {
        "custom_imports.imports": ["my_losses.py", "my_hooks.py"],
        "custom_hooks": [{"type": "PrintSlowIterations", "limit_s": 1.0}],
    }
    options = ["custom_imports.imports=[my_losses.py,my_hooks.py]"]
    config = tmp_path / "my" / "my_config.py"
    text = config.read_text(encoding="utf-8")
    assert load_settings(config).model.keypoint_head.extra_losses.keys() == {"loss_heatmap_dist"}
    config.write_text(f"{text}custom_hooks = {changes['custom_hooks']!r}\n", encoding="utf-8")
    settings = load_settings(config, cfg_options=options)
    said: list[str] = []
    user_code = import_user_code(settings, said.append)
    assert len(said) == 2
    assert "PrintSlowIterations" in [type(hook).__name__ for hook in build_hooks(settings, user_code)]
    heatmaps = torch.zeros(2, 17, 64, 48)
    cycles = [
        CycleOutput(heatmaps + shift, torch.zeros(2, 17, 192), torch.zeros(2, 256, 192)) for shift in (0, 1)
    ]
    terms = build_loss(settings, user_code)(cycles, heatmaps, torch.ones(2, 17, 1))
    assert float(terms["loss_heatmap_dist"]) == pytest.approx(1e-3)


def test_the_import_table_on_the_page_is_the_one_that_is_held() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = {
        room: (rooms, third_party)
        for room, rooms, third_party in re.findall(r"^\| (\w+) \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
        if room in TABLE
    }
    assert rows.keys() == TABLE.keys()
    for room, (rooms, third_party) in TABLE.items():
        shown = names(rows[room][0].replace("all above assemble", ", ".join(BELOW_FIT)).replace("plus ", ""))
        assert (shown, names(rows[room][1])) == (rooms, third_party), room


def names(cell: str) -> set[str]:
    """`"a, b"` -> {"a", "b"}; `"-"` is empty."""
    return {name for name in map(str.strip, cell.split(",")) if name not in ("", "-")}


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_no_output_is_left_to_be_filled_in(name: str) -> None:
    assert "@@" not in (REPOSITORY / name).read_text(encoding="utf-8")
