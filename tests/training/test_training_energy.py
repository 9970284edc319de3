"""Joules are counted where the machine counts them, and unknown elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sdpose.training import energy
from sdpose.training.energy import Counter, Counters, EnergyMeter, nvidia_counter, package_counters


def zone(powercap: Path, number: str, name: str, micro_j: int, range_uj: int = 262_143_328_850) -> Path:
    """A folder as Linux has it: `number` 0 is a package, 0:0 a part of it."""
    folder = powercap / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{micro_j}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder / "energy_uj"


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    folder = tmp_path / "powercap"
    zone(folder, "0", "package-0", 1_000_000)
    zone(folder, "0:0", "core", 400_000)
    zone(folder, "1", "psys", 9_000_000)
    return folder


def meter_of(powercap: Path, now: list[float]) -> EnergyMeter:
    meter = EnergyMeter(package_counters(powercap), clock=lambda: now[0])
    meter.start(None, resumed=False)
    return meter


def test_only_whole_packages_are_counted(powercap: Path) -> None:
    counters = package_counters(powercap)
    assert counters.text == "CPU package-0"
    assert [counter.read_j() for counter in counters.found] == [1.0]


def test_joules_and_images_add_up(powercap: Path) -> None:
    meter, file = meter_of(powercap, [0.0]), powercap / "intel-rapl:0" / "energy_uj"
    file.write_text("4000000\n")
    assert meter.update(8) == {"energy_j": 3.0, "energy_images": 8.0}
    file.write_text("4500000\n")
    assert meter.update(2) == {"energy_j": 3.5, "energy_images": 10.0}


def test_a_counter_that_went_round_is_followed(tmp_path: Path) -> None:
    file = zone(tmp_path, "0", "package-0", 65_000_000_000, range_uj=65_532_610_987)
    now = [0.0]
    meter = meter_of(tmp_path, now)
    file.write_text("467389013\n")
    now[0] = 40.0
    assert meter.update(1) == {"energy_j": pytest.approx(1000.0), "energy_images": 1.0}


def test_one_that_may_have_gone_round_twice_is_not_believed(tmp_path: Path) -> None:
    file = zone(tmp_path, "0", "package-0", 0, range_uj=65_532_610_987)
    now = [0.0]
    meter = meter_of(tmp_path, now)
    file.write_text("5000000\n")
    now[0] = 132.0
    assert meter.update(1) == {"energy_j": 0.0, "energy_images": 1.0, "energy_partial": 1.0}


def test_between_two_readings_it_reads_before_a_counter_can_go_round(tmp_path: Path) -> None:
    file = zone(tmp_path, "0", "package-0", 0, range_uj=65_532_610_987)
    now = [0.0]
    meter = meter_of(tmp_path, now)
    for now[0] in range(0, 301, 10):
        file.write_text(f"{now[0] * 400_000_000 % 65_532_610_987:.0f}\n")
        meter.tick()
    assert meter.update(0)["energy_j"] == pytest.approx(300 * 400, rel=1e-6)


def test_a_run_goes_on_adding_where_its_checkpoint_stood(powercap: Path) -> None:
    meter, file = meter_of(powercap, [0.0]), powercap / "intel-rapl:0" / "energy_uj"
    file.write_text("3000000\n")
    meter.update(4)
    resumed = EnergyMeter(package_counters(powercap), clock=lambda: 0.0)
    resumed.start(meter.state_dict(), resumed=True)
    file.write_text("3500000\n")
    assert resumed.update(1) == {"energy_j": 2.5, "energy_images": 5.0}


@pytest.mark.parametrize("saved", [None, {"joules": 2.0, "images": 4, "is_partial": True}])
def test_what_was_not_counted_in_an_earlier_session_makes_it_a_least(powercap: Path, saved: Any) -> None:
    meter = EnergyMeter(package_counters(powercap), clock=lambda: 0.0)
    meter.start(saved, resumed=True)
    assert meter.update(0)["energy_partial"] == 1.0


def test_a_session_without_counters_hands_on_what_it_knows() -> None:
    meter = EnergyMeter(Counters())
    meter.start({"joules": 2.0, "images": 4, "is_partial": False}, resumed=True)
    assert meter.update(7) == {}
    assert meter.state_dict() == {"joules": 2.0, "images": 4, "is_partial": True}


@pytest.mark.parametrize("saved", [None, {"joules": 0.0, "images": 0, "is_partial": False}])
def test_without_a_counter_nothing_is_said(tmp_path: Path, saved: Any) -> None:
    counters = package_counters(tmp_path)
    assert counters == Counters(unknown=("CPU: no counter (RAPL) here",))
    meter = EnergyMeter(counters)
    meter.start(None, resumed=False)
    assert (meter.update(3), meter.state_dict()) == ({}, None)


def test_a_counter_for_root_only_is_told(powercap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> Any:
        def read() -> float:
            raise PermissionError(13, "Permission denied", str(path))

        return read

    monkeypatch.setattr(energy, "_file_reader", refuse)
    file = powercap / "intel-rapl:0" / "energy_uj"
    assert package_counters(powercap).text == f"none (CPU: {file} may be read by root only)"


def test_a_counter_that_breaks_leaves_a_gap_and_goes_on() -> None:
    answers: list[float | OSError] = [1.0, 2.0, OSError("gone"), 50.0, 51.0]

    def read() -> float:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    meter = EnergyMeter(Counters((Counter(name="x", read_j=read),)))
    meter.start(None, resumed=False)
    assert meter.update(1) == {"energy_j": 1.0, "energy_images": 1.0}
    for expected in (1.0, 1.0, 2.0):
        assert meter.update(0) == {"energy_j": expected, "energy_images": 1.0, "energy_partial": 1.0}


class FakeNvml:
    """The three functions of NVML that are used; `pynvml` has no other way to be asked without a driver."""

    class NVMLError(Exception):
        pass

    def __init__(self, *milli_j: int) -> None:
        self.milli_j = list(milli_j)

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != "GPU-1234":
            raise self.NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        if not self.milli_j:
            raise self.NVMLError("Not Supported")
        return self.milli_j.pop(0)


def test_a_gpu_is_found_by_its_uuid_and_read_in_joules() -> None:
    counter = nvidia_counter("1234", name="GPU 0", library=FakeNvml(0, 2_500))
    assert isinstance(counter, Counter)
    assert counter.read_j() == 2.5
    with pytest.raises(OSError, match="Not Supported"):
        counter.read_j()


@pytest.mark.parametrize(("uuid", "why"), [("1234", "Not Supported"), ("other", "Not Found")])
def test_a_gpu_that_does_not_count_is_told(uuid: str, why: str) -> None:
    assert nvidia_counter(uuid, name="GPU 0", library=FakeNvml()) == f"GPU 0: {why}"


def test_the_real_library_counts_a_real_gpu() -> None:
    pynvml = pytest.importorskip("pynvml", reason="needs pip install 'sdpose[energy]'")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        pytest.skip(f"no NVIDIA driver here: {error}")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    counter = nvidia_counter(str(torch.cuda.get_device_properties(0).uuid), name="GPU 0")
    assert isinstance(counter, Counter), counter
    before = counter.read_j()
    matrix = torch.randn(4096, 4096, device="cuda")
    for _ in range(200):
        matrix = (matrix @ matrix).clamp(-1, 1)
    torch.cuda.synchronize()
    assert counter.read_j() > before


def test_the_real_library_says_why_it_cannot_count() -> None:
    pytest.importorskip("pynvml", reason="needs pip install 'sdpose[energy]'")
    why = nvidia_counter("no such GPU", name="GPU 0")
    assert isinstance(why, str)
    assert why.startswith("GPU 0: ")
    assert "pip install" not in why
