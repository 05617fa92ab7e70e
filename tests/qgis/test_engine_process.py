"""The engine process under everything that can go wrong with it: QGIS goes on, nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("qgis.core", reason="QGIS's Python is needed")
from whetstone.engine import Cancelled, FuseJob, Progress, RasterSource, WhetstoneError
from whetstone.plugin import engine_process

HELLO = """
import json, os, sys, time
def send(kind, **values):
    print(json.dumps({"type": kind, **values}), flush=True)
request = json.loads(sys.stdin.readline())
send("hello", protocol=1, version="x", python="3")
"""


class Watched(Progress):
    """Keeps what it is told, and cancels when a text begins so."""

    def __init__(self, cancel_at: str = "\0"):
        self.acts, self.notes, self.at, self.since = [], [], cancel_at, 0.0

    def update(self, fraction, text=""):
        self.acts.append((fraction, text))
        if text.startswith(self.at) and not self.since:
            self.since = time.monotonic()

    def message(self, text):
        self.notes.append(text)

    def cancelled(self):
        return bool(self.since)


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Stands in for the engine: ``worker(code)`` runs ``code`` after the hello."""

    def make(code: str, hello: str = HELLO):
        path = tmp_path / "worker.py"
        path.write_text(hello + textwrap.dedent(code), encoding="utf-8")
        monkeypatch.setattr(engine_process, "WORKER", path)

    return make


def ask(progress=None) -> dict:
    return engine_process.run_words(sys.executable_for_tests, ["x"], progress or Progress())


@pytest.fixture(autouse=True)
def python(monkeypatch, tmp_path_factory):
    """A Python to run workers on: sys.executable may be QGIS. Temporary files of their own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    monkeypatch.setattr(sys, "executable_for_tests", "/usr/bin/python3", raising=False)


def refused(code: str, progress=None) -> str:
    with pytest.raises(WhetstoneError) as caught:
        ask(progress)
    assert caught.value.code == code, caught.value
    assert no_child_is_left() and no_room_is_left()
    return str(caught.value)


def no_child_is_left() -> bool:
    done = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True)
    return b"worker.py" not in done.stdout


def no_room_is_left() -> bool:
    return not list(Path(tempfile.gettempdir()).glob("whetstone-*"))


def test_an_answer(worker, monkeypatch):
    worker("""
        send("progress", fraction=0.5, text="halfway")
        print("noise that is no JSON"); print("[1, 2]"); send("from the future", more=1)
        send("message", text="a note")
        send("result", result={"asked": request["words"]})
    """)
    progress = Watched()
    monkeypatch.setattr(
        progress, "message", lambda text: progress.notes.append(engine_process.busy())
    )
    assert ask(progress) == {"asked": ["x"]}
    assert progress.notes == [True] and not engine_process.busy()
    assert progress.acts == [(0.5, "halfway")]
    assert no_child_is_left()


def test_an_error_in_words(worker):
    worker('send("error", error={"code": "EMPTY", "message": "No pixels.", "hint": "Look."})')
    assert refused("EMPTY") == "No pixels. Look."


def test_torch_that_is_missing_is_a_broken_engine(worker):
    worker('send("error", error={"code": "DEEP_MISSING", "message": "need torch", "hint": ""})')
    assert "press Repair" in refused("ENGINE_BROKEN")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os.kill(os.getpid(), 11)", "(signal 11 SIGSEGV). QGIS is not affected."),
        ("os.kill(os.getpid(), 9)", "signal 9 SIGKILL, most often because memory ran out"),
        ("os._exit(3)", "status 3"),
        ('sys.stderr.write("the last words\\n"); os._exit(1)', "the last words"),
        ("raise KeyError('lost')", "KeyError: 'lost'"),
    ],
)
def test_death(worker, code, words):
    worker(code)
    assert words in refused("WORKER_DIED")


def test_an_engine_that_does_not_start(worker, monkeypatch):
    worker("import no_such_library", hello="")
    assert "does not start: ModuleNotFoundError" in refused("ENGINE_BROKEN")
    monkeypatch.setattr(sys, "executable_for_tests", "/no/such/python", raising=False)
    assert "/no/such/python: No such file" in refused("ENGINE_BROKEN")


def test_a_megabyte_on_stderr(worker):
    worker("""
        for _ in range(1000):
            sys.stderr.write("x" * 1049)
        send("result", result={"fine": True})
    """)
    assert ask() == {"fine": True}


def test_a_job_that_ignores_the_cancel_is_killed(worker, monkeypatch):
    monkeypatch.setattr(engine_process, "_WORDS_GRACE", 0.5)
    worker("""
        send("progress", fraction=0, text="begun")
        time.sleep(60)
    """)
    progress = Watched("begun")
    with pytest.raises(Cancelled):
        ask(progress)
    assert time.monotonic() - progress.since < 3 and no_child_is_left()


def test_silence_is_not_waited_for(worker, monkeypatch):
    monkeypatch.setattr(engine_process, "_SILENCE", 0.5)
    worker("time.sleep(60)")
    assert "has not answered" in refused("WORKER_DIED")


def test_leftovers_of_a_dead_job_are_removed(worker, tmp_path):
    out = tmp_path / "out.tif"
    job = FuseJob(RasterSource.of("a"), RasterSource.of("b"), str(out), method="ssdiff")
    worker(f"""
        for name in ("out.part.tif", "out.part.json"):
            open(os.path.join({str(tmp_path)!r}, name), "w").close()
        os.kill(os.getpid(), 11)
    """)
    with pytest.raises(WhetstoneError):
        engine_process.run_job(sys.executable_for_tests, job, Progress())
    assert [item.name for item in tmp_path.iterdir()] == ["worker.py"]


def test_a_refused_job_touches_no_files(worker, tmp_path):
    part = tmp_path / "out.part.tif"
    part.touch()  # of a job that is at work
    job = FuseJob(RasterSource.of("a"), RasterSource.of("b"), str(tmp_path / "out.tif"))
    worker('send("error", error={"code": "OUT_LOCKED", "message": "Another.", "hint": ""})')
    with pytest.raises(WhetstoneError, match="Another"):
        engine_process.run_job(sys.executable_for_tests, job, Progress())
    assert part.exists()


def test_sleep_is_no_silence(worker, monkeypatch):
    real, jump = time.monotonic, [0.0]
    monkeypatch.setattr(engine_process.time, "monotonic", lambda: real() + jump[0])
    worker("""
        send("message", text="good night")
        time.sleep(0.5)
        send("result", result={})
    """)

    class Sleeper(Progress):
        def message(self, text):
            jump[0] = 9999.0  # the computer slept for hours

    assert ask(Sleeper()) == {}


# -- with the engine itself ---------------------------------------------------------------------


@pytest.fixture
def job(scene, engine):
    """A fusion into a folder."""

    def make(folder: Path, **more) -> FuseJob:
        out = str(folder / "fused.tif")
        sources = RasterSource.of(scene.pan), RasterSource.of(scene.ms)
        return FuseJob(*sources, out, method="ssdiff", model="tiny-ssdiff", **more)

    return make


def test_pollution_changes_nothing(job, engine, tmp_path, monkeypatch, values):
    clean, dirty = tmp_path / "clean", tmp_path / "dirty"
    for folder in (clean, dirty):
        folder.mkdir()
    engine_process.run_job(engine.python, job(clean), Progress())
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "numpy.py").write_text("raise ImportError('the wrong numpy')\n")
    (strange / "proj.db").write_bytes(b"not a database")
    for name in ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH", "PYTHONPATH"):
        monkeypatch.setenv(name, str(strange))
    for name in ("PYTHONHOME", "LD_LIBRARY_PATH", "QT_PLUGIN_PATH", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, str(strange))
    engine_process.run_job(engine.python, job(dirty), Progress())
    a, b = ((folder / "fused.tif").read_bytes() for folder in (clean, dirty))
    assert a == b.replace(b"/dirty/", b"/clean/") and len(a) == len(b)
    from osgeo import gdal

    info = gdal.Info(str(dirty / "fused.tif"))
    assert 'ID["EPSG",32633]' in info
    assert np.array_equal(values(clean / "fused.tif"), values(dirty / "fused.tif"))


def test_spaces_and_letters_of_the_world(job, engine, tmp_path, values):
    folder = tmp_path / "Größe AÏSSI 锐化 (1)"
    folder.mkdir()
    result = engine_process.run_job(engine.python, job(folder), Progress())
    assert result.out == str(folder / "fused.tif")
    assert [item.name for item in folder.iterdir()] == ["fused.tif"]
    assert values(result.out).shape == (4, 256, 256)


def test_cancel(job, engine, tmp_path):
    progress = Watched("sampling")
    with pytest.raises(Cancelled):
        engine_process.run_job(engine.python, job(tmp_path, samples=64, steps=20), progress)
    assert time.monotonic() - progress.since < 3
    assert list(tmp_path.iterdir()) == [] and no_child_is_left()


def test_an_error_of_the_engine(job, engine, tmp_path):
    with pytest.raises(WhetstoneError) as caught:
        engine_process.run_job(engine.python, job(tmp_path, device="cuda:7"), Progress())
    assert caught.value.code == "DEVICE" and list(tmp_path.iterdir()) == []


def test_the_death_of_qgis_ends_the_engine(scene, engine, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    code = f"""
        import sys
        from whetstone.engine import FuseJob, Progress, RasterSource
        from whetstone.plugin.engine_process import run_job
        class Said(Progress):
            def update(self, fraction, text=""):
                if text == "sampling":
                    print("begun", flush=True)
        job = FuseJob(RasterSource.of({scene.pan!r}), RasterSource.of({scene.ms!r}),
                      {str(out / "fused.tif")!r}, method="ssdiff", model="tiny-ssdiff",
                      samples=64, steps=20)
        run_job({engine.python!r}, job, Said())
    """
    words = [sys.prefix + "/bin/python", "-c", textwrap.dedent(code)]
    host = subprocess.Popen(words, stdout=-1, env={**os.environ, "TMPDIR": tempfile.gettempdir()})
    assert host.stdout.readline() == b"begun\n"
    assert list(out.glob("*.part.tif"))
    host.kill()
    host.wait()
    host.stdout.close()
    deadline = time.monotonic() + 20
    while list(out.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list(out.iterdir()) == []
    while not no_room_is_left() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert no_room_is_left()
    named = subprocess.run(["pgrep", "-f", str(out)], capture_output=True)
    assert named.stdout == b""


def test_many_at_once(worker):
    worker("""
        time.sleep(0.2)
        send("result", result={"pid": os.getpid()})
    """)
    found = []
    threads = [threading.Thread(target=lambda: found.append(ask()["pid"])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 4
