"""Runs read from their folders, with the commands people type: all in a list, several side by side, one as a page."""

from __future__ import annotations

import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import pytest
from tiny_runs import one_error, python, type_in, write_config


def sdpose(*words: object) -> tuple[str, str]:
    """`sdpose WORDS` on a wide terminal; what it printed and its errors."""
    ended = type_in("sdpose", *words, COLUMNS="200")
    assert ended.code == 0, ended
    return ended.out, ended.err


@pytest.fixture(scope="module")
def work_dirs(tmp_path_factory: pytest.TempPathFactory, people: Path, straight: Path) -> Path:
    """Two runs that differ in the learning rate alone: `usual` and `timid`."""
    folder = tmp_path_factory.mktemp("compared") / "work_dirs"
    shutil.copytree(straight, folder / "usual", symlinks=True)
    config = write_config(folder.parent, people)
    words = ["--seed", "1", "--work-dir", folder / "timid", "--cfg-options", "optimizer.lr=2e-6"]
    ended = python("tools/train.py", config, *words)
    assert ended.code == 0, ended
    return folder


def test_runs_are_listed_with_state_and_best_ap(work_dirs: Path) -> None:
    out, _ = sdpose("runs", work_dirs)
    lines = [line.split() for line in out.splitlines()]
    head = "run state epoch best AP at last AP alarms s/iter time"
    assert lines[0] == head.split()
    assert [line[:3] for line in lines[1:]] == [["timid", "finished", "2/2"], ["usual", "finished", "2/2"]]


def test_runs_as_json_agree_with_the_log(work_dirs: Path) -> None:
    runs = {Path(run["path"]).name: run for run in json.loads(sdpose("runs", work_dirs, "--json")[0])}
    (log,) = (work_dirs / "usual").glob("*.log.json")
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()[1:]]
    scores = [entry["AP"] for entry in entries if entry["mode"] == "val"]
    losses = [entry["loss"] for entry in entries if entry["mode"] == "train"]
    usual = runs["usual"]
    assert (usual["state"], usual["epoch"], usual["iteration"]) == ("finished", 2, 8)
    assert (usual["best_ap"], usual["last_ap"], usual["last_loss"]) == (max(scores), scores[-1], losses[-1])
    assert runs["timid"]["last_loss"] != usual["last_loss"]


def test_compare_names_what_differs_in_the_configs_and_nothing_else(work_dirs: Path) -> None:
    out, _ = sdpose("compare", work_dirs / "usual", work_dirs / "timid")
    config = out[out.index("config") :].strip().splitlines()
    assert [line.split() for line in config[1:]] == [["optimizer.lr", "0.001", "2e-06"]]


def test_compare_says_whether_ap_differs_beyond_noise(work_dirs: Path, tmp_path: Path) -> None:
    same = tmp_path / "again"
    shutil.copytree(work_dirs / "usual", same, symlinks=True)
    out, _ = sdpose("compare", work_dirs / "usual", same)
    assert "no difference shown: 0.000 [0.000, 0.000]" in out
    assert "the configs are the same" in out


def test_one_run_alone_is_refused(work_dirs: Path) -> None:
    error = one_error(type_in("sdpose", "compare", work_dirs / "usual"))
    assert error == "compare needs at least two runs: sdpose compare RUN RUN ...\n"


@pytest.mark.parametrize("verb", ["compare", "runs"])
def test_a_folder_without_a_run_is_refused(verb: str, work_dirs: Path, tmp_path: Path) -> None:
    runs = [work_dirs / "usual"] if verb == "compare" else []
    error = one_error(type_in("sdpose", verb, *runs, tmp_path))
    assert str(tmp_path) in error
    assert "log.json" in error


def test_a_damaged_evaluation_is_said_and_the_rest_compared(work_dirs: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(work_dirs / "timid", damaged, symlinks=True)
    for path in (damaged / "evaluations").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    out, _ = sdpose("compare", work_dirs / "usual", damaged)
    assert "or damaged" in " ".join(out.split())
    assert "optimizer.lr" in out


# The page ------------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What stands on a page: tags with their attributes, and the text that is seen."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def names(self) -> set[str]:
        return {tag for tag, _ in self.tags}


def test_every_training_leaves_a_page_that_agrees_with_its_log(straight: Path) -> None:
    page = Page(straight / "report.html")
    assert page.open == []
    entries = [
        json.loads(line)
        for log in straight.glob("*.log.json")
        for line in log.read_text(encoding="utf-8").splitlines()[1:]
    ]
    scores = [entry for entry in entries if entry["mode"] == "val"]
    best = max(scores, key=lambda entry: entry["AP"])
    sure = f"{best['AP']:.3f} [{best['AP_low']:.3f}, {best['AP_high']:.3f}] at epoch {best['epoch']}"
    assert sure in page.text
    assert "The run finished." in page.text
    assert "best_AP_epoch_1.pth" in page.text
    assert "sdpose train" in page.text
    assert "--seed 1 " in page.text
    assert "left_wrist" in page.text
    assert "report.html is written" in (straight / "latest.log").read_text(encoding="utf-8")


def test_the_page_asks_nothing_of_the_outside_and_can_be_read_aloud(straight: Path) -> None:
    page = Page(straight / "report.html")
    assert page.names() & {"script", "link", "iframe", "object", "base", "form"} == set()
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src"):
                assert value is not None
                assert value.startswith(("#", "data:image/jpeg;base64,")), value
    style = (straight / "report.html").read_text(encoding="utf-8").split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme:dark" in style
    assert [tag for tag, _ in page.tags].count("h1") == 1
    count = [tag for tag, _ in page.tags].count
    assert count("table") == count("caption") > 0
    assert count("svg") == count("desc") > 3
    charts = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert all(chart["role"] == "img" and chart["aria-labelledby"] for chart in charts)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_same_run_gives_the_same_bytes(straight: Path, tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        sdpose("report", straight, "--out", tmp_path / name)
    one = (tmp_path / "one.html").read_bytes()
    assert one == (tmp_path / "two.html").read_bytes()
    # The page of the training itself, made before the line about it was logged.
    assert one == (straight / "report.html").read_bytes()


def test_markdown_and_korean_say_the_same_numbers(straight: Path, tmp_path: Path) -> None:
    sdpose("report", straight, "--md", "--lang", "ko", "--out", tmp_path / "ko.md")
    sdpose("report", straight, "--md", "--out", tmp_path / "en.md")
    korean, english = ((tmp_path / name).read_text(encoding="utf-8") for name in ("ko.md", "en.md"))
    assert english.startswith("# Training report: work\n\n## Verdict\n")
    assert korean.startswith("# 학습 리포트: work\n\n## 판정\n")
    numbers = re.compile(r"\d+\.\d+")
    assert sorted(numbers.findall(korean)) == sorted(numbers.findall(english))


def test_nothing_in_a_run_can_put_tags_on_its_page(straight: Path, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`|"
    folder = tmp_path / "<b>run"
    shutil.copytree(straight, folder, symlinks=True)
    (config,) = folder.glob("*.py")
    config.write_text(config.read_text(encoding="utf-8") + f"\nnote = {evil!r}\n", encoding="utf-8")
    (log,) = folder.glob("*.log.json")
    head, *lines = log.read_text(encoding="utf-8").splitlines()
    changed = [json.dumps({**json.loads(head), "env_info": f"{evil}: {evil}"})]
    changed += [json.dumps({**json.loads(line), f"{evil}loss": 1.0}) for line in lines]
    log.write_text("\n".join(changed) + "\n", encoding="utf-8")
    alert = {"kind": evil, "severity": "critical", "epoch": 1, "iteration": 2, "metric": evil, "value": 1.0}
    alert |= {"message": evil, "causes": [evil], "actions": [evil]}
    (folder / "alerts.jsonl").write_text(json.dumps(alert) + "\n", encoding="utf-8")
    repair = {"iteration": 2, "outcome": evil, "text": evil}
    (folder / "repairs.jsonl").write_text(json.dumps(repair) + "\n", encoding="utf-8")
    incident = folder / "incidents" / "iter_2"
    incident.mkdir(parents=True)
    (incident / "incident.json").write_text(json.dumps({"kind": evil, "severity": evil, "iteration": evil}))
    explanation = {"verdict": evil, "actions": [evil], "experiments": [{"question": evil, "answer": evil}]}
    (incident / "explanation.json").write_text(json.dumps(explanation))
    sdpose("report", folder)
    page = Page(folder / "report.html")
    assert page.open == []
    assert page.names() & {"script", "b"} == set()
    assert all(str(picture["src"]).startswith("data:image/jpeg;base64,") for picture in pictures_on(page))
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count("<script>alert(1)</script>") > 10
    sdpose("report", folder, "--md")
    text = (folder / "report.md").read_text(encoding="utf-8")
    outside_code = re.sub(r"^(`{3,})\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert re.search(r"(?<!\\)<", outside_code) is None


def persons_of(people: Path) -> int:
    """How many persons of the validation set count."""
    truth = json.loads((people / "annotations" / "person_keypoints_val2017.json").read_text(encoding="utf-8"))
    return sum(bool(each["num_keypoints"] and not each["iscrowd"]) for each in truth["annotations"])


def pictures_on(page: Page) -> list[dict[str, str | None]]:
    return [attributes for tag, attributes in page.tags if tag == "img"]


def test_a_fresh_run_has_its_worst_samples_and_the_ap_of_each_joint(
    straight: Path, straight_config: Path, people: Path, tmp_path: Path
) -> None:
    page = Page(straight / "report.html")
    assert len(pictures_on(page)) == min(persons_of(people), 24) > 10
    assert all(picture["alt"] for picture in pictures_on(page))
    assert "in the evaluation after epoch 1;" in page.text
    # What `sdpose test` of the best checkpoint finds is the same.
    folder = tmp_path / "tested"
    sdpose("test", straight_config, straight / "best_AP_epoch_1.pth", "--work-dir", folder, "--analyse")
    joints = json.loads((folder / "analysis.json").read_text(encoding="utf-8"))["joints"]
    for joint in ("nose", "left_hip"):
        row = joints[joint]
        assert f"{joint}{row['AP']:.3f} [{row['AP_low']:.3f}, {row['AP_high']:.3f}]" in page.text


def test_a_training_keeps_the_predictions_and_a_picture_of_its_evaluations(straight: Path) -> None:
    folder = straight / "evaluations"
    names = {path.name for path in folder.iterdir()}
    kept = {"predictions_epoch_1.npz", "predictions_epoch_2.npz"}
    assert names == {"epoch_1.npz", "epoch_2.npz", "newest.jpg"} | kept
    picture = cv2.imread(str(folder / "newest.jpg"))
    assert picture is not None
    assert (folder / "newest.jpg").stat().st_size < 300_000
    # Six pairs: paper between drawn people, so it is no single colour.
    assert picture.std() > 20


def test_a_picture_that_cannot_be_made_is_one_line_and_changes_nothing(people: Path, tmp_path: Path) -> None:
    broken = tmp_path / "people"
    shutil.copytree(people, broken)
    (first, *_) = sorted((broken / "val2017").iterdir())
    first.write_bytes(b"no image")
    ended = python("tools/train.py", write_config(tmp_path, broken), "--seed", "1")
    assert ended.code == 0, ended
    log = (tmp_path / "work" / "latest.log").read_text(encoding="utf-8")
    said = [line for line in log.splitlines() if "no picture of this evaluation's predictions" in line]
    assert len(said) == 1, "said once, not after each of the two evaluations"
    assert f"{first}: the image cannot be decoded" in said[0]
    assert not (tmp_path / "work" / "evaluations" / "newest.jpg").exists()
    assert (tmp_path / "work" / "evaluations" / "predictions_epoch_2.npz").exists()
    page = Page(tmp_path / "work" / "report.html")
    assert f"No pictures: {first} cannot be read." in page.text


def test_without_predictions_of_its_own_a_report_takes_those_of_a_test(
    straight: Path, straight_config: Path, people: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(straight, folder, symlinks=True)
    (folder / "evaluations" / "predictions_epoch_1.npz").unlink()
    sdpose("report", folder)
    text = Page(folder / "report.html").text
    assert "these are the newest that are kept, of epoch 2" in text
    assert "--analyse" in text, "AP of each joint is that of the best evaluation or none"
    (folder / "evaluations" / "predictions_epoch_2.npz").unlink()
    sdpose("report", folder)
    page = Page(folder / "report.html")
    assert "No predictions are kept here" in page.text
    assert pictures_on(page) == []
    sdpose("test", straight_config, folder / "best_AP_epoch_1.pth", "--work-dir", folder, "--analyse")
    sdpose("report", folder)
    page = Page(folder / "report.html")
    assert "in result_keypoints.json" in page.text
    assert len(pictures_on(page)) == min(persons_of(people), 24)
    assert "from analysis.json" in page.text


@pytest.mark.parametrize("content", ["", "{", "[]", '[{"image_id": 1}]', '{"a": 1}'])
def test_damaged_predictions_are_said_and_the_rest_is_shown(
    content: str, straight: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(straight, folder, symlinks=True)
    for kept in (folder / "evaluations").glob("predictions_*"):
        kept.unlink()
    (folder / "result_keypoints.json").write_text(content, encoding="utf-8")
    if content == "":
        # The run's own, cut short.
        whole = (straight / "evaluations" / "predictions_epoch_1.npz").read_bytes()
        (folder / "evaluations" / "predictions_epoch_1.npz").write_bytes(whole[:200])
    sdpose("report", folder)
    page = Page(folder / "report.html")
    assert "left_wrist" in page.text
    assert "img" not in page.names() or content == "[]"
    assert "No pictures: not usable" in page.text or content == "[]"


def test_a_run_that_failed_leaves_a_page_too(people: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, people)
    words = ["--seed", "1", "--cfg-options", "optimizer.lr=1e30"]
    ended = python("tools/train.py", config, *words)
    assert ended.code == 1, ended
    page = Page(tmp_path / "work" / "report.html")
    assert "The run failed: " in page.text
    assert "non_finite" in page.text
    # First what broke, how it ended, why and what to do; then the numbers.
    parts = (
        "NaN or Inf",
        "The run failed: ",
        "Cause, found by experiment: ",
        "First thing to do: ",
        "The run in numbers",
    )
    assert [page.text.index(part) for part in parts] == sorted(page.text.index(part) for part in parts)
    assert "no checkpoint to make them with" in page.text
    assert "CHECKPOINT" not in page.text
    assert "00000000000000" not in page.text


def test_a_run_that_finds_nobody_is_not_called_healthy(straight: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(straight, folder, symlinks=True)
    (log,) = folder.glob("*.log.json")
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    rows = [
        row | {"AP": 0.0, "AP_low": 0.0, "AP_high": 0.0} if row.get("mode") == "val" else row for row in rows
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    sdpose("report", folder)
    text = Page(folder / "report.html").text
    assert "Nothing usable yet: the score is 0 in every evaluation" in text
    assert "Healthy" not in text
    assert "First thing to do: Run the quick check" in text
    assert "Critical: metric_zero, iteration " in text
    # Killed, its log without a fault: the ending comes first.
    (text_log,) = folder.glob("[0-9]*.log")
    said = text_log.read_text(encoding="utf-8")
    text_log.write_text(said.replace("run finished;", "run failed: out of memory;"), encoding="utf-8")
    sdpose("report", folder)
    text = Page(folder / "report.html").text
    assert text.index("The run failed: out of memory") < text.index(
        "What its log shows up to there: Nothing usable yet"
    )


def test_a_killed_run_is_told_how_to_go_on_and_its_alarms_are_translated(
    straight: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "실험 하나" / "첫 run"
    shutil.copytree(straight, folder, symlinks=True)
    (text_log,) = folder.glob("[0-9]*.log")
    said = text_log.read_text(encoding="utf-8")
    text_log.write_text(said[: said.index(" - run finished")], encoding="utf-8")
    spike = {
        "kind": "loss_spike",
        "severity": "warning",
        "epoch": 1,
        "iteration": 2,
        "metric": "loss",
        "value": 0.9,
    }
    spike |= {"evidence": {"current": 0.9, "recent_average": 0.1, "ratio": 9.0, "loss_spike_threshold": 2.0}}
    spike |= {"message": "WARNING: Loss spike detected!", "causes": [], "actions": ["Wait"], "language": "en"}
    (folder / "alerts.jsonl").write_text(json.dumps(spike) + "\n", encoding="utf-8")
    (log,) = folder.glob("*.log.json")
    head, *lines = log.read_text(encoding="utf-8").splitlines()
    entry = json.loads(head)
    head = json.dumps(entry | {"env_info": entry["env_info"] + "\nProcesses: 2"})
    log.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    for path in folder.glob("*.log*"):
        os.utime(path, (0, 0))
    sdpose("report", folder, "--lang", "ko")
    text = Page(folder / "report.html").text
    assert (
        text.index("강제 종료되었거나 멈춰 있습니다")
        < text.index("이어서 학습: sdpose train ")
        < text.index("요약")
    )
    assert f"--resume-from '{folder}/latest.pth' --work-dir '{folder}'" in text
    assert "먼저 할 일: " in text
    assert "Learning rate가 너무 높은지 확인" in text
    assert "Wait" not in text
    assert "조언은 로그와 설정에서 다시 만들었습니다" in text
    assert "torchrun --nproc-per-node 2 -m sdpose.cli.main train " in text


def test_a_file_that_cannot_be_read_is_one_line(straight: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(straight, folder, symlinks=True)
    (folder / "alerts.jsonl").unlink(missing_ok=True)
    (folder / "alerts.jsonl").mkdir()
    error = one_error(type_in("sdpose", "report", folder))
    assert "alerts.jsonl: is a directory; make it readable, or ask who owns it" in error


def test_a_page_that_cannot_be_written_changes_no_ending(people: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, people)
    (tmp_path / "work" / "report.html").mkdir(parents=True)
    ended = python("tools/train.py", config, "--seed", "1")
    assert ended.code == 0, ended
    log = (tmp_path / "work" / "latest.log").read_text(encoding="utf-8")
    assert log.count("no report.html: StorageError: ") == 1
    assert "Traceback" not in log + ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing"], "holds no run"),
        (["RUN", "--out", "."], "is a folder"),
        (["RUN", "--out", "nowhere/page.html"], "there is no folder nowhere"),
    ],
)
def test_a_mistake_is_told_in_one_line(words: list[str], said: str, straight: Path) -> None:
    assert said in one_error(type_in("sdpose", "report", *[straight if w == "RUN" else w for w in words]))
