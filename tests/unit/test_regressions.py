"""Faults that were found once: each test fails without its fix."""

from __future__ import annotations

import os

import numpy as np
import pytest
from whetstone.engine import WhetstoneError, run

from .scenes import header, make_pair, read


@pytest.fixture(autouse=True)
def _chosen(backend, monkeypatch):
    monkeypatch.setenv("WHETSTONE_BACKEND", backend.name)


@pytest.mark.parametrize("name", ["fused.part.tif", "fused.cog.part.tif"])
def test_an_input_named_like_the_part_file_survives(backend, tmp_path, name):
    pair = make_pair(backend, tmp_path / "scene")
    pan = tmp_path / "scene" / name
    os.rename(pair.pan, pan)
    with pytest.raises(WhetstoneError, match="never overwritten") as caught:
        run(pair.job(tmp_path / "scene" / "fused.tif", pan=str(pan)))
    assert caught.value.code == "OUT_IS_INPUT"
    assert pan.exists()


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_nodata_at_the_end_of_64_bits(backend, tmp_path, dtype):
    if backend.name == "rasterio":
        pytest.skip("rasterio makes a float of such a nodata value; the backend refuses it")
    top = np.iinfo(dtype).max

    def spoil(pan, ms):
        ms[:, 3:5, 3:5] = top

    pair = make_pair(backend, tmp_path, dtype=dtype, spoil=spoil, ms_band={"nodata": int(top)})
    run(pair.job(tmp_path / "out.tif", "brovey"))
    assert header(backend, tmp_path / "out.tif").bands[0].nodata == top
    values, valid = read(backend, tmp_path / "out.tif")
    assert not valid[14:18, 14:18].any() and (values[:, ~valid] == top).all()
