"""The report for bug trackers: everything that helps, nothing private."""

from __future__ import annotations

from pathlib import Path

import pytest
from whetstone.plugin.diagnostics import LINES, diagnostics, masked
from whetstone.plugin.engine_home import EngineState

ENVIRON = {
    "HOME": "/home/annabel",
    "USER": "annabel",
    "LANG": "de_DE.UTF-8",
    "HTTPS_PROXY": "http://annabel:secret@proxy.example:3128",
    "PROJ_LIB": "/opt/annabel/proj",
    "MY_TOKEN": "hf_abcdefghijklmnop",
}
TESTED = {
    "ok": False,
    "torch": "2.13.0+cpu",
    "seconds": 1.5,
    "checks": [
        {"name": "torch", "ok": True, "detail": "torch 2.13.0+cpu"},
        {"name": "proj", "ok": False, "detail": "EPSG | lost"},
    ],
}


@pytest.fixture(autouse=True)
def at_home(qgis_app, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/annabel"))


def report(**more):
    state = EngineState("broken", "It does not start", "/home/annabel/e/bin/python", "", "managed")
    return diagnostics(**{"state": state, "environ": ENVIRON, **more})


def test_it_says_what_helps():
    text = report(tested=TESTED, cards=[("NVIDIA A10", "528.24", "8.6")], log=["one", "two"])
    for told in ("QGIS | 3.", "GDAL | 3.", "PROJ | 9.", "Qt | 5.", "Whetstone | 0."):
        assert told in text or told.split(" | ")[0] in text
    assert "broken: It does not start" in text and "| torch | good: torch 2.13.0+cpu |" in text
    assert "BAD: EPSG \\| lost" in text
    assert "NVIDIA A10, driver 528.24, compute capability 8.6" in text
    assert "| LANG | de_DE.UTF-8 |" in text and "| PROJ_LIB | set |" in text
    assert text.rstrip().endswith("one\ntwo\n```")


def test_nothing_private_is_in_it():
    log = [
        "Folder: /home/annabel/.local/share/whetstone",
        "https://annabel:secret@mirror.example/simple and /data/Annabel/x",
        "http://jane:to@secret@proxy.host:80",
        "token hf_abcdefghijklmnop",
        "C:\\Users\\annabel\\x",
    ]
    text = report(log=log)
    assert "annabel" not in text.lower() and "secret" not in text
    assert "abcdefgh" not in text and "proxy.example" not in text
    assert "http://…@proxy.host:80" in text
    assert "~/.local/share/whetstone" in text and "~/e/bin/python" in text
    assert "mirror.example" in text and "| HTTPS_PROXY | set |" in text
    assert "C:\\Users\\<user>\\x" in text


def test_a_windows_home_is_masked():
    environ = {"USERPROFILE": "C:\\Users\\Max Muster", "USERNAME": "Max Muster"}
    text = masked("at C:\\Users\\Max Muster\\AppData and C:/Users/Max Muster/x", environ)
    assert "Muster" not in text and "~\\AppData" in text


def test_short_names_do_not_eat_words():
    assert masked("a root cause, me", {"USER": "me", "LOGNAME": "root"}) == "a root cause, me"


def test_only_the_end_of_the_log():
    text = report(log=[f"line {n}" for n in range(200)])
    assert f"line {200 - LINES}\n" in text and f"line {199 - LINES}\n" not in text


def test_without_anything_known():
    text = report()
    assert "not run in this session" in text and "not asked" in text and "```text\nempty" in text
    assert "nvidia-smi finds none" in report(cards=[])
