"""The engine process by its protocol: what goes in and out of the pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from models import write_model
from whetstone.engine import __version__
from whetstone.engine.jobs import DemoJob, FuseJob, RasterSource, job_to_json
from whetstone.engine.worker import PROTOCOL, ROOM


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A pair and a tiny model."""
    from whetstone.engine import run

    folder = tmp_path_factory.mktemp("pair")
    made = run(DemoJob(str(folder), size=128))
    return made, write_model(folder)


class Worker:
    """A running engine process."""

    def __init__(self, root, cwd, **variables):
        words = [sys.executable, "-I", "-u", str(root / "engine" / "worker.py")]
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **variables},
        )

    def send(self, line) -> None:
        text = line if isinstance(line, str) else json.dumps(line)
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def until(self, kind: str) -> dict:
        for line in self.process.stdout:
            answer = json.loads(line)  # nothing else may be on stdout
            if answer["type"] == kind:
                return answer
        raise AssertionError(self.process.stderr.read().decode())

    def end(self) -> int:
        self.process.stdin.close()
        rest = self.process.stdout.read()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
        code = self.process.wait(30)
        self.rest = [json.loads(line) for line in rest.splitlines()]
        return code


@pytest.fixture
def worker(root, tmp_path):
    started = []

    def start(**variables) -> Worker:
        started.append(Worker(root, tmp_path, **variables))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def long_job(pair, folder) -> dict:
    made, model = pair
    sources = RasterSource.of(made.pan), RasterSource.of(made.ms)
    out = str(folder / "out.tif")
    job = FuseJob(*sources, out, method="ssdiff", model=model, samples=64, steps=20, threads=1)
    return {"protocol": PROTOCOL, "job": json.loads(job_to_json(job))}


def test_hello_progress_result(worker, tmp_path):
    child = worker()
    job = json.loads(job_to_json(DemoJob(str(tmp_path / "Szene ä"), size=128)))
    child.send({"protocol": PROTOCOL, "job": job})
    hello = child.until("hello")
    assert hello["protocol"] == PROTOCOL and hello["version"] == __version__
    moved = child.until("progress")
    assert 0 <= moved["fraction"] <= 1 and moved["text"]
    assert child.until("result")["result"]["pan"].endswith("Szene ä/pan.tif")
    assert child.end() == 0


def test_words_are_those_of_the_command_line(worker):
    child = worker()
    child.send({"protocol": PROTOCOL, "words": ["methods"]})
    names = [row["name"] for row in child.until("result")["result"]["methods"]]
    assert "ssdiff" in names and child.end() == 0


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ("no json", "PROTOCOL"),
        ({"protocol": 99}, "PROTOCOL"),
        ({"protocol": PROTOCOL, "job": {"whetstone": 1, "job": "fly"}}, "JOB_INVALID"),
        ({"protocol": PROTOCOL, "words": ["fly"]}, "USAGE"),
    ],
)
def test_what_it_does_not_understand_is_refused(worker, request_, code):
    child = worker()
    child.send(request_)
    assert child.until("error")["error"]["code"] == code
    assert child.end() == 1


def test_cancel_ends_the_job_and_leaves_nothing(worker, pair, tmp_path):
    child = worker()
    child.send(long_job(pair, tmp_path))
    while child.until("progress")["text"] != "sampling":
        pass
    assert (tmp_path / "out.part.tif").exists()
    child.send("not json")  # a later version may say more
    child.send({"cancel": 30})
    assert child.until("error")["error"]["code"] == "CANCELLED"
    assert child.end() == 130 and list(tmp_path.iterdir()) == []


def test_the_end_of_stdin_is_a_cancel(worker, pair, tmp_path):
    room, out = tmp_path / "room", tmp_path / "out"
    room.mkdir(), out.mkdir()
    child = worker(**{ROOM: str(room)})
    child.send(long_job(pair, out))
    while child.until("progress")["text"] != "sampling":
        pass
    assert child.end() == 130
    assert child.rest[-1]["error"]["code"] == "CANCELLED"
    assert list(out.iterdir()) == [] and not room.exists()


def test_it_beats_every_second(worker, pair, tmp_path):
    child = worker()
    child.send(long_job(pair, tmp_path))
    began = time.monotonic()
    for _ in range(2):
        child.until("heartbeat")
    assert time.monotonic() - began > 1
    child.send({"cancel": 30})
    child.end()


def test_the_database_of_another_proj_is_noticed(worker, tmp_path):
    (tmp_path / "proj.db").write_bytes(b"not a database")
    child = worker(PROJ_DATA=str(tmp_path), PROJ_LIB=str(tmp_path))
    child.send({"protocol": PROTOCOL, "words": ["methods"]})
    assert child.until("error")["error"]["code"] == "PROJ_DB_CLASH"


def test_leftovers_of_a_job_that_is_alive_stay(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    from whetstone.engine.leftovers import remove_leftovers

    part = tmp_path / "a.part.tif"
    part.touch()
    job = FuseJob(RasterSource.of("p"), RasterSource.of("m"), str(tmp_path / "a.tif"))
    with open(part, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        remove_leftovers(job)
        assert part.exists()
    remove_leftovers(job)
    assert not part.exists()


def test_leftovers(tmp_path):
    from whetstone.engine.jobs import AdaptJob, CompareJob
    from whetstone.engine.leftovers import remove_leftovers

    pan, ms = RasterSource.of("pan.tif"), RasterSource.of("ms.tif")
    parts = ("a.part.tif", "a.part.json", "a.cog.part.tif", "a_std.part.tif", "gsa.part.tif")
    for name in (*parts, "m.safetensors.part", "a.tif", "other.part.tif"):
        (tmp_path / name).touch()
    out, std = str(tmp_path / "a.tif"), str(tmp_path / "a_std.tif")
    remove_leftovers(FuseJob(pan, ms, out, uncertainty=std))
    remove_leftovers(CompareJob(pan, ms, ("gsa",), str(tmp_path)))
    remove_leftovers(AdaptJob(pan, ms, str(tmp_path / "m.safetensors")))
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.tif", "other.part.tif"]
