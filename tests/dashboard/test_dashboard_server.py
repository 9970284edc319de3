"""What the server answers: the numbers of the log, as they come, and nothing else of the disk."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboard_runs import ALERT, STAMP, append, train, val, write_run
from starlette.testclient import TestClient

from sdpose.cli.main import main
from sdpose.dashboard.answers import group_of
from sdpose.dashboard.server import make_app
from sdpose.dashboard.watched_run import run_id
from sdpose.dashboard.watcher import Watcher

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 20


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    write_run(tmp_path / "runs" / "first")
    watcher = Watcher([tmp_path / "runs"])
    while watcher.look():
        pass
    with TestClient(make_app(watcher), base_url="http://127.0.0.1:8088") as client:
        yield client


def first(tmp_path: Path) -> str:
    return run_id(tmp_path / "runs" / "first")


def in_log(run: Path, name: str, mode: str = "train") -> list[float]:
    rows = map(json.loads, (run / f"{STAMP}.log.json").read_text(encoding="utf-8").splitlines())
    return [row[name] for row in rows if row.get("mode") == mode]


def events(address: str) -> Iterator[list[dict[str, Any]]]:
    with urllib.request.urlopen(f"{address}/api/events", timeout=20) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


def test_the_list_tells_how_each_run_is(client: TestClient, tmp_path: Path) -> None:
    (run,) = client.get("/api/runs").json()["runs"]
    shown = {
        name: run[name] for name in ("id", "name", "state", "epoch", "total_epochs", "iteration", "best")
    }
    assert shown == {
        "id": first(tmp_path),
        "name": "first",
        "state": "training",
        "epoch": 3.0,
        "total_epochs": 6,
        "iteration": 30,
        "best": 0.6,
    }
    assert run["verdict"] == "warned"
    assert run["alerts"] == {"critical": 0, "warning": 1, "info": 0}


def test_curves_are_the_numbers_of_the_log(client: TestClient, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "first"
    answer = client.get(f"/api/runs/{first(tmp_path)}/curves").json()
    curves = {(curve["mode"], curve["name"]): curve for curve in answer["curves"]}
    for name in ("loss", "heatmap_loss", "vis_dist_loss", "lr", "grad_norm", "time", "data_time"):
        assert curves["train", name]["y"] == in_log(run, name)
        assert curves["train", name]["x"] == [5, 10, 15, 20, 25, 30]
    for name in ("AP", "AP_low", "AP_high"):
        assert curves["val", name]["y"] == in_log(run, name, "val")
        assert curves["val", name]["x"] == [10, 20, 30]


def test_a_range_and_epochs_and_smoothing(client: TestClient, tmp_path: Path) -> None:
    query = {"from": "1.4", "to": "1.6", "x": "epoch", "window": "3"}
    answer = client.get(f"/api/runs/{first(tmp_path)}/curves", params=query).json()
    loss = next(curve for curve in answer["curves"] if curve["name"] == "loss")
    assert loss["x"] == [1.0, 1.5, 2.0]
    logged = in_log(tmp_path / "runs" / "first", "loss")
    assert loss["smooth"] == pytest.approx([sum(logged[i - 1 : i + 2]) / 3 for i in (1, 2, 3)])


def test_nan_is_a_mark_and_no_number(client: TestClient, tmp_path: Path) -> None:
    append(tmp_path / "runs" / "first", '{"mode": "train", "epoch": 4, "iter": 5, "loss": NaN}\n')
    loss = wait_for(lambda: _loss(client, tmp_path), lambda curve: "broken" in curve)
    assert loss["broken"] == [35]
    assert loss["y"][-1] is None


def _loss(client: TestClient, tmp_path: Path) -> dict[str, Any]:
    curves = client.get(f"/api/runs/{first(tmp_path)}/curves").json()["curves"]
    return next(curve for curve in curves if curve["name"] == "loss")


def wait_for(ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    ends_at = time.monotonic() + 10
    while not good(answer := ask()):
        assert time.monotonic() < ends_at, answer
        time.sleep(0.05)
    return answer


def test_rows_are_those_of_the_log(client: TestClient, tmp_path: Path) -> None:
    query = {"mode": "val", "from": "15", "to": "35"}
    table = client.get(f"/api/runs/{first(tmp_path)}/rows", params=query).json()
    assert [row["AP"] for row in table["rows"]] == [0.4, 0.6]
    assert [row["step"] for row in table["rows"]] == [20, 30]


def test_alerts_are_said_in_the_language_asked_for_with_the_settings_of_the_run(
    client: TestClient, tmp_path: Path
) -> None:
    address = f"/api/runs/{first(tmp_path)}"
    (english,) = client.get(address, params={"lang": "en"}).json()["alert_cards"]
    assert english["actions"] == ALERT["actions"], "as the run said it"
    (korean,) = client.get(address, params={"lang": "ko"}).json()["alert_cards"]
    assert korean["language"] == "ko"
    assert any("가" <= letter <= "힣" for letter in " ".join(korean["causes"]))
    assert "optimizer.lr=" in " ".join(korean["actions"]), "with this run's learning rate"
    assert korean["remade"], "these actions are not the ones that the run wrote"
    assert client.get(address, params={"lang": "fr"}).status_code == 400


def test_an_alert_of_a_kind_that_nobody_knows_stays_as_it_was_written(
    client: TestClient, tmp_path: Path
) -> None:
    with (tmp_path / "runs" / "first" / "alerts.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({**ALERT, "kind": "my_own", "message": "Mine"}) + "\n" + '{"kind": "half')
    address = f"/api/runs/{first(tmp_path)}?lang=ko"
    page = wait_for(lambda: client.get(address).json(), lambda page: len(page["alert_cards"]) == 2)
    assert [card["message"] for card in page["alert_cards"] if card["kind"] == "my_own"] == ["Mine"]


def test_the_guides_expectation_is_stretched_to_the_length_of_the_run(
    client: TestClient, tmp_path: Path
) -> None:
    guide = client.get(f"/api/runs/{first(tmp_path)}").json()["guide"]
    assert [(round(row["epoch"], 9), row["high"]) for row in guide] == [
        (0.02, 0.1), (0.2, 0.3), (1.0, 0.55), (3.0, 0.68), (5.0, 0.72), (6.0, 0.73),
    ]  # fmt: skip


def test_what_differs_between_two_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "first")
    write_run(tmp_path / "runs" / "second", lr=3e-3)
    other = write_run(tmp_path / "runs" / "third")
    (other / "sdpose_demo.py").unlink()
    with TestClient(make_app(Watcher([tmp_path / "runs"])), base_url="http://localhost") as client:
        ids = [run["id"] for run in client.get("/api/runs").json()["runs"]]
        answer = client.get("/api/compare", params={"runs": ",".join(ids)}).json()
    assert answer == {
        "runs": ["first", "second"],
        "missing": ["third"],
        "differences": [{"name": "optimizer.lr", "values": ["0.001", "0.003"]}],
    }


def test_a_new_record_arrives_within_two_seconds_in_two_browsers(
    tmp_path: Path, served: Callable[..., str]
) -> None:
    run = write_run(tmp_path / "run")
    address = served(tmp_path)
    streams = [events(address), events(address)]
    for stream in streams:
        while next(stream)[0]["iteration"] != 30:
            pass
    append(run, train(4, 5))
    started_at = time.monotonic()
    for stream in streams:
        while next(stream)[0]["iteration"] != 35:
            pass
    assert time.monotonic() - started_at < 2.0


def test_a_new_run_appears(tmp_path: Path, served: Callable[..., str]) -> None:
    write_run(tmp_path / "runs" / "first")
    stream = events(served(tmp_path / "runs"))
    next(stream)
    write_run(tmp_path / "runs" / "second")
    while "second" not in [run["name"] for run in next(stream)]:
        pass


def test_foreign_logs_are_shown(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("epoch,step,train_loss,val_acc\n1,10,0.5,0.25\n2,20,0.25,0.5\n", encoding="utf-8")
    watcher = Watcher([log])
    watcher.look()
    with TestClient(make_app(watcher), base_url="http://127.0.0.1:8088") as client:
        (run,) = client.get("/api/runs").json()["runs"]
        assert (run["name"], run["score"], run["best"]) == ("metrics.csv", "val_acc", 0.5)
        curves = client.get(f"/api/runs/{run['id']}/curves").json()["curves"]
    assert {curve["name"]: curve["y"] for curve in curves} == {
        "train_loss": [0.5, 0.25],
        "val_acc": [0.25, 0.5],
    }


def test_a_log_without_anything_in_it_is_said_to_be_so(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_bytes(b"")
    watcher = Watcher([log])
    watcher.look()
    with TestClient(make_app(watcher), base_url="http://127.0.0.1:8088") as client:
        (run,) = client.get("/api/runs").json()["runs"]
    assert "the file is empty" in run["notes"][0]


def test_only_real_pictures_under_their_names_are_shown(client: TestClient, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "first"
    address = f"/api/runs/{first(tmp_path)}/picture"
    (tmp_path / "secret.png").write_bytes(PNG)
    (folder / "predictions_link.png").symlink_to(tmp_path / "secret.png")
    (folder / "predictions_text.png").write_text("password", encoding="utf-8")
    (folder / "other.png").write_bytes(PNG)
    assert client.get(address).status_code == 404
    (folder / "predictions.png").write_bytes(PNG)
    assert client.get(address).content == PNG
    # What a training writes after each evaluation; the newest is shown.
    newest = folder / "evaluations" / "newest.jpg"
    newest.parent.mkdir()
    newest.write_bytes(JPEG)
    os.utime(folder / "predictions.png", (1.0, 1.0))
    answer = client.get(address)
    assert (answer.content, answer.headers["content-type"]) == (JPEG, "image/jpeg")
    assert client.get(f"/api/runs/{first(tmp_path)}").json()["picture"]["name"] == "evaluations/newest.jpg"


@pytest.mark.parametrize(
    "path",
    [
        "/api/runs/../../etc/passwd",
        "/api/runs/..%2F..%2Fetc%2Fpasswd",
        "/api/runs/%2Fetc/config",
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/server.py",
        "/static//etc/passwd",
        "/../../../../etc/passwd",
    ],
)
def test_no_path_leads_out(tmp_path: Path, served: Callable[..., str], path: str) -> None:
    write_run(tmp_path / "run")
    host, port = served(tmp_path).removeprefix("http://").split(":")
    # Not through a client that would tidy up the path.
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", path)
    assert connection.getresponse().status == 404
    connection.close()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("from=abc", "from is 'abc'; expected a number"),
        ("to=nan", "to is 'nan'; expected a number"),
        ("x=time", "x is 'time'; expected step or epoch"),
        ("points=0", "points is '0'; expected a whole number from 1 to 20000"),
        ("window=-1", "window is '-1'; expected a whole number from 1 to 10000000"),
    ],
)
def test_a_question_that_makes_no_sense_is_said_to_be_so(
    client: TestClient, tmp_path: Path, query: str, message: str
) -> None:
    answer = client.get(f"/api/runs/{first(tmp_path)}/curves?{query}")
    assert (answer.status_code, answer.text) == (400, message)


def test_other_pages_cannot_read_it_and_it_loads_nothing_from_elsewhere(client: TestClient) -> None:
    for host, status in {"evil.example:8088": 400, "": 400, "localhost": 200, "[::1]:8088": 200}.items():
        assert client.get("/api/runs", headers={"host": host}).status_code == status, host
    assert client.post("/api/runs").status_code == 405
    headers = client.get("/").headers
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert "access-control-allow-origin" not in headers


def test_ctrl_c_ends_it_quietly_while_browsers_are_open(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    command = [sys.executable, "-m", "sdpose.cli.main", "watch", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            said = process.stdout.readline()
            address = said.split()[3].rstrip("/")
            assert said == f"1 run at {address}/ (Ctrl-C ends it; it only reads)\n"
            stream = events(address)
            assert next(stream)[0]["name"] == "run"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_it_only_reads(client: TestClient, tmp_path: Path) -> None:
    def state() -> list[tuple[str, int, int]]:
        return sorted((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))

    before = state()
    for path in ("", "/curves", "/rows", "/config", "/picture"):
        client.get(f"/api/runs/{first(tmp_path)}{path}")
    assert state() == before


def test_a_missing_folder_no_runs_and_a_taken_port_are_one_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "run")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        wanted = [
            (
                [str(tmp_path / "absent")],
                "absent: no such folder or log; give the folder that holds your runs",
            ),
            ([str(tmp_path / "empty")], "start a training first, or name a log itself"),
            ([str(tmp_path), "--port", str(port)], f"port {port} on 127.0.0.1 cannot be had"),
            ([str(tmp_path), "--port", "70000"], "--port 70000; expected 0 to 65535"),
            ([str(tmp_path), "--port", "0", "--host", "203.0.113.7"], "not an address of this machine"),
        ]
        for args, message in wanted:
            assert main(["watch", *args]) == 2
            error = capsys.readouterr().err
            assert message in error
            assert error.count("\n") == 1
            if "cannot be had" in error:
                free = int(error.split("--port ")[1])
                with socket.socket() as attempt:
                    attempt.bind(("127.0.0.1", free))


def test_a_score_of_minus_one_is_no_score(tmp_path: Path) -> None:
    write_run(tmp_path / "run", [train(1, 5), val(1, 0.5, **{"AP (M)": -1.0})])
    watcher = Watcher([tmp_path])
    watcher.look()
    with TestClient(make_app(watcher), base_url="http://127.0.0.1:8088") as client:
        (run,) = client.get("/api/runs").json()["runs"]
        names = [entry["name"] for entry in client.get(f"/api/runs/{run['id']}").json()["catalogue"]]
    assert "AP (M)" not in names


@pytest.mark.parametrize(
    ("name", "mode", "group"),
    [
        ("loss", "train", "loss"),
        ("kpt_dist_loss", "train", "loss"),
        ("train/box_loss", "train", "loss"),
        ("val_loss", "val", "loss"),
        ("AP", "val", "score"),
        ("AR (M)", "val", "score"),
        ("AP_low", "val", "score_band"),
        ("acc_pose", "train", "train_score"),
        ("lr", "train", "lr"),
        ("learning_rate", "train", "lr"),
        ("grad_norm", "train", "grad_norm"),
        ("memory", "train", "memory"),
        ("host_memory", "train", "memory"),
        ("data_time", "train", "time"),
        ("heatmap_peak", "train", "health"),
        ("heatmap_flat", "train", "health"),
        ("kpt_token_std", "train", "health"),
        ("weight_norm", "train", "other"),
    ],
)
def test_each_value_has_its_chart(name: str, mode: str, group: str) -> None:
    assert group_of(name, mode) == group
