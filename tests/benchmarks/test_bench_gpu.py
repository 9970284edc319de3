"""The GPU benchmark says what it needs, and its parts run on the CPU with a tiny model."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "run"))

from tiny_runs import write_config

from benchmarks import gpu
from benchmarks.gpu import Bench
from sdpose.config.settings import load_settings
from sdpose.errors import SdposeError


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    config = write_config(tmp_path, tmp_path / "drawn")
    return Bench(
        config,
        torch.device("cpu"),
        batch_size=4,
        workers=0,
        measure_s=0.0,
        num_images=8,
        image_size_wh=(128, 128),
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "needs a CUDA GPU" in err


def test_both_ways_take_the_same_first_step(bench: Bench) -> None:
    """The same seed makes the same weights; the losses of two steps agree, so the gradients do."""
    settings = load_settings(bench.config, changes={"runtime.precision": "fp32"})
    ours, published = gpu.our_step(settings, bench), gpu.published_step(bench)
    for _ in range(2):
        assert ours().item() == pytest.approx(published().item(), rel=1e-3)


def test_steps_are_measured_and_a_row_that_fails_is_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(bench: Bench) -> object:
        raise RuntimeError("no compiler\nand more")

    rows = dict(list(gpu.our_steps().items())[:2])
    monkeypatch.setattr(gpu, "our_steps", lambda: {**rows, "broken": broken})
    lines = list(gpu.training_steps(bench))
    assert [line[:28].strip() for line in lines[1:4]] == ["published (float32)", *rows]
    assert all(math.isfinite(float(number)) for number in lines[2][28:].replace("x", "").split())
    assert "broken" in lines[4]
    assert "FAILED: RuntimeError: no compiler" in lines[4]


def test_a_real_run_gives_hours_for_coco(bench: Bench) -> None:
    (line,) = gpu.end_to_end(bench)
    assert "img/s with 0 workers" in line
    assert "45 M samples (300 epochs of COCO) in " in line


def test_evaluation_rates(bench: Bench) -> None:
    lines = list(gpu.evaluation_rates(bench))
    assert [line[:28].strip() for line in lines] == [
        "published (float32)",
        "ours, bf16",
        "ours, bf16, norms folded",
    ]
    assert lines[0].endswith("1.0x")


def test_cuda_graphs_are_refused_on_the_cpu(bench: Bench) -> None:
    settings = load_settings(bench.config, changes={"runtime.compile": "cuda-graphs"})
    with pytest.raises(SdposeError, match=r"'cuda-graphs', which cpu cannot do; set runtime.compile=True"):
        gpu.our_step(settings, bench)


def test_the_verdict_on_precision() -> None:
    assert (
        gpu.verdict([0.5, 0.6], [0.54, 0.58], 0.02)
        == "bf16 minus float32: +0.010, within the noise of AP (+-0.020)"
    )
    assert "BEYOND" in gpu.verdict([0.5], [0.4], 0.02)
