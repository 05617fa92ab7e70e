"""Jobs as JSON."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from whetstone.engine import (
    AdaptJob,
    AssessJob,
    CheckJob,
    CompareJob,
    DegradeJob,
    DemoJob,
    FuseJob,
    RasterSource,
    WhetstoneError,
    job_from_json,
    job_to_json,
    jobs,
    result_to_dict,
)

PAN = RasterSource(("p.tif",))
MS = RasterSource(("b2.tif", "b3.tif"), bands=(2, 1), crs="EPSG:32633", nodata=-1.5)
FULL = (
    FuseJob(
        *(PAN, MS, "o.tif", "bdsd-pc", "wv3", (1.0, 2.0, 3.5, 4.0), "product", "float32", "cog"),
        *({"COMPRESS": "ZSTD"}, False, True, 256, 3),
    ),
    AssessJob(MS, PAN, MS, reference=MS, sensor="qb", protocol="toolbox", crop=21, html="r.html"),
    CompareJob(PAN, MS, ("gsa", "exp"), "out", reference=MS),
    AdaptJob(PAN, MS, "m.safetensors", "scratch", "full", 2.5, 100, "qb", (0.0, 1.0, 2.0, 3.0), 3),
    CheckJob(PAN, MS, sensor="ge1"),
    DegradeJob(PAN, MS, "out", sensor="qb", protocol="toolbox"),
    DemoJob("out", 256, 2, 0.25, 11),
)
PLAIN = (
    FuseJob(PAN, PAN, "o.tif"),
    AssessJob(PAN, PAN, PAN),
    CompareJob(PAN, PAN, ("exp",), "out"),
    AdaptJob(PAN, PAN, "m.safetensors"),
    CheckJob(PAN, PAN),
    DegradeJob(PAN, PAN, "out"),
    DemoJob("out"),
)


def test_every_job_is_tested():
    assert {type(job) for job in FULL} == {type(job) for job in PLAIN} == set(jobs.JOBS.values())


@pytest.mark.parametrize("job", FULL + PLAIN, ids=lambda job: type(job).__name__)
def test_round_trip(job):
    text = job_to_json(job)
    assert "\n" not in text
    again = job_from_json(text)
    assert again == job
    assert type(again) is type(job)
    assert job_to_json(again) == text


@pytest.mark.parametrize("job", PLAIN, ids=lambda job: type(job).__name__)
def test_what_has_a_default_may_be_left_out(job):
    verb = next(name for name, cls in jobs.JOBS.items() if cls is type(job))
    data = json.loads(job_to_json(job))
    needed = {"whetstone", "job"} | {
        field.name for field in fields(job) if getattr(type(job), field.name, None) is None
    }
    short = {key: value for key, value in data.items() if key in needed and value is not None}
    assert short["job"] == verb
    assert job_from_json(json.dumps(short)) == job


@pytest.mark.parametrize(
    ("change", "code", "word"),
    (
        ({"whetstone": 2}, "JOB_VERSION", "version 1"),
        ({"whetstone": None}, "JOB_VERSION", "version 1"),
        ({"job": "melt"}, "JOB_INVALID", "fuse"),
        ({"sharpness": 11}, "JOB_INVALID", "sharpness"),
    ),
)
def test_refusals(change, code, word):
    data = {**json.loads(job_to_json(PLAIN[0])), **change}
    with pytest.raises(WhetstoneError) as caught:
        job_from_json(json.dumps(data))
    assert caught.value.code == code
    assert word in caught.value.message


def test_missing_fields_are_named():
    with pytest.raises(WhetstoneError, match="lacks ms, out"):
        job_from_json('{"whetstone": 1, "job": "fuse", "pan": {"paths": ["p.tif"]}}')


@pytest.mark.parametrize("text", ("", "[1]", '"fuse"', "{", "nonsense"))
def test_what_is_no_job(text):
    with pytest.raises(WhetstoneError) as caught:
        job_from_json(text)
    assert caught.value.code in ("JOB_INVALID", "JOB_VERSION")


def test_jobs_can_be_compared_and_replaced():
    assert replace(PLAIN[0], method="gs") != PLAIN[0]
    assert RasterSource.of("p.tif") == PAN
    assert RasterSource.of(PAN) is PAN


def test_results_are_plain_json():
    result = jobs.AssessResult({"sam": 1.5, "q2n": float("nan"), "qnr": float("inf")}, "Good.")
    found = result_to_dict(result)
    assert found["scores"] == {"sam": 1.5, "q2n": None, "qnr": None}
    assert found["notes"] == []
    json.dumps(found, allow_nan=False)
