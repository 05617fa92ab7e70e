"""The command line: flags to jobs, JSON framing, exit statuses, words for people."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from whetstone.engine import cli, command
from whetstone.engine.errors import Cancelled, WhetstoneError
from whetstone.engine.jobs import (
    AssessJob,
    AssessResult,
    CheckJob,
    CheckResult,
    CompareJob,
    CompareResult,
    DegradeJob,
    DegradeResult,
    DemoJob,
    DemoResult,
    FuseJob,
    FuseResult,
    RasterSource,
    job_to_json,
)

PAIR = ["--pan", "p.tif", "--ms", "m.tif"]
SOURCES = {"pan": RasterSource(("p.tif",)), "ms": RasterSource(("m.tif",))}
FUSED = FuseResult("o.tif", "gsa", "wv3", 512, 512, 4, "uint16", 4.0, (1.5, 1.5), (0.1, -0.2), 0.9)
FUSED = replace(FUSED, clipped=3, seconds=1.25, notes=("sensor guessed",))
ASSESSED = AssessResult({"ergas": 1.23456, "sam": float("nan"), "odd": 7.0}, "Good.", "r.html")
CHECKED = CheckResult(
    *(True, "wv3", "8 bands", 4.0, (1.5, 1.5), 1.0, None, 0.0, ("blue",), "uint16"),
    *((512, 512), (128, 128), (0.0, 2000.0), ((1.0, 900.0),), (0.87,)),
)
COMPARED = CompareResult(
    rows=(
        {"method": "gsa", "out": "gsa.tif", "seconds": 1.0, "scores": {"hqnr": 0.9}},
        {"method": "exp", "out": "exp.tif", "seconds": 0.5, "scores": {"hqnr": float("nan")}},
    ),
    best="gsa",
)
RESULTS = {
    FuseJob: FUSED,
    AssessJob: ASSESSED,
    CompareJob: COMPARED,
    CheckJob: CHECKED,
    DegradeJob: DegradeResult("pan.tif", "ms.tif", "gt.tif", 4, "wv3"),
    DemoJob: DemoResult("d/pan.tif", "d/ms.tif", "d/gt.tif"),
}


@pytest.fixture(autouse=True)
def methods(monkeypatch):
    method = SimpleNamespace(title="T", family="CS", summary="S", source="Someone 2007")
    known = dict.fromkeys(("exp", "gsa", "mtf-glp", "mtf-glp-fs"), method)
    monkeypatch.setattr(command, "known_methods", lambda: known)
    monkeypatch.setattr(cli, "known_methods", lambda: known)


@pytest.fixture
def jobs(monkeypatch):
    """Run nothing; remember the jobs and answer each with a result of its kind."""
    seen = []

    def run(job, progress):
        seen.append(job)
        return RESULTS[type(job)]

    monkeypatch.setattr(cli, "run", run)
    return seen


def failing(monkeypatch, error):
    def run(job, progress):
        raise error

    monkeypatch.setattr(cli, "run", run)


def test_fuse_takes_every_field(jobs):
    words = [
        *("fuse --pan p.tif --pan-band 2 --ms a.tif b.tif --ms-bands 3 1 --out o.tif").split(),
        *("--method MTF-GLP --sensor WV3 --protocol toolbox --bounds -1.5 0 2 3e6").split(),
        *("--dtype float64 --format cog --co compress=ZSTD --co LEVEL=a=b").split(),
        *("--no-overviews --coregister --block 256 --threads 2").split(),
    ]
    assert cli.main(words) == 0
    assert jobs == [
        FuseJob(
            RasterSource(("p.tif",), (2,)),
            RasterSource(("a.tif", "b.tif"), (3, 1)),
            "o.tif",
            method="mtf-glp",
            sensor="wv3",
            bounds=(-1.5, 0.0, 2.0, 3e6),
            protocol="toolbox",
            dtype="float64",
            format="cog",
            creation_options={"COMPRESS": "ZSTD", "LEVEL": "a=b"},
            overviews=False,
            coregister=True,
            block=256,
            threads=2,
        )
    ]


def test_fuse_takes_every_field_of_a_deep_method(jobs):
    words = [
        *("fuse --pan p.tif --ms m.tif --out o.tif --method ssdiff --model m.safetensors").split(),
        *("--steps 4 --sampler dpmpp-2m --seed 3 --samples 8 --uncertainty u.tif").split(),
        *("--consistency --device cuda:1 --precision bf16 --batch 16").split(),
    ]
    assert cli.main(words) == 0
    assert jobs == [
        FuseJob(
            RasterSource(("p.tif",)),
            RasterSource(("m.tif",)),
            "o.tif",
            method="ssdiff",
            model="m.safetensors",
            steps=4,
            sampler="dpmpp-2m",
            seed=3,
            samples=8,
            uncertainty="u.tif",
            consistency=True,
            device="cuda:1",
            precision="bf16",
            batch=16,
        )
    ]


@pytest.mark.parametrize(
    ("words", "job"),
    [
        (["fuse", *PAIR, "--out", "o.tif"], FuseJob(**SOURCES, out="o.tif")),
        (
            ["assess", "--fused", "f.tif", *PAIR, "--reference", "g.tif", "--crop", "21"],
            AssessJob(
                RasterSource(("f.tif",)), **SOURCES, reference=RasterSource(("g.tif",)), crop=21
            ),
        ),
        (
            ["compare", *PAIR, "--methods", "gsa, exp,gsa", "--reduced", "--out-dir", "d"],
            CompareJob(**SOURCES, methods=("gsa", "exp"), out_dir="d", reduced=True),
        ),
        (
            ["compare", *PAIR, "--methods", "all", "--out-dir", "d", "--html", "r.html"],
            CompareJob(
                **SOURCES,
                methods=("exp", "gsa", "mtf-glp", "mtf-glp-fs"),
                out_dir="d",
                html="r.html",
            ),
        ),
        (
            ["compare", *PAIR, "--methods", "gsa", "--out-dir", "d", "--consistency"],
            CompareJob(**SOURCES, methods=("gsa",), out_dir="d", consistency=True),
        ),
        (["check", *PAIR, "--sensor", "auto"], CheckJob(**SOURCES)),
        (["degrade", *PAIR, "--out-dir", "d"], DegradeJob(**SOURCES, out_dir="d")),
        (
            ["demo", "--scene-only", "--size", "64", "--phase", "-1"],
            DemoJob("demo", 64, phase=-1.0),
        ),
    ],
)
def test_every_verb_makes_its_job(jobs, words, job):
    assert cli.main(words) == 0
    assert jobs == [job]


def test_existing_inputs_are_kept_by_their_full_path(jobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.tif").touch()
    cli.main(["check", "--pan", "p.tif", "--ms", "/vsizip/a.zip/m.tif"])
    assert jobs[0].pan.paths == (str(tmp_path / "p.tif"),)
    assert jobs[0].ms.paths == ("/vsizip/a.zip/m.tif",)


@pytest.mark.parametrize(
    "words",
    [
        ["fuse", *PAIR, "--out", "o.tif"],
        ["assess", "--fused", "f.tif", *PAIR],
        ["compare", *PAIR, "--methods", "gsa", "--out-dir", "d"],
        ["check", *PAIR],
        ["degrade", *PAIR, "--out-dir", "d"],
        ["methods"],
        ["demo"],
    ],
    ids=lambda words: words[0],
)
def test_json_is_one_object_and_text_is_for_people(jobs, capsys, words):
    assert cli.main([*words, "--json"]) == 0
    out = capsys.readouterr().out
    assert isinstance(json.loads(out), dict)
    assert "NaN" not in out
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert out.strip()
    assert not [line for line in out.splitlines() if line != line.rstrip()]


def test_text_has_units_notes_and_dashes(jobs, capsys):
    cli.main(["fuse", *PAIR, "--out", "o.tif"])
    out = capsys.readouterr().out
    assert "+0.10, -0.20 PAN pixels (confidence 0.90)" in out
    assert out.endswith("note: sensor guessed\n")
    cli.main(["assess", "--fused", "f.tif", *PAIR])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["ergas", "1.2346", "0"]
    assert lines[2].split() == ["sam", "-", "deg", "0"]
    assert lines[-2:] == ["Good.", "report: r.html"]


def test_demo_draws_fuses_and_scores(jobs):
    assert cli.main(["demo", "--out-dir", "d"]) == 0
    draw, fuse, assess = jobs
    assert draw == DemoJob("d")
    assert (fuse.method, fuse.ms.paths) == ("auto", ("d/ms.tif",))
    assert (assess.fused.paths, assess.reference.paths) == (("o.tif",), ("d/gt.tif",))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "USAGE: "),
        (["fuze"], "fuze"),
        (["fuse", *PAIR], "--out"),
        (["fuse", *PAIR, "--out", "o.tif", "--method", "gas"], "Did you mean gs or gsa"),
        (["compare", *PAIR, "--methods", "gsa,mtfglp", "--out-dir", "d"], "mtf-glp"),
        (["compare", *PAIR, "--methods", ",", "--out-dir", "d"], "names no method"),
        (["check", *PAIR, "--sensor", "landsat88"], "Did you mean landsat8"),
        (["fuse", *PAIR, "--out", "o.tif", "--co", "ZSTD"], "KEY=VALUE"),
        (["fuse", *PAIR, "--out", "o.tif", "--bounds", "2", "0", "1", "1"], "XMIN YMIN XMAX YMAX"),
        (["fuse", *PAIR, "--out", "o.tif", "--bounds", "nan", "0", "1", "1"], "encloses nothing"),
        (["fuse", *PAIR, "--out", "o.tif", "--threads", "-1"], "-1"),
        (["fuse", *PAIR, "--out", "o.tif", "--block", "x"], "whole number"),
        (["fuse", *PAIR, "--out", "o.tif", "--dtype", "complex64"], "complex64"),
        (["fuse", *PAIR, "--ou", "o.tif"], "--out"),
    ],
)
def test_wrong_calls_end_with_2_and_one_line(jobs, capsys, words, said):
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and err.count("\n") == 1
    assert jobs == []
    assert cli.main([*words, "--json"]) == 2
    assert set(json.loads(capsys.readouterr().out)["error"]) == {"code", "message", "hint"}


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (
            WhetstoneError("NO_OVERLAP", "They lie apart.", "Check\nboth."),
            1,
            "NO_OVERLAP: They lie",
        ),
        (Cancelled(), 130, "CANCELLED: "),
        (KeyboardInterrupt(), 130, "CANCELLED: "),
        (ZeroDivisionError("by\nzero"), 1, "INTERNAL: ZeroDivisionError: by zero This is a bug"),
    ],
)
def test_failed_jobs(monkeypatch, capsys, error, status, line):
    failing(monkeypatch, error)
    assert cli.main(["check", *PAIR, "--json"]) == status
    out, err = capsys.readouterr()
    assert err.startswith(line) and err.count("\n") == 1
    assert json.loads(out)["error"]["code"] == line.split(":")[0]
    assert cli.main(["check", *PAIR, "--debug"]) == status
    assert ", in run" in capsys.readouterr().err


def test_whatever_libraries_print_stays_out_of_the_json(monkeypatch, capsys):
    def run(job, progress):
        print("a chatty library")
        progress.update(0.5, "half")
        progress.message("a warning")
        return FUSED

    monkeypatch.setattr(cli, "run", run)
    assert cli.main(["fuse", *PAIR, "--out", "o.tif", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["out"] == "o.tif"
    assert err == "a chatty library\nnote: a warning\n"  # and no bar: stderr is no terminal


def test_a_terminal_gets_a_bar(monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", screen)
    progress = cli.Terminal()
    for step in range(1, 5):
        progress.update(step / 5, "fusing")
        time.sleep(0.15)
    progress.message("a note")
    progress.close()
    shown = screen.getvalue()
    assert "fusing" in shown and "left" in shown and "note: a note\n" in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_cancel_the_job(monkeypatch, capsys, number):
    def run(job, progress):
        assert not progress.cancelled()
        os.kill(os.getpid(), number)
        if progress.cancelled():
            raise Cancelled
        return FUSED

    before = signal.getsignal(number)
    monkeypatch.setattr(cli, "run", run)
    assert cli.main(["check", *PAIR]) == 130
    assert signal.getsignal(number) == before


def test_run_replays_a_job(jobs, tmp_path, capsys):
    path = tmp_path / "job.json"
    job = FuseJob(**SOURCES, out="first.tif", method="exp", bounds=(0.0, 1.0, 2.0, 3.0))
    path.write_text(job_to_json(job))
    assert cli.main(["run", str(path)]) == 0
    assert cli.main(["run", str(path), "--out", "second.tif"]) == 0
    assert jobs == [job, replace(job, out="second.tif")]
    path.write_text(job_to_json(CheckJob(**SOURCES)))
    assert cli.main(["run", str(path), "--out", "x"]) == 2


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "JOB_UNREADABLE"), (b"\xff\xfe\x00", "JOB_INVALID"), (b"{}", "JOB_VERSION")],
)
def test_run_refuses_what_is_no_job(jobs, tmp_path, capsys, content, code):
    path = tmp_path / "job.json"
    if content is not None:
        path.write_bytes(content)
    assert cli.main(["run", str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"{code}: ")


def test_run_reads_the_job_in_the_tags_of_an_image(jobs, tmp_path, capsys, monkeypatch):
    tags = {"WHETSTONE_JOB": job_to_json(CheckJob(**SOURCES))}
    reader = SimpleNamespace(info=SimpleNamespace(tags=tags), close=lambda: None)
    library = SimpleNamespace(open=lambda path: reader)
    pytest.importorskip("whetstone.engine.raster")
    monkeypatch.setattr("whetstone.engine.raster.backend", lambda: library, raising=False)
    path = tmp_path / "fused.tif"
    path.write_bytes(b"II*\0")
    assert cli.main(["run", str(path)]) == 0
    assert jobs == [CheckJob(**SOURCES)]
    tags.clear()
    assert cli.main(["run", str(path)]) == 1
    assert "JOB_MISSING" in capsys.readouterr().err


@pytest.mark.parametrize(
    "verb", ["fuse", "assess", "compare", "check", "degrade", "methods", "run", "demo"]
)
def test_every_verb_has_help_with_an_example(capsys, verb):
    with pytest.raises(SystemExit) as end:
        cli.main([verb, "--help"])
    assert end.value.code == 0
    assert f"Example: whetstone {verb}" in " ".join(capsys.readouterr().out.split())
