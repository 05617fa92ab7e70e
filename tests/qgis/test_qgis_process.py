"""The plugin in ``qgis_process``, in an empty profile: from the checkout, and from the zip."""

from __future__ import annotations

from pathlib import Path

import pytest
from throwaway import PROGRAM, Profile, unpack_zip

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="qgis_process is not installed")


@pytest.fixture(scope="module", params=["checkout", "zip"])
def profile(request, root, tmp_path_factory) -> Profile:
    profile = Profile(tmp_path_factory.mktemp(request.param))
    if request.param == "checkout":
        (profile.plugins / "whetstone").symlink_to(root)
    else:
        unpack_zip(root, profile.plugins)
    profile.call("plugins", "enable", "whetstone")
    return profile


def test_list_and_help(profile):
    listed = profile.call("list").stdout
    names = "classical ssdiff crossdiff adapt assess compare check degrade enginestatus models"
    for name in (*names.split(), "sharpen_and_assess", "adapt_sharpen_and_assess"):
        assert f"whetstone:{name}\t" in listed
    text = profile.call("help", "whetstone:classical").stdout
    assert "Fuses a sharp panchromatic image" in text and "<p>" not in text
    for word in ("METHOD", "mtf-glp-fs", "SENSOR", "EXTENT", "HQNR", "R_ERGAS", "OUTPUT"):
        assert word in text


def test_fuse_assess_and_numbers(profile, scene):
    out = profile.folder / "fused é x.tif"
    page = profile.folder / "report.html"
    result = profile.run(
        "whetstone:classical", PAN=scene.pan, MS=scene.ms, METHOD="gsa", HTML=page, OUTPUT=out
    )
    assert result["OUTPUT"] == str(out) and out.stat().st_size > 10_000 and page.is_file()
    assert result["RATIO"] == 4 and 0 < result["HQNR"] <= 1


def test_several_files_and_creation_options(profile, scene, raster):
    files = [raster(profile.folder / f"B{n}.tif", scene.ms_values[n], pixel=4.0) for n in range(3)]
    out = profile.folder / "three.tif"
    profile.run(
        "whetstone:classical", PAN=scene.pan, MS_FILES=files, METHOD="brovey", FORMAT="cog",
        OPTIONS="COMPRESS=LZW", OUTPUT=out,
    )  # fmt: skip
    from osgeo import gdal

    dataset = gdal.Open(str(out))
    assert dataset.RasterCount == 3
    assert dataset.GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") == "LZW"


def test_others(profile, scene):
    folder = profile.folder / "reduced"
    pair = profile.run("whetstone:degrade", PAN=scene.pan, MS=scene.ms, OUTPUT_FOLDER=folder)
    assert Path(pair["GT"]).is_file()
    assert profile.run("whetstone:check", PAN=pair["PAN"], MS=pair["MS"])["RATIO"] == 4
    best = profile.run(
        "whetstone:compare", PAN=scene.pan, MS=scene.ms, METHODS=["exp", "gsa"], REDUCED="true",
        OUTPUT_FOLDER=profile.folder / "compared",
    )["BEST"]  # fmt: skip
    assert best == "gsa"


def test_model_by_id_and_by_file(profile, scene):
    model = profile.plugins / "whetstone/resources/models/sharpen_and_assess.model3"
    for name in ("whetstone:sharpen_and_assess", model):
        out, page = profile.folder / "m.tif", profile.folder / "m.html"
        profile.run(str(name), PAN=scene.pan, MS=scene.ms, fuse__Fused=out, scores__Report=page)
        assert out.is_file() and page.is_file()
        out.unlink(), page.unlink()


@pytest.fixture
def with_engine(profile, tiny_engine):
    """The profile, with the engine and tiny models."""
    profile.more = {
        "WHETSTONE_ENGINE_PYTHON": tiny_engine.python,
        "WHETSTONE_MODELS": str(tiny_engine.models),
    }
    yield profile
    profile.more = {}


def test_deep_algorithms(with_engine, scene):
    run, folder = with_engine.run, with_engine.folder / "tief é x"
    folder.mkdir()
    assert run("whetstone:enginestatus")["READY"] is True
    assert "tiny-ssdiff" in run("whetstone:models")["NAMES"]
    x, y = scene.origin
    extent = f"{x},{x + 96},{y - 96},{y} [EPSG:32633]"
    for name in ("ssdiff", "crossdiff"):
        out = folder / f"{name}.tif"
        pair = {"PAN": scene.pan, "MS": scene.ms}
        result = run(f"whetstone:{name}", **pair, MODEL=f"tiny-{name}", EXTENT=extent, OUTPUT=out)
        assert result["OUTPUT"] == str(out) and result["MODEL_USED"] == f"tiny-{name}"
    assert sorted(item.name for item in folder.iterdir()) == ["crossdiff.tif", "ssdiff.tif"]


def test_without_an_engine(profile, scene):
    status = profile.run("whetstone:enginestatus")
    assert status["READY"] is False and status["STATE"] == "missing"
    words = [f"PAN={scene.pan}", f"MS={scene.ms}", "OUTPUT=o.tif"]
    done = profile.call("run", "whetstone:ssdiff", "--", *words, code=1)
    assert "Settings > Options > Whetstone" in done.stdout + done.stderr


def test_errors_have_an_exit_code_and_words(profile, scene):
    done = profile.call(
        "run", "whetstone:classical", "--", f"PAN={scene.ms}", f"MS={scene.pan}", "OUTPUT=o.tif",
        code=1,
    )  # fmt: skip
    assert "Did you swap PAN and MS?" in done.stdout + done.stderr
    assert not (profile.folder / "tmp/o.tif").exists()
