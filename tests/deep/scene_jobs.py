"""What tests of deep methods on whole scenes share: jobs, parts, a watch that stops, a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from scenes import LEFT, PIXEL, TOP, header
from whetstone.engine import Progress, WhetstoneError, job_from_json, job_to_json, run

KILLED = """
import os, signal, sys
from whetstone.engine import Progress, job_from_json, run
from whetstone.engine import strips
from whetstone.engine.deep import crossdiff_scene
from whetstone.engine.raster import output
output._JOURNAL_SECONDS, strips.CHUNK_ROWS = 0.0, 40
crossdiff_scene.CORE = 64
class Killer(Progress):
    def update(self, fraction, text=""):
        if fraction > 0.6 and text in ("sampling", "sharpening"):
            os.kill(os.getpid(), signal.SIGKILL)
run(job_from_json(sys.stdin.read()), Killer())
"""


def bounds(col, row, width, height):
    """Bounds of a part in PAN pixels."""
    left, top = LEFT + PIXEL * col, TOP - PIXEL * row
    return left, top - PIXEL * height, left + PIXEL * width, top


class StopAt(Progress):
    """Cancels at a fraction of the job."""

    def __init__(self, fraction):
        self.fraction, self.at, self.doing, self.said = fraction, 0.0, "", []

    def update(self, fraction, text=""):
        self.at, self.doing = fraction, text

    def message(self, text):
        self.said.append(text)

    def cancelled(self):
        return self.at > self.fraction


def killed(job):
    """Kill a job amid its windows; how many rows it had written."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED], input=job_to_json(job), text=True, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not Path(job.out).exists()
    return json.loads(Path(job.out).with_suffix(".part.json").read_text())["rows_done"]


def job_of(made, model, out, method="crossdiff", **more):
    """A fusion in float32 on the CPU."""
    words = {"model": model, "device": "cpu", "precision": "fp32", "dtype": "float32", **more}
    return made.job(out, method, **{"threads": 1, **words})


def recorded(backend, path):
    """The job in the tags of a file."""
    return job_from_json(header(backend, path).tags["WHETSTONE_JOB"])


def refusal(job, match):
    """The code of the refusal of a job, which leaves nothing of the output."""
    with pytest.raises(WhetstoneError, match=match) as caught:
        run(job)
    out = Path(job.out)
    assert not list(out.parent.glob(f"{out.stem}.*"))
    return caught.value.code
