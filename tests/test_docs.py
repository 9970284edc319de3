"""The pages tell the truth where a test can know it: commands parse, links lead somewhere, examples run."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
from pathlib import Path

import pytest
from page_text import (
    FENCE,
    OF_THE_SHELL,
    PAGES,
    REPOSITORY,
    TRANSLATIONS,
    anchors,
    blocks,
    page_commands,
    page_id,
    verb_arguments,
    without_surroundings,
)
from test_architecture import BELOW_FIT, TABLE

from sdpose.cli.main import build_parser

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OTHER_COMMANDS = {"source", "export", *OF_THE_SHELL}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_parses(page: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in (without_surroundings(command.words()) for command in page_commands(page)):
        if not words:
            continue
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
        elif words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
            assert (REPOSITORY / words[2].replace(".", "/")).with_suffix(".py").is_file(), shlex.join(words)
        elif words[0] == "python" and words[1] not in ("-c", "-m"):
            assert (REPOSITORY / words[1]).is_file(), shlex.join(words)
        else:
            assert words[0] in {*OTHER_COMMANDS, "python"}, shlex.join(words)


def test_the_readme_shows_the_guides_commands_in_its_order() -> None:
    shown = [command.text for command in page_commands(REPOSITORY / "README.md")]
    wanted = ["tools/quick_check.py", "tools/train.py", "tools/dist_train.sh", "--resume-from"]
    places = [next(i for i, command in enumerate(shown) if name in command) for name in wanted]
    assert places == sorted(places)
    assert shown[:2] == ["make demo", "make test"]


@pytest.mark.parametrize(("translation", "original"), TRANSLATIONS.items())
def test_a_translation_has_the_same_commands_and_outputs(translation: str, original: str) -> None:
    for language in ("bash", "text", "json"):
        assert blocks(REPOSITORY / translation, language) == blocks(REPOSITORY / original, language)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.findall(prose):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


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


def test_the_index_names_every_page() -> None:
    index = REPOSITORY / "docs" / "README.md"
    linked = set(LINK.findall(index.read_text(encoding="utf-8")))
    assert {page.name for page in index.parent.glob("*.md")} - linked == {"README.md"}
