"""The page in a real browser: what it shows equals the log, as it comes, for everybody and on a phone."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dashboard_runs import ALERT, STAMP, append, train, val, write_run

from sdpose.dashboard.watched_run import run_id

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'sdpose[dev]'")
CHROMIUM = os.environ.get("SDPOSE_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs chromium (apt-get install chromium), or SDPOSE_CHROMIUM=/path/to/it"
)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """`open_page(address, width=..., dark=...)`; the page must have asked nobody else and complained of nothing."""
    opened: list[tuple[Any, str, list[str], list[str]]] = []

    def open_it(address: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            locale="en-US",
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        complaints: list[str] = []
        asked: list[str] = []
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector("#charts .u-legend, #charts .empty")
        opened.append((context, address, complaints, asked))
        return page

    yield open_it
    for context, address, complaints, asked in opened:
        base = address.split("#")[0].rstrip("/") + "/"
        assert complaints == []
        assert [url for url in asked if not url.startswith((base, "data:"))] == []
        context.close()


def logged(run: Path, name: str, mode: str = "train") -> list[float]:
    rows = map(json.loads, (run / f"{STAMP}.log.json").read_text(encoding="utf-8").splitlines())
    return [row[name] for row in rows if row.get("mode") == mode]


def column(page: Any, name: str) -> list[str]:
    """Cells of the table of numbers, under a heading."""
    return page.evaluate(
        """(name) => {
            const at = [...document.querySelectorAll("#table thead th")].findIndex((th) => th.textContent === name);
            return [...document.querySelectorAll("#table tbody tr")].map((row) => row.children[at].textContent);
        }""",
        name,
    )


def legend(page: Any, group: str) -> dict[str, str]:
    """Label -> value as the legend of a chart tells them."""
    return page.evaluate(
        """(group) => Object.fromEntries(
            [...document.querySelectorAll(`[data-group=${group}] .u-legend .u-series`)].map((row) =>
                [row.querySelector(".u-label").textContent, row.querySelector(".u-value").textContent]))""",
        group,
    )


def wait_until(page: Any, good: Callable[[], bool], *, seconds: float = 10.0) -> None:
    ends_at = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < ends_at
        page.wait_for_timeout(50)


def test_the_numbers_on_the_page_are_those_of_the_log(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    run = write_run(tmp_path / "run")
    page = open_page(served(tmp_path))
    page.click("#table-details summary")
    page.wait_for_selector("#table tbody tr")
    for name in ("loss", "vis_dist_loss", "lr", "grad_norm", "time"):
        assert [float(cell) for cell in column(page, name)] == logged(run, name)
    page.select_option("#table-mode", "val")
    wait_until(page, lambda: "AP" in page.inner_text("#table thead"))
    assert [float(cell) for cell in column(page, "AP")] == logged(run, "AP", "val")
    shown = legend(page, "loss")
    assert float(shown["loss"]) == logged(run, "loss")[-1]
    assert float(shown["vis_dist_loss"]) == logged(run, "vis_dist_loss")[-1]
    health = {"heatmap_peak": "0.612345", "kpt_token_std": "0.0314159"}
    assert legend(page, "health") == {"iteration": "30", **health}
    score = legend(page, "score")
    assert float(score["AP"]) == 0.6
    assert float(score["95 % noise band ↑"]) == 0.62
    # The guide's line goes on to the end of the run; the legend does not.
    assert score["iteration"] == "30"
    assert 0.6 < float(score["guide's expectation ↑"]) < 0.73
    facts = page.inner_text("#run-head")
    assert "3 of 6" in facts and "0.600 (at epoch 3)" in facts
    assert "Verdict\nsee the warnings" in facts


def test_a_new_record_is_on_the_page_within_two_seconds(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    picture = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    run = write_run(tmp_path / "run")
    page = open_page(served(tmp_path))
    assert page.is_hidden("#picture-section")
    wait_until(page, lambda: legend(page, "loss").get("iteration") == "30")
    line = json.dumps(train(4, 5, loss=0.004321)) + "\n"
    append(run, line[:40])
    page.wait_for_timeout(700)
    assert legend(page, "loss")["iteration"] == "30", "half a line is no record"
    # As a training does: the picture first, then the line that lets everybody look.
    (run / "evaluations").mkdir()
    (run / "evaluations" / "newest.jpg").write_bytes(picture)
    append(run, line[40:])
    started_at = time.monotonic()
    wait_until(page, lambda: legend(page, "loss")["loss"] == "0.004321")
    assert time.monotonic() - started_at < 2.0
    assert legend(page, "loss")["iteration"] == "35"
    page.locator("#picture img").scroll_into_view_if_needed()
    wait_until(page, lambda: page.evaluate("document.querySelector('#picture img').naturalWidth") == 8)
    assert "evaluations/newest.jpg" in page.inner_text("#picture")


def test_alerts_are_cards_with_causes_and_actions_in_both_languages(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    write_run(tmp_path / "run")
    page = open_page(served(tmp_path))
    page.click("#alerts details summary")
    assert "The learning rate is too high" in page.inner_text("#alerts")
    page.select_option("#language", "ko")
    wait_until(page, lambda: "loss" in page.inner_text("#alerts") and "조치" in page.inner_text("#alerts"))
    assert page.get_attribute("html", "lang") == "ko"
    assert page.get_attribute("#alerts article", "lang") == "ko"
    assert page.inner_text("#alerts-heading") == "경고"


def test_dragging_looks_closer_and_a_double_click_shows_all(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    write_run(tmp_path / "run", [train(epoch, 10) for epoch in range(1, 101)])
    page = open_page(served(tmp_path))
    box = page.locator("[data-group=loss] .u-over").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=4)
    with page.expect_request(lambda request: "/curves?" in request.url and "from=" in request.url):
        page.mouse.up()
    wait_until(page, lambda: page.input_value("#from") != "")
    assert 200 < float(page.input_value("#from")) < 300
    assert 450 < float(page.input_value("#to")) < 550
    page.locator("[data-group=loss] .u-over").dblclick()
    wait_until(page, lambda: page.input_value("#from") == "")
    page.fill("#from", "400")
    page.fill("#to", "600")
    page.keyboard.press("Tab")
    page.click("#table-details summary")
    wait_until(page, lambda: len(column(page, "iteration")) == 21)


def test_two_runs_lie_over_each_other_and_their_configs_are_compared(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", lr=3e-3)
    page = open_page(served(tmp_path) + f"/#{run_id(tmp_path / 'a')}")
    page.check("#runs input[aria-label='overlay: b']")
    wait_until(page, lambda: {"a: loss", "b: loss"} <= legend(page, "loss").keys())
    wait_until(page, lambda: "optimizer.lr" in page.inner_text("#differences"))
    assert "0.003" in page.inner_text("#differences")


def test_logarithmic_losses_and_smoothing(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    write_run(tmp_path / "run")
    page = open_page(served(tmp_path))
    page.select_option("#scale", "log")
    page.focus("#smoothing")
    page.keyboard.press("ArrowRight")
    wait_until(page, lambda: "loss smoothed" in legend(page, "loss"))
    assert page.inner_text("#smoothing-value") == "3 records"


def test_it_can_be_used_without_a_mouse_and_says_what_is_what(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b")
    page = open_page(served(tmp_path) + f"/#{run_id(tmp_path / 'a')}")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, a[href], summary, [role=button]")]
            .filter((node) => !node.closest("[hidden]"))
            .filter((node) => !(node.textContent.trim() || node.getAttribute("aria-label") ||
            [...(node.labels ?? [])].some((label) => label.textContent.trim()))).map((node) => node.outerHTML)"""
    )
    assert unnamed == []
    for landmark in ("banner", "navigation", "main"):
        assert page.get_by_role(landmark).count() == 1
    assert page.get_attribute("[data-group=loss] .plot", "aria-label").startswith(
        "Losses: loss 0.006667 → 0.0025; heatmap_loss 0.006667 → 0.0025; vis_dist_loss 4.12345e-6"
    )
    page.focus("#runs li:nth-child(2) a")
    page.keyboard.press("Enter")
    wait_until(page, lambda: page.inner_text("#run-head h2") == "b")
    assert page.get_attribute("#runs li:nth-child(2) a", "aria-current") == "page"
    page.wait_for_selector("[data-group=loss] .u-legend .u-series:last-child th[role=button]")
    page.focus("[data-group=loss] .u-legend .u-series:last-child th")
    page.keyboard.press("Enter")
    pressed = "[data-group=loss] .u-legend .u-series:last-child th"
    wait_until(page, lambda: page.get_attribute(pressed, "aria-pressed") == "false")


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any], dark: bool
) -> None:
    write_run(tmp_path / "run")
    page = open_page(served(tmp_path), dark=dark)
    ratios = page.evaluate(
        """() => {
            const light = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
                .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
                .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
            const style = getComputedStyle(document.documentElement);
            const of = (name) => light(style.getPropertyValue(name).trim());
            const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            const names = ["text", "muted", "link", "good", "bad", "critical", "warning", "info"];
            const least = (n) => Math.min(...["--card", "--back"].map((ground) => ratio(of(`--${n}`), of(ground))));
            return Object.fromEntries(names.map((n) => [n, least(n)]));
        }"""
    )
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}
    back = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(18, 22, 28)" if dark else "rgb(246, 247, 249)")
    page.select_option("#theme", "light" if dark else "dark")
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") != back


def test_a_phone_shows_all_of_it_in_its_width(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    write_run(tmp_path / "a_run_with_a_rather_long_name_as_they_often_have_in_folders_of_experiments")
    page = open_page(served(tmp_path), width=360, height=740)
    assert page.evaluate("() => document.documentElement.scrollWidth") == 360


def test_a_folder_that_is_deleted_while_it_is_looked_at(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    run = write_run(tmp_path / "run")
    page = open_page(served(tmp_path))
    shutil.rmtree(run)
    wait_until(page, lambda: "folder gone" in page.inner_text("#run-head"))
    assert legend(page, "loss")["iteration"] == "30"


def fact(page: Any, name: str) -> str:
    """What stands under a name at the head of the run."""
    return (
        page.locator("#run-head .fact", has=page.locator(f"dt:text-is('{name}')")).locator("dd").inner_text()
    )


def end(run: Path, text: str) -> None:
    with (run / f"{STAMP}.log").open("a", encoding="utf-8") as file:
        file.write(f"2026-01-01 00:00:09,000 - mmpose - INFO - {text}; statistics in training_stats.txt\n")


def test_a_failed_run_tells_why_and_shows_where(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    run = write_run(tmp_path / "run", [train(1, 5, loss=float("nan"), grad_norm=float("nan"))])
    broken = ALERT | {
        "kind": "non_finite",
        "severity": "critical",
        "epoch": 1,
        "iteration": 2,
        "evidence": {},
    }
    (run / "alerts.jsonl").write_text(json.dumps(broken) + "\n", encoding="utf-8")
    end(run, "run failed: stopped at iteration 2: loss is nan")
    page = open_page(served(tmp_path))
    assert fact(page, "State") == "failed"
    wait_until(page, lambda: fact(page, "Verdict") == "NaN")
    assert "Why it ended: stopped at iteration 2: loss is nan" in page.inner_text("#run-head")
    shown = legend(page, "loss")
    assert (shown["loss"], shown["vis_dist_loss"]) == ("NaN or Inf", "4.12345e-6")
    # An accuracy on training batches is no score of the run.
    assert fact(page, "best") == "–"
    # The first mark lies before the first record, and is found by the pointer.
    box = page.locator("[data-group=loss] .u-over").bounding_box()
    page.mouse.move(box["x"] + 1, box["y"] + 50)
    wait_until(
        page,
        lambda: (
            page.get_attribute("[data-group=loss] .u-over", "title") == "critical: non_finite · iteration 2"
        ),
    )
    assert (
        page.evaluate("() => document.querySelector('#config').getAttribute('aria-labelledby')")
        == "config-name"
    )


def test_a_run_that_finds_nobody_is_not_healthy(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    rows = [row for e in (1, 2) for row in (train(e, 5), train(e, 10), val(e, 0.0, AP_low=0.0, AP_high=0.0))]
    run = write_run(tmp_path / "run", rows)
    (run / "alerts.jsonl").unlink()
    page = open_page(served(tmp_path))
    wait_until(page, lambda: fact(page, "Verdict") == "score is 0 everywhere")
    assert page.inner_text("#alerts") == "No alerts.", "while it trains there are evaluations to come"
    page.select_option("#language", "ko")
    wait_until(page, lambda: fact(page, "판정") == "모든 점수가 0")
    page.select_option("#language", "en")
    end(run, "run finished; best AP 0.0000 in best_AP_epoch_1.pth")
    wait_until(page, lambda: "metric_zero" in page.inner_text("#alerts"))
    # The gravest lies open, with advice for this run; closed by somebody, it stays closed.
    assert "lr 1e-3 -> " in page.inner_text("#alerts") and page.locator("#alerts details[open]").count() == 1
    page.click("#alerts summary")
    append(run, train(3, 5, loss=0.004321))
    wait_until(page, lambda: legend(page, "loss")["loss"] == "0.004321")
    page.select_option("#language", "ko")
    wait_until(page, lambda: "조치" in page.text_content("#alerts"))
    assert page.inner_text("#connection") == "실시간"
    assert page.locator("#alerts details[open]").count() == 0
    page.select_option("#language", "en")
    wait_until(page, lambda: fact(page, "State") == "finished")


def test_who_reads_an_alert_is_not_disturbed_by_new_records(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    run = write_run(tmp_path / "run")
    page = open_page(served(tmp_path))
    page.focus("#alerts summary")
    page.keyboard.press("Enter")
    page.evaluate("() => getSelection().selectAllChildren(document.querySelector('#alerts li'))")
    append(run, train(4, 5, loss=0.004321))
    wait_until(page, lambda: legend(page, "loss")["loss"] == "0.004321")
    assert page.evaluate("() => getSelection().toString()") == "The learning rate is too high"
    assert page.evaluate("() => document.activeElement.tagName") == "SUMMARY"
    with (run / "alerts.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(ALERT | {"iteration": 35, "epoch": 4}) + "\n")
    # One card for all of a kind: a run of weeks has many.
    wait_until(page, lambda: "loss_spike · epoch 4, iteration 35" in page.inner_text("#alerts h3"))
    assert "also at iterations 15" in page.inner_text("#alerts")
    assert page.locator("#alerts article").count() == 1
    assert page.evaluate("() => document.activeElement.tagName") == "SUMMARY"
    assert page.locator("#alerts details[open]").count() == 1


def test_logs_of_others_stand_with_what_belongs_to_them(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    (tmp_path / "plot.py").write_text("import matplotlib\n", encoding="utf-8")
    log = tmp_path / "training.csv"
    rows = [f"{1 / (1 + n)},{0.5 + n / 100}\n" for n in range(12)]
    log.write_text("loss,val_accuracy\n" + "".join(rows), encoding="utf-8")
    unreadable = tmp_path / "broken.log.json"
    unreadable.write_bytes(b"\x00\xff\xfe{{{\n" * 3)
    address = served(log, unreadable)
    page = open_page(f"{address}/#{run_id(log)}")
    assert "NaN" not in page.inner_text("#run-head")
    assert " ".join(page.inner_text("#config-section").split()) == "Configuration No config in the folder."
    page.click("#runs a:has-text('broken')")
    wait_until(page, lambda: page.inner_text("#run-head h2") == "broken.log.json")
    assert fact(page, "State") == "unreadable"
    assert fact(page, "Verdict") == "–"
    assert "not text" in page.inner_text("#run-head")


def test_what_trains_stands_first_in_the_list_and_is_shown(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    for name in ("a", "b", "c"):
        run = write_run(tmp_path / name)
        if name != "b":
            end(run, "run finished; best AP 0.6000 in best_AP_epoch_3.pth")
    os.utime(tmp_path / "a" / f"{STAMP}.log.json", (0, 0))
    page = open_page(served(tmp_path))
    assert page.inner_text("#run-head h2") == "b"
    assert page.locator("#runs strong").all_inner_texts() == ["b", "c", "a"]


def test_the_list_scrolls_to_the_run_that_is_shown_and_the_page_does_not(
    tmp_path: Path, served: Callable[..., str], open_page: Callable[..., Any]
) -> None:
    for number in range(8):
        write_run(tmp_path / f"run_{number}")
    page = open_page(f"{served(tmp_path)}/#{run_id(tmp_path / 'run_7')}", height=400)
    wait_until(page, lambda: page.locator("nav").evaluate("(nav) => nav.scrollTop") > 0)
    assert page.evaluate("() => scrollY") == 0
    box = page.locator("#runs .shown").bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 400
