"""Every classical method against numbers of the original toolbox, from files to a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from whetstone.engine import FuseJob, RasterSource, run
from whetstone.engine.classical import METHODS
from whetstone.engine.raster import BandInfo, OutputSpec
from whetstone.engine.raster import backend as raster_backend
from whetstone.engine.raster.output import Output
from whetstone.engine.types import Window

pytestmark = pytest.mark.oracle

#: Where the golden file calls a method something else.
NAMES = {"gihs": "ihs", "bdsd": "bdsd_global", "tv": "tv_fixed"}
LIMIT = 1e-6  # DN
UTM = (400000.0, 0.6, 0.0, 5000000.0, 0.0, -0.6)


@pytest.fixture(scope="module")
def golden(shared):
    path = shared / "oracle" / "classical_and_metrics_qb.npz"
    if not path.is_file():
        pytest.skip(f"no reference numbers at {path}")
    with np.load(path, allow_pickle=False) as file:
        yield {name: file[name] for name in file.files if name.startswith("qb/")}


@pytest.fixture(scope="module")
def files(golden, tmp_path_factory):
    """The golden pair as two GeoTIFFs."""
    folder = tmp_path_factory.mktemp("golden")
    x0, dx, _, y0, _, dy = UTM
    coarse = (x0 + 0.5 * dx, 4 * dx, 0.0, y0 + 0.5 * dy, 0.0, 4 * dy)  # MS 0 is centred on PAN 2
    write(folder / "pan.tif", golden["qb/pan"][None], UTM)
    write(folder / "ms.tif", np.moveaxis(golden["qb/ms_lr"], -1, 0), coarse)
    return folder


def write(path, values, transform):
    backend = raster_backend()
    count, height, width = values.shape
    bands = (BandInfo(str(values.dtype)),) * count
    spec = OutputSpec(width, height, bands, backend.crs_wkt("EPSG:32633"), transform)
    with Output(str(path), spec, backend, fingerprint="") as out:
        out.write(Window(0, 0, width, height), np.ascontiguousarray(values))


def read(path):
    reader = raster_backend().open(str(path))
    info = reader.info
    window = Window(0, 0, info.width, info.height)
    values, _ = reader.read(range(1, len(info.bands) + 1), window)
    reader.close()
    return values


def error(golden, method, values):
    """Largest difference at the probes, in DN."""
    assert values.dtype == np.float64
    rows, cols = golden["qb/probe_rc"].T
    wanted = golden["qb/probe/" + NAMES.get(method, method.replace("-", "_"))]
    found = values[:, rows, cols].T
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max())


@pytest.mark.parametrize("method", METHODS)
def test_method(golden, files, tmp_path, method):
    out = tmp_path / "fused.tif"
    job = FuseJob(
        RasterSource.of(str(files / "pan.tif")),
        RasterSource.of(str(files / "ms.tif")),
        str(out),
        method=method,
        sensor="QB",
        protocol="toolbox",
        dtype="float64",
    )
    result = run(job)
    assert (result.method, result.sensor, result.dtype) == (method, "qb", "float64")
    assert (result.ratio, result.phase, result.shift) == (4, (2, 2), None)
    assert result.clipped == 0  # the golden values are not clipped
    assert error(golden, method, read(out)) <= LIMIT


@pytest.mark.parametrize("method", ("gsa", "bdsd-pc", "mtf-glp-hpm"))
def test_command_line(golden, files, tmp_path, root, method):
    out = tmp_path / "fused.tif"
    command = [
        *(sys.executable, "-m", "whetstone.engine.cli", "fuse"),
        *("--pan", files / "pan.tif", "--ms", files / "ms.tif", "--out", out),
        *("--method", method, "--sensor", "QB"),
        *("--protocol", "toolbox", "--dtype", "float64", "--json"),
    ]
    env = with_package(root, tmp_path)
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["method"] == method
    assert error(golden, method, read(out)) <= LIMIT


def with_package(root, folder):
    """An environment in which the checkout is importable under its name, installed or not."""
    place = folder / "path"
    place.mkdir()
    (place / "whetstone").symlink_to(root, target_is_directory=True)
    return {**os.environ, "PYTHONPATH": str(place)}
