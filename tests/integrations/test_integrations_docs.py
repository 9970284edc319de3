"""Every code block of docs/integrations.md runs."""

from __future__ import annotations

import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from host_trainings import Regression, loader, model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "integrations.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
LOOP, ALERTS, LIGHTNING, TRANSFORMERS, MMENGINE, MMCV, NOTIFY = BLOCKS

pytestmark = pytest.mark.filterwarnings("ignore")


def a_loop(**names: Any) -> dict[str, Any]:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)

    def train_step(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        loss = ((net(inputs) - targets) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return {"train_step": train_step, "loader": loader(steps=100), "epoch": 1, "lr": 0.05, **names}


def test_the_plain_loop_and_what_follows_from_alerts(caplog: pytest.LogCaptureFixture) -> None:
    names = a_loop()
    exec(LOOP, names)
    assert names["step"] == 100
    assert caplog.records == []
    names |= a_loop(monitor=names["monitor"], loader=loader("nan", steps=400))
    exec(ALERTS, names)
    assert names["step"] == 310  # broken off where the data are not finite
    assert [entry.message.splitlines()[0] for entry in caplog.records] == ["⚠️  WARNING: NaN or Inf detected!"]


def test_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lightning", reason="lightning is not installed")
    import lightning.pytorch as host
    from test_integrations_lightning import module

    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(LIGHTNING, names)
    names["trainer"].fit(module(host), loader("nan"))
    assert 310 <= names["trainer"].global_step < 400


def test_transformers(tmp_path: Path) -> None:
    host = pytest.importorskip("transformers", reason="transformers is not installed")
    from test_integrations_transformers import Net, Samples

    names = {
        "Trainer": host.Trainer,
        "TrainingArguments": lambda *arguments, **options: host.TrainingArguments(
            *arguments, report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no", **options
        ),
        "output_dir": str(tmp_path),
        "model": Net(),
        "samples": Samples(Regression("nan")),
    }
    exec(TRANSFORMERS, names)
    names["trainer"].train()
    assert names["trainer"].state.global_step < 600


@pytest.mark.parametrize(("block", "host"), [(MMENGINE, "mmengine"), (MMCV, "mmcv")])
def test_hooks_of_configs_are_built_as_written(block: str, host: str) -> None:
    names: dict[str, Any] = {}
    exec(block, names)
    (hook,) = names["custom_hooks"]
    assert names["custom_imports"] == {"imports": [f"sdpose.integrations.{host}"]}
    assert hook.pop("priority", None) == ("LOW" if host == "mmcv" else None)
    if host == "mmcv":
        pytest.importorskip("test_integrations_mmcv", reason="mmcv 1.x is not installed")
        hooks = sys.modules["mmcv.runner"].HOOKS
    else:
        hooks = pytest.importorskip("mmengine.registry", reason="mmengine is not installed").HOOKS
    __import__(f"sdpose.integrations.{host}")
    assert type(hooks.build(hook)).__name__ == "MonitorHook"


def test_messages_to_people() -> None:
    pytest.importorskip("apprise", reason="apprise is not installed")
    from sdpose.monitor import Monitor

    got: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    block = NOTIFY.replace("localhost:8080", f"127.0.0.1:{server.server_port}")
    assert block != NOTIFY
    exec(block, {"monitor": Monitor()})
    server.shutdown()
    thread.join()
    server.server_close()
    (message,) = got
    assert b"my run: non_finite (critical)" in message


def test_the_page_names_the_versions_that_it_was_run_against() -> None:
    stated = "lightning and pytorch-lightning 2.6, transformers 5.23, mmengine 0.10.7 and mmcv 1.7.2"
    assert stated in PAGE.read_text(encoding="utf-8")
    for name, version in {"lightning": "2.6", "transformers": "5.23", "mmengine": "0.10.7"}.items():
        if name in sys.modules:
            assert sys.modules[name].__version__.startswith(version)
