"""Bad inputs: each is refused in words, or handled and said; nothing is lost or left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from whetstone.engine import cli, run
from whetstone.engine.errors import Cancelled, WhetstoneError
from whetstone.engine.jobs import CheckJob, DegradeJob, DemoJob, RasterSource, job_to_json
from whetstone.engine.raster import backend as make_backend
from whetstone.engine.types import Progress

from . import scenes
from .scenes import coarse_grid, fine_grid, layer, source, vrt

OLD = b"an older output that must survive"
SIZE, SMALL = (64, 64), (16, 16)


class Desk:
    """A good pair in ``inputs``, an older file in ``out``: what a user has before a mistake."""

    def __init__(self, backend, folder, good):
        self.backend, self.folder = backend, folder
        shutil.copytree(os.path.dirname(good.pan), folder / "inputs")
        self.pan, self.ms = str(self.file("pan.tif")), str(self.file("ms.tif"))
        self.pair = replace(good, pan=self.pan, ms=self.ms)
        self.out = folder / "out"
        self.out.mkdir()
        (self.out / "old.tif").write_bytes(OLD)

    def file(self, name):
        return self.folder / "inputs" / name

    def text(self, name, content):
        self.file(name).write_text(content)
        return str(self.file(name))

    def raw(self, name, content):
        self.file(name).write_bytes(content)
        return str(self.file(name))

    def image(self, name, values, grid=None, **more):
        """A raster; on the grid of the PAN if it is as large, else on that of the MS."""
        grid = grid or (fine_grid() if values.shape[1:] == SIZE[::-1] else coarse_grid(4))
        return scenes.write(self.backend, self.file(name), values, grid, **more)

    def like(self, role, name, **more):
        """A copy of the PAN or MS with another header."""
        values = more.pop("values", None)
        if values is None:
            values = scenes.read(self.backend, getattr(self, role))[0]
        return self.image(name, values, **more)

    def virtual(self, role, name, grid="", kind="UInt16", extra="", before=""):
        """A VRT over the PAN or MS with another header."""
        size, own = (SIZE, fine_grid()) if role == "pan" else (SMALL, coarse_grid(4))
        count = 1 if role == "pan" else 4
        bands = [(kind, before + layer(getattr(self, role), n + 1)) for n in range(count)]
        return vrt(self.file(name), size, own if grid == "" else grid, bands, extra)

    def state(self):
        """Everything on the desk: names and contents."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes() if path.is_file() else None
            for path in self.folder.rglob("*")
        }

    def job(self, **more):
        return self.pair.job(
            more.pop("out", self.out / "old.tif"), more.pop("method", "gsa"), **more
        )


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A good pair, to be copied."""
    return scenes.make_pair(make_backend(), tmp_path_factory.mktemp("good") / "inputs", SIZE)


@pytest.fixture
def desk(backend, good, tmp_path, monkeypatch):
    monkeypatch.setenv("WHETSTONE_BACKEND", backend.name)
    return Desk(backend, tmp_path, good)


@pytest.fixture
def one_desk(good, tmp_path):
    """A desk for what does not depend on the raster library."""
    return Desk(make_backend(), tmp_path, good)


def refused(desk, job, act=run):
    """The refusal of a job, which must leave the desk as it was."""
    before = desk.state()
    with pytest.raises(WhetstoneError) as caught:
        act(job)
    assert desk.state() == before
    return caught.value


# ------------------------------------------------------------------------------- the refusals

CASES = {}


def case(code, *words, exit_status=1):
    """Register a function that turns a desk into the changes of a good job."""

    def register(make):
        CASES[make.__name__.strip("_")] = (make, code, words, exit_status)
        return make

    return register


# -- the pair


@case("PAN_BANDS", "PAN must be one band; this layer has 4", "Did you swap PAN and MS?")
def swapped(desk):
    return {"pan": desk.ms, "ms": desk.pan}


@case("NOT_FINER", "2 vs 0.5", "0.25", "at least 1.5", "swap PAN and MS?")
def swapped_with_a_band_chosen(desk):
    return {"pan": RasterSource((desk.ms,), (1,)), "ms": desk.pan}


@case("NOT_FINER", "not finer (0.5 vs 0.5)", "1.00")
def pan_as_ms(desk):
    return {"ms": desk.pan}


@case("NOT_FINER", "0.5 vs 0.7", "1.40")
def ratio_below_the_least(desk):
    values = np.full((3, 40, 40), 7, "uint16")
    return {"ms": desk.image("m.tif", values, coarse_grid(1.4))}


@case("CRS_DIFFERENT", "PAN is EPSG:32633, MS is EPSG:3857", "Warp")
def crs_different(desk):
    return {"ms": desk.like("ms", "m.tif", crs="EPSG:3857")}


@case("CRS_DIFFERENT", "PAN is EPSG:32632, MS is EPSG:32633")
def crs_override_different(desk):
    return {"pan": RasterSource((desk.pan,), crs="EPSG:32632")}


@case("CRS_INVALID", "'EPSG:nonsense' is not a coordinate reference system")
def crs_override_half_nonsense(desk):
    return {"pan": RasterSource((desk.pan,), crs="EPSG:nonsense")}


@case("CRS_INVALID", "'nonsense' is not a coordinate reference system")
def crs_override_nonsense(desk):
    return {"pan": RasterSource((desk.pan,), crs="nonsense")}


@case("CRS_MISSING", "The PAN has no CRS", "EPSG:32633", "Assign Projection")
def crs_missing_in_pan(desk):
    return {"pan": desk.like("pan", "p.tif", crs="")}


@case("CRS_MISSING", "The MS has no CRS", "EPSG:32633", "Assign Projection")
def crs_missing_in_ms(desk):
    return {"ms": desk.like("ms", "m.tif", crs="")}


@case("CRS_MISSING", "The MS has no georeferencing")
def georeference_missing(desk):
    return {"ms": desk.virtual("ms", "m.vrt", grid=None)}


@case(
    "NO_OVERLAP", "PAN covers 500000 to 500032 by 4599968 to 4600000", "MS covers 510000 to 510032"
)
def no_overlap(desk):
    return {"ms": desk.like("ms", "m.tif", grid=(510000.0, 2.0, 0.0, 4600000.0, 0.0, -2.0))}


@case("ROTATED", "is rotated", "warp north-up first")
def rotated_pan(desk):
    return {"pan": desk.virtual("pan", "p.vrt", (5e5, 0.4, 0.3, 4.6e6, 0.3, -0.4))}


@case("ROTATED", "is rotated", "warp north-up first")
def rotated_ms(desk):
    return {"ms": desk.virtual("ms", "m.vrt", (5e5, 2.0, 0.3, 4.6e6, 0.3, -2.0))}


@case("ROTATED", "is south-up", "warp north-up first")
def south_up(desk):
    return {"ms": desk.virtual("ms", "m.vrt", (5e5, 2.0, 0.0, 4.6e6, 0.0, 2.0))}


@case("ROTATED", "is mirrored", "warp north-up first")
def mirrored(desk):
    return {"ms": desk.virtual("ms", "m.vrt", (5e5, -2.0, 0.0, 4.6e6, 0.0, -2.0))}


@case("ANISOTROPIC", "4.000 in x but 6.000 in y", "Warp")
def anisotropic(desk):
    return {"ms": desk.virtual("ms", "m.vrt", (5e5, 2.0, 0.0, 4.6e6, 0.0, -3.0))}


@case("GCPS", "has only ground control points", "Warp it first")
def control_points_only(desk):
    points = "".join(
        f'<GCP Id="{n}" Pixel="{x}" Line="{y}" X="{5e5 + x}" Y="{4.6e6 - y}"/>'
        for n, (x, y) in enumerate([(0, 0), (64, 0), (0, 64), (64, 64)])
    )
    extra = f'<GCPList Projection="EPSG:32633">{points}</GCPList>'
    return {"pan": desk.virtual("pan", "p.vrt", None, extra=extra)}


@case("REMOTE_LAYER", "pictures, not measurements", "Save as GeoTIFF")
def web_map_description(desk):
    text = (
        '<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/${z}/${x}/${y}.png</ServerUrl>'
        "</Service><DataWindow><UpperLeftX>-20037508.34</UpperLeftX><UpperLeftY>20037508.34"
        "</UpperLeftY><LowerRightX>20037508.34</LowerRightX><LowerRightY>-20037508.34</LowerRightY>"
        "<TileLevel>18</TileLevel><TileCountX>1</TileCountX><TileCountY>1</TileCountY>"
        "<YOrigin>top</YOrigin></DataWindow><Projection>EPSG:3857</Projection><BlockSizeX>256"
        "</BlockSizeX><BlockSizeY>256</BlockSizeY><BandsCount>3</BandsCount></GDAL_WMS>"
    )
    return {"ms": desk.text("layer.xml", text)}


@case("REMOTE_LAYER", "pictures, not measurements", "original bands")
def web_map_name(desk):
    return {"ms": "type=xyz&url=https://tile.example.org/{z}/{x}/{y}.png&zmax=19"}


@case("DTYPE", "complex64", "not supported")
def complex_numbers(desk):
    return {"ms": desk.virtual("ms", "m.vrt", kind="CFloat32")}


@case("DTYPE", "palette image", "not supported", "original bands")
def palette(desk):
    table = (
        "<ColorInterp>Palette</ColorInterp><ColorTable><Entry c1='9'/><Entry c1='8'/></ColorTable>"
    )
    return {"pan": desk.virtual("pan", "p.vrt", kind="Byte", before=table)}


@case("EMPTY", "No valid pixels in the common area")
def ms_all_nodata(desk):
    return {"ms": desk.image("m.tif", np.zeros((4, 16, 16), "uint16"), nodata=0.0)}


@case("EMPTY", "No valid pixels in the common area")
def pan_all_nodata(desk):
    return {"pan": desk.image("p.tif", np.full((1, 64, 64), -9999, "int16"), nodata=-9999.0)}


@case("EMPTY", "No valid pixels in the common area")
def one_band_all_nodata(desk):
    values = np.full((4, 16, 16), 500, "uint16")
    values[2] = 0
    return {"ms": desk.image("m.tif", values, nodata=0.0)}


@case("EMPTY", "No valid pixels in the common area")
def all_nan(desk):
    return {"ms": desk.image("m.tif", np.full((4, 16, 16), np.nan, "float32"))}


@case("EMPTY", "No valid pixels in the chosen area")
def nothing_to_interpolate(desk):
    return {"ms": desk.image("m.tif", np.full((4, 16, 16), np.nan, "float32")), "method": "exp"}


@case("EMPTY", "No valid pixels in the chosen area")
def nodata_in_the_bounds(desk):
    values = scenes.read(desk.backend, desk.ms)[0]
    values[:, :8] = 0
    ms = desk.image("m.tif", values, nodata=0.0)
    return {"ms": ms, "bounds": (5e5, 4.6e6 - 10, 5e5 + 20, 4.6e6)}


# -- the files


@case("NOT_FOUND", "There is no raster", "nowhere.tif", "spelling")
def missing_file(desk):
    return {"pan": str(desk.file("nowhere.tif"))}


@case("NOT_FOUND", "There is no raster", "B9.tif")
def missing_band_file(desk):
    return {"ms": (desk.ms, str(desk.file("B9.tif")))}


@case("UNREADABLE", "is a folder, not a raster")
def a_folder(desk):
    return {"pan": str(desk.folder / "inputs")}


@case("UNREADABLE", "is empty (0 bytes)", "download it again")
def zero_bytes(desk):
    return {"ms": desk.raw("m.tif", b"")}


@case("UNREADABLE", "m.tif", "no raster format")
def a_text_file(desk):
    return {"ms": desk.text("m.tif", "band 1: 3 4 5\n" * 40)}


@case("UNREADABLE", "m.tif", "damaged")
def a_header_only(desk):
    with open(desk.ms, "rb") as file:
        return {"ms": desk.raw("m.tif", file.read(40))}


@case("READ_FAILED", "p.tif", "columns", "rows", "damaged or incomplete")
def cut_in_the_middle(desk):
    rng = np.random.default_rng(0)
    whole = desk.image("whole.tif", rng.integers(0, 60000, (1, 64, 64), "uint16"))
    with open(whole, "rb") as file:
        content = file.read()
    return {"pan": desk.raw("p.tif", content[: len(content) * 3 // 5])}


@case("READ_FAILED", "m.vrt", "columns 0 to 15")
def a_virtual_file_without_its_source(desk):
    bands = [("UInt16", layer(desk.file("gone.tif")))] * 4
    return {"ms": vrt(desk.file("m.vrt"), SMALL, coarse_grid(4), bands)}


@case("UNREADABLE", "m.vrt")
def zero_columns(desk):
    return {"ms": vrt(desk.file("m.vrt"), (0, 0), coarse_grid(4), [("UInt16", "")])}


@case("NOT_FOUND", "No file is given for MS")
def no_files(desk):
    return {"ms": ()}


@case("BAND_MISSING", "MS has no band 5", "has 4 bands")
def band_out_of_range(desk):
    return {"ms": RasterSource((desk.ms,), (1, 5))}


@case("BAND_MISSING", "PAN has no band 2", "has 1 band")
def pan_band_out_of_range(desk):
    return {"pan": RasterSource((desk.pan,), (2,))}


@case("BAND_MISSING", "no band to use")
def no_bands(desk):
    return {"ms": RasterSource((desk.ms,), ())}


@case("GRID_DIFFERENT", "16 x 16 and 15 x 16 pixels", "files of MS")
def band_files_of_other_size(desk):
    other = desk.image("B2.tif", np.ones((1, 16, 15), "uint16"), coarse_grid(4))
    return {"ms": (desk.ms, other)}


@case("GRID_DIFFERENT", "(500000, 4600000) at 2 x 2 and (500002, 4600000) at 2 x 2")
def band_files_side_by_side(desk):
    grid = (5e5 + 2, 2.0, 0.0, 4.6e6, 0.0, -2.0)
    return {"ms": (desk.ms, desk.image("B2.tif", np.ones((1, 16, 16), "uint16"), grid))}


@case("GRID_DIFFERENT", "EPSG:32633 and EPSG:32634")
def band_files_of_other_crs(desk):
    return {"ms": (desk.ms, desk.like("ms", "B2.tif", crs="EPSG:32634"))}


# -- the wishes


@case("METHOD_UNKNOWN", "'gas'", "gsa", exit_status=2)
def unknown_method(desk):
    return {"method": "gas"}


@case("SENSOR_UNKNOWN", "'worldview9'", "Did you mean", exit_status=2)
def unknown_sensor(desk):
    return {"sensor": "worldview9"}


@case("PROTOCOL", "'Toolbox'", "product or toolbox", exit_status=2)
def unknown_protocol(desk):
    return {"protocol": "Toolbox"}


@case("DTYPE", "'complex64'", "uint16", exit_status=2)
def unknown_dtype(desk):
    return {"dtype": "complex64"}


@case("OUT_FORMAT", "'jp2'", "gtiff", "cog", exit_status=2)
def unknown_format(desk):
    return {"format": "jp2"}


@case("BLOCK", "5000", "64 to 4096")
def block_too_large(desk):
    return {"block": 5000}


@case("BLOCK", "63", "64 to 4096")
def block_too_small(desk):
    return {"block": 63}


@case("BOUNDS_EMPTY", "hold no area", "XMIN YMIN XMAX YMAX", exit_status=2)
def bounds_reversed(desk):
    return {"bounds": (5e5 + 20, 4.6e6 - 20, 5e5, 4.6e6)}


@case("BOUNDS_EMPTY", "hold no area", exit_status=2)
def bounds_without_area(desk):
    return {"bounds": (5e5, 4.6e6 - 20, 5e5, 4.6e6)}


@case("BOUNDS_EMPTY", "nan", "hold no area", exit_status=2)
def bounds_not_a_number(desk):
    return {"bounds": (5e5, float("nan"), 5e5 + 20, 4.6e6)}


@case("NO_OVERLAP", "0 0 10 10", "500000 to 500032 by 4599968 to 4600000", "CRS of the PAN")
def bounds_elsewhere(desk):
    return {"bounds": (0.0, 0.0, 10.0, 10.0)}


@case("NO_OVERLAP", "do not touch")
def bounds_between_pixel_centres(desk):
    return {"bounds": (5e5 + 0.3, 4.6e6 - 0.7, 5e5 + 0.7, 4.6e6 - 0.3)}


@case("BOUNDS_NO_GEOREFERENCE", "no georeferencing", "Leave the bounds out")
def bounds_without_georeference(desk):
    pan = desk.virtual("pan", "p.vrt", grid=None)
    return {
        "pan": pan,
        "ms": desk.virtual("ms", "m.vrt", grid=None),
        "bounds": (0.0, 0.0, 9.0, 9.0),
    }


@case("TOOLBOX_RATIO", "64 x 64 and 15 x 15", "product protocol")
def toolbox_with_an_odd_ratio(desk):
    ms = desk.image("m.tif", np.ones((4, 15, 15), "uint16"), coarse_grid(64 / 15))
    return {"ms": ms, "protocol": "toolbox"}


@case("TOOLBOX_BOUNDS", "whole scenes only", "bounds")
def toolbox_with_bounds(desk):
    return {"protocol": "toolbox", "bounds": (5e5, 4.6e6 - 20, 5e5 + 20, 4.6e6)}


@case("TOOLBOX_COREGISTER", "by their indices", "product protocol")
def toolbox_with_coregister(desk):
    return {"protocol": "toolbox", "coregister": True}


# -- the output


@case("OUT_OPTION", "COMPRESS cannot be JPEG", "DEFLATE")
def option_that_changes_values(desk):
    return {"creation_options": {"COMPRESS": "JPEG"}}


@case("OUT_OPTION", "no creation option FOO", "COMPRESS")
def option_nobody_knows(desk):
    return {"creation_options": {"FOO": "BAR"}}


@case("OUT_FORMAT", "JPEG 2000 cannot be written block by block; choose .tif")
def output_jp2(desk):
    return {"out": desk.out / "a.jp2"}


@case("OUT_FORMAT", "PNG cannot be written block by block; choose .tif")
def output_png(desk):
    return {"out": desk.out / "a.PNG"}


@case("OUT_FORMAT", "choose .tif")
def output_without_extension(desk):
    return {"out": desk.out / "fused"}


@case("OUT_FOLDER", "nowhere", "does not exist")
def output_folder_missing(desk):
    return {"out": desk.folder / "nowhere" / "a.tif"}


@case("OUT_FOLDER", "is a folder")
def output_is_a_folder(desk):
    (desk.out / "d.tif").mkdir()
    return {"out": desk.out / "d.tif"}


@case("OUT_FOLDER", "does not exist")
def output_below_a_file(desk):
    return {"out": desk.out / "old.tif" / "a.tif"}


@case("OUT_IS_INPUT", "never overwritten")
def output_is_the_pan(desk):
    return {"out": desk.pan}


@case("OUT_IS_INPUT", "never overwritten")
def output_is_one_of_the_ms_files(desk):
    return {"ms": (desk.ms, desk.like("ms", "B2.tif")), "out": desk.file("B2.tif")}


@case("OUT_IS_INPUT", "link.tif", "never overwritten")
def output_links_to_the_ms(desk):
    (desk.out / "link.tif").symlink_to(desk.ms)
    return {"out": desk.out / "link.tif"}


@case("OUT_IS_INPUT", "never overwritten")
def input_links_to_the_output(desk):
    shutil.copy(desk.pan, desk.out / "p.tif")
    desk.file("link.tif").symlink_to(desk.out / "p.tif")
    return {"pan": str(desk.file("link.tif")), "out": desk.out / "p.tif"}


@case("OUT_IS_INPUT", "never overwritten")
def output_in_a_linked_folder(desk):
    (desk.folder / "way").symlink_to(desk.folder / "inputs")
    return {"out": desk.folder / "way" / "ms.tif"}


@pytest.mark.parametrize("name", CASES)
def test_refused(desk, name):
    make, code, words, _ = CASES[name]
    error = refused(desk, desk.job(**make(desk)))
    assert error.code == code, error
    for word in words:
        assert word in str(error)


def argv(job):
    """The command line of a job."""
    words = [
        "fuse",
        "--pan",
        *job.pan.paths,
        "--ms",
        *job.ms.paths,
        "--out",
        job.out,
        "--method",
        job.method,
    ]
    words += ["--sensor", job.sensor, "--protocol", job.protocol, "--format", job.format]
    words += ["--block", str(job.block)]
    words += [] if job.dtype is None else ["--dtype", job.dtype]
    words += [] if job.bounds is None else ["--bounds", *map(str, job.bounds)]
    words += ["--coregister"] if job.coregister else []
    words += [word for item in job.creation_options.items() for word in ("--co", "=".join(item))]
    words += [] if job.pan.bands is None else ["--pan-band", str(job.pan.bands[0])]
    words += [] if not job.ms.bands else ["--ms-bands", *map(str, job.ms.bands)]
    return words


#: What a command line cannot say, or says by the parser's own words.
API_ONLY = {
    "crs_override_different",
    "crs_override_nonsense",
    "crs_override_half_nonsense",
    "no_files",
    "no_bands",
}


@pytest.mark.parametrize("name", [name for name in CASES if name not in API_ONLY])
def test_refused_on_the_command_line(one_desk, capsys, name):
    make, code, _, status = CASES[name]
    words = argv(one_desk.job(**make(one_desk)))
    before = one_desk.state()
    assert cli.main([*words, "--json"]) == status
    out, err = capsys.readouterr()
    assert one_desk.state() == before
    error = json.loads(out)["error"]
    assert set(error) == {"code", "message", "hint"}
    assert error["code"] == (code if status == 1 or code.endswith("UNKNOWN") else "USAGE")
    assert err.count("\n") == 1 and err.startswith(f"{error['code']}: {error['message'][:20]}")
    assert "Traceback" not in err and "np." not in err


@pytest.mark.parametrize(
    ("change", "status", "start"),
    [
        ({"ms": "nowhere.tif"}, 1, "NOT_FOUND: There is no raster 'nowhere.tif'."),
        ({"out": "a.jp2"}, 1, "OUT_FORMAT: JPEG 2000 cannot be written"),
        ({"method": "gas"}, 2, "METHOD_UNKNOWN: There is no method 'gas'"),
    ],
)
def test_a_process_ends_with_one_line(desk, change, status, start):
    words = argv(desk.job(**{"out": desk.out / "old.tif", **change}))
    before = desk.state()
    call = [sys.executable, "-m", "whetstone.engine.cli", *words]
    done = subprocess.run(call, capture_output=True, text=True, cwd=desk.folder, check=False)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(start) and done.stderr.count("\n") == 1
    assert desk.state() == before


@pytest.mark.parametrize("role", ["pan", "ms"])
@pytest.mark.parametrize("job", ["check", "fuse"])
def test_a_check_refuses_what_a_fusion_refuses(desk, role, job):
    text = desk.text("a.tif", "no raster")
    sources = {"pan": source(desk.pan), "ms": source(desk.ms), role: source(text)}
    refusal = refused(desk, CheckJob(**sources) if job == "check" else desk.job(**sources))
    assert refusal.code == "UNREADABLE"


@pytest.mark.parametrize(
    ("change", "folder", "code"),
    [
        ({"pan": "ms", "ms": "pan"}, "new", "PAN_BANDS"),
        ({}, "inputs/pan.tif", "OUT_FOLDER"),
        ({}, "inputs/pan.tif/new", "OUT_FOLDER"),
        ({}, "inputs", "OUT_IS_INPUT"),
        ({"ms": "tiny"}, "new", "TOO_SMALL"),
        ({"ms": "empty"}, "new", "UNREADABLE"),
    ],
)
def test_a_degradation_refuses_too(desk, change, folder, code):
    tiny = desk.image("tiny.tif", scenes.read(desk.backend, desk.ms)[0][:, :9, :9], coarse_grid(4))
    names = {"pan": desk.pan, "ms": desk.ms, "tiny": tiny, "empty": desk.raw("e.tif", b"")}
    pan, ms = (source(names[change.get(role, role)]) for role in ("pan", "ms"))
    assert refused(desk, DegradeJob(pan, ms, str(desk.folder / folder))).code == code


def test_a_degradation_that_is_cancelled_leaves_no_folder(desk):
    class Impatient(Progress):
        def cancelled(self):
            return True

    job = DegradeJob(source(desk.pan), source(desk.ms), str(desk.folder / "new"))
    assert refused(desk, job, lambda job: run(job, Impatient())).code == "CANCELLED"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"ratio": 1}, "RATIO", "2 to 8"),
        ({"ratio": 9}, "RATIO", "2 to 8"),
        ({"size": 100}, "SIZE", "128 to 4096"),
        ({"size": 130}, "SIZE", "multiple of the ratio 4"),
        ({"out_dir": "old.tif"}, "OUT_FOLDER", "old.tif"),
    ],
)
def test_a_demo_refuses_too(desk, change, code, words):
    place = str(desk.out / change.get("out_dir", "demo"))
    error = refused(desk, DemoJob(**{"size": 128, **change, "out_dir": place}))
    assert error.code == code and words in error.message


# ---------------------------------------------------------------------------------- the disk


def mount(folder, options):
    """A small file system, or a skipped test."""
    if not shutil.which("mount") or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mount is not permitted here: {done.stderr.strip()}")


@pytest.fixture
def disk(desk):
    """``disk(options)`` mounts a small disk with an older output on it and says where."""
    folder = desk.folder / "disk"
    mounted = []

    def make(options):
        folder.mkdir()
        mount(folder, options)
        mounted.append(folder)
        (folder / "old.tif").write_bytes(OLD)
        return folder

    yield make
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Pixels that do not compress: 640 x 640 in 4 bands are 3.3 MB."""
    rng = np.random.default_rng(5)
    return {
        "pan": rng.integers(0, 60000, (1, 640, 640), "uint16"),
        "ms": rng.integers(0, 60000, (4, 160, 160), "uint16"),
    }


@pytest.mark.parametrize("format", ["gtiff", "cog"])
def test_disk_that_fills_up(desk, disk, noise, format):
    pan = desk.image("p.tif", noise["pan"], fine_grid())
    ms = desk.image("m.tif", noise["ms"], coarse_grid(4))
    folder = disk("size=2m")
    error = refused(
        desk, desk.job(pan=pan, ms=ms, out=folder / "old.tif", method="hpf", format=format)
    )
    assert error.code == "DISK_FULL"
    assert "MB left in" in error.message and "Free some space" in error.hint


def test_disk_too_small_from_the_start(desk, disk, noise):
    folder = disk("size=2m")
    pan = desk.image("p.tif", noise["pan"], fine_grid())
    ms = desk.image("m.tif", noise["ms"], coarse_grid(4))
    job = desk.job(pan=pan, ms=ms, out=folder / "a.tif", creation_options={"COMPRESS": "NONE"})
    error = refused(desk, job)
    assert error.code == "DISK_FULL"
    assert "3.3 MB before compression" in error.message and "MB are free" in error.message


def test_read_only_folder(desk, disk):
    folder = disk("size=2m")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    error = refused(desk, desk.job(out=folder / "old.tif"))
    assert error.code == "OUT_READONLY"
    assert f"'{folder}' is read-only" in error.message


def test_two_jobs_for_one_output(desk):
    class Second(Progress):
        """Starts the same job again while the first one runs."""

        error = None

        def update(self, fraction, text=""):
            if self.error is None:
                with pytest.raises(WhetstoneError) as caught:
                    run(job)
                self.error = caught.value

    job, second = desk.job(out=desk.out / "a.tif"), Second()
    run(job, second)
    assert second.error.code == "OUT_LOCKED"
    assert "Another job is writing" in second.error.message
    assert sorted(os.listdir(desk.out)) == ["a.tif", "old.tif"]


@pytest.mark.parametrize("when", ["learning the scene", "fusing"])
def test_cancelled(desk, when):
    class Impatient(Progress):
        def __init__(self):
            self.seen = ""

        def update(self, fraction, text=""):
            self.seen = text

        def cancelled(self):
            return self.seen == when

    values = np.full((1, 512, 256), 500, "uint16")
    values[:, ::3] = 700
    pan = desk.image("p.tif", values, fine_grid())
    ms = desk.image("m.tif", values[:, :128, :64], coarse_grid(4))
    impatient = Impatient()
    job = desk.job(pan=pan, ms=ms, block=64, threads=1)
    error = refused(desk, job, lambda job: run(job, impatient))
    assert isinstance(error, Cancelled)
    assert error.message == "Cancelled; nothing was written."


# ------------------------------------------------------------------------------ jobs from files


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ("{", "JOB_INVALID", "not valid JSON"),
        ("[1, 2]", "JOB_VERSION", "version 1"),
        ({"whetstone": 2}, "JOB_VERSION", "version 1"),
        ({"job": "fuze"}, "JOB_INVALID", "must be one of fuse, assess"),
        ({"colour": 1}, "JOB_INVALID", "does not know colour"),
        ({"out": None, "pan": None}, "JOB_INVALID", "lacks out, pan"),
        ({"job": ["fuse"]}, "JOB_INVALID", "must be one of fuse, assess"),
        ({"pan": "pan.tif"}, "JOB_INVALID", "job's pan cannot be"),
        ({"pan": {"paths": "pan.tif"}}, "JOB_INVALID", "job's paths cannot be"),
        ({"pan": {"paths": ["pan.tif"], "colour": 1}}, "JOB_INVALID", "does not know colour"),
        ({"block": "512"}, "JOB_INVALID", 'job\'s block cannot be "512"'),
        ({"bounds": [1, 2]}, "JOB_INVALID", "job's bounds cannot be"),
        ({"overviews": "no"}, "JOB_INVALID", "job's overviews cannot be"),
    ],
)
def test_broken_jobs(desk, capsys, change, code, words):
    text = change
    if isinstance(change, dict):
        data = {**json.loads(job_to_json(desk.job())), **change}
        text = json.dumps({k: v for k, v in data.items() if v is not None or k not in change})
    path = desk.text("job.json", text)
    before = desk.state()
    assert cli.main(["run", path]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"{code}: ") and words in err and err.count("\n") == 1
    assert desk.state() == before


def test_run_an_image_that_carries_no_job(desk, capsys):
    before = desk.state()
    assert cli.main(["run", desk.ms, "--out", str(desk.out / "a.tif")]) == 1
    err = capsys.readouterr().err
    assert err.startswith("JOB_MISSING: ") and "Only images written by Whetstone" in err
    assert cli.main(["run", str(desk.out / "old.tif")]) == 1
    assert capsys.readouterr().err.startswith("JOB_INVALID: ")
    assert desk.state() == before


# ------------------------------------------------------------------------- handled, and said


def fused(desk, **more):
    """Fuse into a new file: the result, the pixels and where they are valid."""
    result = run(desk.job(out=desk.out / "new.tif", **more))
    assert sorted(os.listdir(desk.out)) == ["new.tif", "old.tif"]
    return SimpleNamespace(
        **{"result": result, "notes": " ".join(result.notes)},
        **dict(zip(("values", "valid"), scenes.read(desk.backend, desk.out / "new.tif"))),
    )


def test_partial_overlap_is_said(desk):
    ms = scenes.read(desk.backend, desk.ms)[0][:, :, :10]
    got = fused(desk, ms=desk.image("m.tif", ms, coarse_grid(4)))
    # ten MS pixels and one more that is extrapolated: 44 of 64 columns
    assert "Only the common area (69 % of the PAN) will be fused." in got.notes
    assert got.values.shape == (4, 64, 44)


def test_a_ratio_that_is_no_integer_is_said(backend, tmp_path, monkeypatch):
    monkeypatch.setenv("WHETSTONE_BACKEND", backend.name)
    pair = scenes.make_pair(backend, tmp_path / "p", ratio=3.7)
    notes = " ".join(run(pair.job(tmp_path / "a.tif")).notes)
    assert "The ratio of pixel sizes is 3.7000, not an integer; it is handled." in notes


@pytest.mark.parametrize(("shift", "fringes"), [((2.8, -1.6), True), ((0.5, 0.4), False)])
def test_a_shift_is_said(backend, tmp_path, monkeypatch, shift, fringes):
    monkeypatch.setenv("WHETSTONE_BACKEND", backend.name)
    pair = scenes.make_pair(backend, tmp_path / "p", (256, 256), shift=shift)
    notes = " ".join(run(pair.job(tmp_path / "a.tif")).notes)
    assert "PAN and MS are shifted by dx" in notes
    assert ("Fringes are likely" in notes) == fringes
    checked = run(CheckJob(source(pair.pan), source(pair.ms)))
    assert checked.ok != fringes


def test_reflectance_is_said(desk):
    ms = scenes.read(desk.backend, desk.ms)[0].astype("float32") / 2000
    pan = scenes.read(desk.backend, desk.pan)[0].astype("float32") / 2000
    sources = {"pan": desk.image("p.tif", pan), "ms": desk.image("m.tif", ms)}
    checked = run(CheckJob(**{k: source(v) for k, v in sources.items()}))
    assert "Values look like reflectance 0-1" in " ".join(checked.notes)
    got = fused(desk, **sources)
    assert got.values.dtype == np.float32
    assert np.allclose(got.values, desk.pair.truth / 2000, atol=0.08)


METHODS = "exp gihs gsa bdsd-pc bt-h sfim mtf-glp-fs mtf-glp-hpm-r pracs pca gs".split()


@pytest.mark.parametrize("role", ["pan", "ms", "both"])
def test_constant_images_give_finite_pixels(one_desk, role):
    """Nothing can be sharpened then, but nothing breaks and nothing is invented."""
    sources = {}
    if role in ("pan", "both"):
        sources["pan"] = one_desk.image("p.tif", np.full((1, 64, 64), 500, "float32"))
    if role in ("ms", "both"):
        sources["ms"] = one_desk.image("m.tif", np.full((4, 16, 16), 500, "float32"))
    for method in METHODS:
        got = fused(one_desk, method=method, dtype="float32", **sources)
        assert got.valid.all(), method
        assert got.values.min() >= 0 and got.values.max() < 2000, method
    checked = run(
        CheckJob(source(sources.get("pan", one_desk.pan)), source(sources.get("ms", one_desk.ms)))
    )
    assert "is constant (500)" in " ".join(checked.notes)
    assert not checked.ok


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_rasters_smaller_than_any_filter(one_desk, side):
    ms = scenes.read(one_desk.backend, one_desk.ms)[0][:, :side, :side]
    pan = scenes.read(one_desk.backend, one_desk.pan)[0][:, : 4 * side, : 4 * side]
    sources = {
        "pan": one_desk.image("p.tif", pan, fine_grid()),
        "ms": one_desk.image("m.tif", ms, coarse_grid(4)),
    }
    for method in [*METHODS, "tv"]:
        got = fused(one_desk, method=method, dtype="float32", **sources)
        assert got.values.shape == (4, 4 * side, 4 * side)
        assert got.valid.all(), method
        assert got.values.min() > 0 and got.values.max() < 3000, method
    assert "cannot be told" in got.notes
    assert run(CheckJob(source(sources["pan"]), source(sources["ms"]))).shift is None


def test_a_single_pan_pixel(desk):
    sources = {
        "pan": desk.image("p.tif", np.full((1, 1, 1), 500, "uint16"), fine_grid()),
        "ms": desk.image("m.tif", np.full((4, 1, 1), 400, "uint16"), coarse_grid(4)),
    }
    assert fused(desk, method="exp", **sources).values.ravel().tolist() == [400] * 4
    os.remove(desk.out / "new.tif")
    assert refused(desk, desk.job(**sources)).code == "EMPTY"  # gsa: no MS pixel to learn from


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_odd_numbers_inside_float_data(desk, odd):
    ms = scenes.read(desk.backend, desk.ms)[0].astype("float32")
    pan = scenes.read(desk.backend, desk.pan)[0].astype("float32")
    clean = fused(desk, pan=desk.image("p0.tif", pan), ms=desk.image("m0.tif", ms))
    ms[1, 5, 9], pan[0, 40, 50] = odd, odd
    for method in ("gsa", "mtf-glp-hpm"):
        got = fused(desk, method=method, pan=desk.image("p.tif", pan), ms=desk.image("m.tif", ms))
        expected = np.ones((64, 64), bool)
        expected[20:24, 36:40] = expected[40, 50] = False
        assert np.array_equal(got.valid, expected)
        assert np.isfinite(got.values[:, expected]).all()
    got = fused(desk, pan=desk.image("p.tif", pan), ms=desk.image("m.tif", ms))
    assert np.abs(got.values - clean.values)[:, expected].max() < 60
    assert got.result.valid_fraction == pytest.approx(1 - 17 / 4096)


def test_every_band_has_its_own_nodata(desk):
    values = scenes.read(desk.backend, desk.ms)[0]
    values[0, 2, 2], values[1, 4, 4], values[1, 6, 6] = 0, 65535, 0
    file = desk.image("m.tif", values)
    each = [
        ("UInt16", f"<NoDataValue>{v}</NoDataValue>{layer(file, n)}")
        for n, v in enumerate((0, 65535, 0, 0), 1)
    ]
    got = fused(desk, ms=vrt(desk.file("m.vrt"), SMALL, coarse_grid(4), each))
    expected = np.ones((64, 64), bool)
    expected[8:12, 8:12] = expected[16:20, 16:20] = False
    assert np.array_equal(got.valid, expected)


@pytest.mark.parametrize("value", ["-9999", "70000", "0.5"])
def test_nodata_that_the_type_cannot_hold(desk, value):
    bands = [
        ("UInt16", f"<NoDataValue>{value}</NoDataValue>{layer(desk.ms, n)}") for n in range(1, 5)
    ]
    plain = fused(desk)
    got = fused(desk, ms=vrt(desk.file("m.vrt"), SMALL, coarse_grid(4), bands))
    assert got.valid.all()
    assert np.array_equal(got.values, plain.values)


def test_nodata_override_that_the_type_cannot_hold(desk):
    got = fused(desk, ms=RasterSource((desk.ms,), nodata=-9999.0))
    assert got.valid.all()


def test_negative_nodata_of_int16(desk):
    values = scenes.read(desk.backend, desk.ms)[0].astype("int16")
    values[:, :4] = -9999
    got = fused(desk, ms=desk.image("m.tif", values, nodata=-9999.0))
    assert got.values.dtype == np.int16
    assert (got.values[:, :16] == -9999).all()
    assert not got.valid[:16].any() and got.valid[16:].all()
    assert got.values[:, 16:].min() > 100


def test_huge_float_nodata_goes_into_a_smaller_type(desk):
    """GDAL's favourite -1.797e308 does not fit into float32."""
    values = scenes.read(desk.backend, desk.ms)[0].astype("float64")
    values[:, :4] = -1.7976931348623157e308
    ms = desk.image("m.tif", values, nodata=-1.7976931348623157e308)
    for dtype in ("float32", "float64", "uint16", "uint8"):
        got = fused(desk, ms=ms, dtype=dtype)
        assert not got.valid[:16].any() and got.valid[16:].all(), dtype
        nodata = scenes.header(desk.backend, got.result.out).bands[0].nodata
        assert np.array_equal(
            got.values[0, 0, 0], np.dtype(dtype).type(nodata), equal_nan=dtype[0] == "f"
        )


@pytest.mark.parametrize(
    "bounds", [(-1e300, -1e300, 1e300, 1e300), (-np.inf, -np.inf, np.inf, np.inf)]
)
def test_bounds_beyond_the_scene_are_cut_to_it(desk, bounds):
    assert fused(desk, bounds=bounds).values.shape == (4, 64, 64)


def test_no_georeference_at_all(desk):
    got = fused(desk, pan=desk.virtual("pan", "p.vrt", None), ms=desk.virtual("ms", "m.vrt", None))
    assert "Neither image is georeferenced" in got.notes
    assert np.array_equal(got.values, fused(desk).values)


def test_no_crs_at_all(desk):
    got = fused(desk, pan=desk.like("pan", "p.tif", crs=""), ms=desk.like("ms", "m.tif", crs=""))
    assert "Neither image states a CRS" in got.notes
    assert scenes.header(desk.backend, got.result.out).crs == ""


@pytest.mark.parametrize("name", ["AÏSSI Straße 日本", 'it\'s a "test" & more;', "a%20b#c"])
def test_paths_with_blanks_and_other_letters(desk, name):
    folder = desk.folder / name
    folder.mkdir()
    pan, ms = (
        shutil.copy(path, folder / f"{name[:5]} {n}.tif")
        for n, path in enumerate((desk.pan, desk.ms))
    )
    job = desk.job(pan=str(pan), ms=str(ms), out=folder / f"{name[:5]} é.tif")
    assert run(job).out == str(folder / f"{name[:5]} é.tif")
    again = replace(job, out=str(folder / "2.tif"))
    assert cli.main(["run", job.out, "--out", again.out]) == 0
    one, two = (scenes.read(desk.backend, path)[0] for path in (job.out, again.out))
    assert np.array_equal(one, two)
    assert len(os.listdir(folder)) == 4
