"""The self-test and the forecast."""

from __future__ import annotations

import json

import pytest
import torch
from whetstone.engine import Progress
from whetstone.engine.cli import main
from whetstone.engine.deep import forecast
from whetstone.engine.selftest import selftest


def test_selftest_passes_here(capsys):
    assert main(["selftest", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] and [row["name"] for row in answer["checks"]] == [
        *("rasterio", "proj", "torch", "fusion")
    ]
    assert answer["torch"] == torch.__version__ and "EPSG:" in answer["checks"][-1]["detail"]


def test_selftest_says_what_is_broken(monkeypatch, capsys):
    def broken(name):
        raise RuntimeError("no such device")

    monkeypatch.setattr("whetstone.engine.deep.device.pick_device", broken)
    result = selftest(Progress())
    found = {row["name"]: row for row in result.checks}
    assert not result.ok and result.failed
    assert not found["torch"]["ok"] and "no such device" in found["torch"]["detail"]
    assert found["rasterio"]["ok"] and found["proj"]["ok"]
    assert main(["selftest"]) == 1 and "FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1, "1 s"), (42, "42 s"), (200, "3 min"), (5300, "88 min"), (9000, "2.5 h")],
)
def test_durations(seconds, text):
    assert forecast.duration(seconds) == text


def test_amounts():
    assert forecast.amount(80e6) == "80 MB" and forecast.amount(1.23e9) == "1.2 GB"


def test_a_forecast_in_words():
    text = forecast.Forecast(1849, 64, 200.0, 0.9e9).text(12e6)
    assert text == (
        "About 3 min for 1,849 windows of 64 pixels; about 900 MB of memory, up to 12 MB on disk."
    )
