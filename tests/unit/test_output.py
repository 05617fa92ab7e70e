"""All or nothing: what an output leaves behind, whatever ends it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from whetstone.engine.errors import Cancelled, WhetstoneError
from whetstone.engine.raster import BandInfo, OutputSpec
from whetstone.engine.raster.output import Output
from whetstone.engine.types import Window

UTM = (500000.0, 0.5, 0.0, 4600000.0, 0.0, -0.5)
SIZE = (700, 1500)  # columns, rows


def spec_of(backend, size=SIZE, dtype="uint16", count=2, **kw):
    bands = tuple(BandInfo(dtype, 0.0, name=f"b{n}") for n in range(count))
    return OutputSpec(*size, bands, backend.crs_wkt("EPSG:32633"), UTM, **kw)


def scene(size=SIZE, count=2, dtype="uint16"):
    values = np.random.default_rng(3).integers(1, 60000, (count, size[1], size[0]))
    return values.astype(dtype)


def strips(values, start=0, height=512):
    """(window, pixels) of full rows, from the top."""
    for row in range(start, values.shape[1], height):
        part = np.ascontiguousarray(values[:, row : row + height])
        yield Window(0, row, values.shape[2], part.shape[1]), part


def run(backend, path, values, spec=None, fingerprint="job", stop_at=None, **kw):
    """Write a scene; raise ``Cancelled`` at a row."""
    spec = spec or spec_of(backend, values.shape[:0:-1], str(values.dtype), len(values))
    with Output(str(path), spec, backend, fingerprint=fingerprint, **kw) as out:
        for window, part in strips(values, out.rows_done):
            if stop_at is not None and window.row >= stop_at:
                raise Cancelled
            out.write(window, part)
            out.checkpoint(window.row + window.height, force=True)
    return out


def read(backend, path, count=2):
    reader = backend.open(str(path))
    values = reader.read_raw(
        range(1, count + 1), Window(0, 0, reader.info.width, reader.info.height)
    )[0]
    reader.close()
    return values


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def refused(backend, path, **kw):
    spec = kw.pop("spec", None) or spec_of(backend)
    with pytest.raises(WhetstoneError) as caught:
        Output(str(path), spec, backend, fingerprint="job", **kw)
    return caught.value


# --------------------------------------------------------------------------------- normal endings


def test_complete_file(backend, tmp_path):
    values = scene()
    run(backend, tmp_path / "a.tif", values)
    assert names(tmp_path) == ["a.tif"]
    assert np.array_equal(read(backend, tmp_path / "a.tif"), values)
    # 1500 x 700: overviews of 350 and 175 columns
    assert backend.open(f"GTIFF_DIR:3:{tmp_path}/a.tif").info.width == 175
    with pytest.raises(WhetstoneError):
        backend.open(f"GTIFF_DIR:4:{tmp_path}/a.tif")


def test_nothing_under_the_name_before_the_end(backend, tmp_path):
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")
    with Output(str(target), spec_of(backend), backend, fingerprint="x") as out:
        for window, part in strips(scene()):
            out.write(window, part)
            assert target.read_bytes() == b"old"
            assert names(tmp_path) == ["a.part.tif", "a.tif"]
    assert target.stat().st_size > 1000


@pytest.mark.parametrize("kw", [{"overviews": False}, {}])
def test_overviews_only_where_wanted(backend, tmp_path, kw):
    values = scene((300, 400))
    run(backend, tmp_path / "small.tif", values, **kw)
    with pytest.raises(WhetstoneError):
        backend.open(f"GTIFF_DIR:2:{tmp_path}/small.tif")


def test_no_overviews(backend, tmp_path):
    run(backend, tmp_path / "a.tif", scene(), overviews=False)
    with pytest.raises(WhetstoneError):
        backend.open(f"GTIFF_DIR:2:{tmp_path}/a.tif")


@pytest.mark.parametrize("overviews", [True, False])
def test_cog(backend, tmp_path, overviews):
    values = scene()
    run(backend, tmp_path / "a.tif", values, format="cog", overviews=overviews)
    assert names(tmp_path) == ["a.tif"]
    assert b"LAYOUT=IFDS_BEFORE_DATA" in (tmp_path / "a.tif").read_bytes()[:400]
    assert np.array_equal(read(backend, tmp_path / "a.tif"), values)
    gdal = pytest.importorskip("osgeo.gdal")
    data = gdal.Open(str(tmp_path / "a.tif"))
    assert data.GetMetadata("IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert bool(data.GetRasterBand(1).GetOverviewCount()) is overviews
    assert data.GetRasterBand(1).GetDescription() == "b0"


def test_creation_options_reach_the_file(backend, tmp_path):
    options = {"BIGTIFF": "YES", "COMPRESS": "LZW"}
    run(backend, tmp_path / "a.tif", scene(), spec_of(backend, creation_options=options))
    assert (tmp_path / "a.tif").read_bytes()[2] == 43


def test_side_files_of_the_old_file_go(backend, tmp_path):
    for suffix in ("", ".aux.xml", ".ovr", ".msk"):
        (tmp_path / f"a.tif{suffix}").write_bytes(b"old")
    run(backend, tmp_path / "a.tif", scene())
    assert names(tmp_path) == ["a.tif"]


def test_names_with_blanks_and_accents(backend, tmp_path):
    folder = tmp_path / "AÏSSI (é 漢)"
    folder.mkdir()
    run(backend, folder / "a b.tiff", scene())
    assert names(folder) == ["a b.tiff"]


# ----------------------------------------------------------------------------- endings by an error


@pytest.mark.parametrize("error", [Cancelled(), RuntimeError("x"), KeyboardInterrupt()])
def test_errors_leave_the_old_file_alone(backend, tmp_path, error):
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")
    output = Output(str(target), spec_of(backend), backend, fingerprint="x")
    with pytest.raises(type(error)), output as out:
        for window, part in strips(scene()):
            out.write(window, part)
            out.checkpoint(window.row + window.height, force=True)
            if window.row:
                raise error
    assert names(tmp_path) == ["a.tif"]
    assert target.read_bytes() == b"old"


def test_target_that_cannot_be_replaced(backend, tmp_path, monkeypatch):
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")
    original = os.replace

    def refuse(source, destination):
        if str(destination) == str(target):
            raise PermissionError(13, "The process cannot access the file")
        original(source, destination)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(WhetstoneError) as caught:
        run(backend, target, scene())
    assert caught.value.code == "OUT_LOCKED"
    assert "The file is open in QGIS or elsewhere." in caught.value.message
    assert caught.value.hint == "Remove the layer or choose another name."
    assert names(tmp_path) == ["a.tif"]
    assert target.read_bytes() == b"old"


def test_two_jobs_for_one_name(backend, tmp_path):
    pytest.importorskip("fcntl")
    target, values = tmp_path / "a.tif", scene()
    with Output(str(target), spec_of(backend), backend, fingerprint="x") as out:
        second = Output(str(target), spec_of(backend), backend, fingerprint="x")
        with pytest.raises(WhetstoneError, match="Another job is writing"), second:
            pass
        for window, part in strips(values):
            out.write(window, part)
    assert np.array_equal(read(backend, target), values)


# ------------------------------------------------------------------------------ checks before work


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.jp2", "JPEG 2000 cannot be written block by block; choose .tif."),
        ("a.png", "PNG cannot be written block by block; choose .tif."),
        ("a.vrt", "'.vrt' cannot be written block by block; choose .tif."),
        ("a", "choose .tif."),
    ],
)
def test_formats(backend, tmp_path, name, words):
    error = refused(backend, tmp_path / name)
    assert error.code == "OUT_FORMAT"
    assert words in error.message


def test_unknown_format(backend, tmp_path):
    assert refused(backend, tmp_path / "a.tif", format="zarr").code == "OUT_FORMAT"


def test_folders(backend, tmp_path):
    error = refused(backend, tmp_path / "none" / "a.tif")
    assert error.code == "OUT_FOLDER"
    assert "does not exist" in error.message
    (tmp_path / "b.tif").mkdir()
    assert refused(backend, tmp_path / "b.tif").code == "OUT_FOLDER"


def test_inputs_are_not_overwritten(backend, tmp_path):
    target = tmp_path / "a.tif"
    target.write_bytes(b"x")
    (tmp_path / "link.tif").symlink_to(target)
    for name in (target, tmp_path / "link.tif", tmp_path / "." / "a.tif", f"GTIFF_DIR:1:{target}"):
        error = refused(backend, target, inputs=["other.tif", str(name)])
        assert error.code == "OUT_IS_INPUT"
    assert target.read_bytes() == b"x"
    Output(str(target), spec_of(backend), backend, fingerprint="x", inputs=[f"{target}.zip"])


def mount(folder, options):
    """A small file system, or a skipped test."""
    if not shutil.which("mount") or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"mount is not permitted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path):
    """A folder of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount(folder, "size=3m")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_read_only_folder(backend, tmp_path):
    folder = tmp_path / "ro"
    folder.mkdir()
    mount(folder, "ro")
    try:
        error = refused(backend, folder / "a.tif")
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert error.code == "OUT_READONLY"
    assert "is read-only" in error.message


def test_too_little_space_is_said_before_the_work(backend, small_disk):
    error = refused(backend, small_disk / "a.tif", spec=spec_of(backend, (9000, 9000)))
    assert error.code == "DISK_FULL"
    assert "324.0 MB before compression" in error.message
    assert "3.1 MB are free" in error.message
    options = {"compress": "none"}
    spec = spec_of(backend, (1000, 1000), creation_options=options)
    assert refused(backend, small_disk / "a.tif", spec=spec).code == "DISK_FULL"
    Output(str(small_disk / "a.tif"), spec_of(backend), backend, fingerprint="x")


@pytest.mark.parametrize("format", ["gtiff", "cog"])
@pytest.mark.parametrize("size", [(1000, 1200), (1000, 900)])
def test_full_disk(backend, small_disk, size, format):
    (small_disk / "a.tif").write_bytes(b"old")
    with pytest.raises(WhetstoneError) as caught:
        run(backend, small_disk / "a.tif", scene(size), format=format)
    assert caught.value.code == "DISK_FULL"
    assert "MB left" in caught.value.message
    assert names(small_disk) == ["a.tif"]
    assert (small_disk / "a.tif").read_bytes() == b"old"


@pytest.mark.parametrize("rows", [500, 300])
def test_full_disk_is_noticed_when_closing(backend, small_disk, rows):
    """The blocks wait in the cache: the first write to the disk is the last act."""
    (small_disk / "ballast").write_bytes(b"x" * (3 * 2**20 - 200_000))
    spec = spec_of(backend, (700, rows))
    writer = backend.create(str(small_disk / "a.tif"), spec)
    with pytest.raises(WhetstoneError) as caught:  # either act may find out
        writer.write(Window(0, 0, 700, rows), scene((700, rows)))
        writer.close()
    with contextlib.suppress(WhetstoneError):
        writer.close()
    assert caught.value.code == "DISK_FULL"


# ---------------------------------------------------------------------------------------- resuming

KILLED = """
import importlib.util, os, signal, sys
import numpy as np
spec = importlib.util.spec_from_file_location(
    "whetstone", {root!r} + "/__init__.py", submodule_search_locations=[{root!r}])
sys.modules["whetstone"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.path.insert(0, {tests!r})
import test_output as t
from whetstone.engine.raster import backend
library = backend({backend!r})
values = t.scene()
with t.Output({path!r}, t.spec_of(library), library, fingerprint="job") as out:
    for window, part in t.strips(values):
        out.write(window, part)
        if window.row == 0:
            out.checkpoint(512, force=True)
        else:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def kill(root, backend, path):
    """Start the job in another process, which is killed after its first checkpoint."""
    code = textwrap.dedent(KILLED).format(
        root=str(root), tests=str(root / "tests/unit"), backend=backend.name, path=str(path)
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize("format", ["gtiff", "cog"])
def test_a_killed_job_resumes(backend, root, tmp_path, format):
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")
    kill(root, backend, target)
    assert names(tmp_path) == ["a.part.json", "a.part.tif", "a.tif"]
    assert target.read_bytes() == b"old"
    values = scene()
    with Output(str(target), spec_of(backend), backend, fingerprint="job", format=format) as out:
        assert out.rows_done == 512
        for window, part in strips(values, out.rows_done):
            out.write(window, part)
    assert names(tmp_path) == ["a.tif"]
    assert np.array_equal(read(backend, target), values)
    info = backend.open(str(target)).info
    assert backend.crs_label(info.crs) == "EPSG:32633"
    assert [(band.nodata, band.name) for band in info.bands] == [(0, "b0"), (0, "b1")]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_what_does_not_fit_starts_afresh(backend, root, tmp_path):
    target, values = tmp_path / "a.tif", scene()

    def start(spec=None, fingerprint="job"):
        with Output(str(target), spec or spec_of(backend), backend, fingerprint=fingerprint) as out:
            rows = out.rows_done
            for window, part in strips(values, rows):
                if spec is None:
                    out.write(window, part)
        return rows

    def spoil_journal():
        (tmp_path / "a.part.json").write_text('{"rows_done": 5')

    def spoil_part():
        whole = (tmp_path / "a.part.tif").read_bytes()
        (tmp_path / "a.part.tif").write_bytes(whole[:300])

    def too_many_rows():
        journal = json.loads((tmp_path / "a.part.json").read_text())
        (tmp_path / "a.part.json").write_text(json.dumps({**journal, "rows_done": 9999}))

    for spoil in (spoil_journal, spoil_part, too_many_rows):
        kill(root, backend, target)
        spoil()
        assert start() == 0
        assert names(tmp_path) == ["a.tif"]
        assert np.array_equal(read(backend, target), values)
    kill(root, backend, target)
    assert start(fingerprint="another") == 0
    kill(root, backend, target)
    moved = replace(spec_of(backend), transform=(1.0, *UTM[1:]))
    assert start(moved) == 0
    assert names(tmp_path) == ["a.tif"]


def test_the_journal_waits(backend, tmp_path):
    with Output(str(tmp_path / "a.tif"), spec_of(backend), backend, fingerprint="x") as out:
        for window, part in strips(scene()):
            out.write(window, part)
            out.checkpoint(window.row + window.height)
            assert names(tmp_path) == ["a.part.tif"]
        out.checkpoint(1024, force=True)
        journal = json.loads((tmp_path / "a.part.json").read_text())
        assert journal == {"fingerprint": "x", "rows_done": 1024}
        out.checkpoint(1500)
        assert json.loads((tmp_path / "a.part.json").read_text())["rows_done"] == 1024
    assert names(tmp_path) == ["a.tif"]
