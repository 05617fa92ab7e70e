"""The bundled models on scenes unlike those they were trained on: no hallucinated colours.

The scenes are drawn and spoilt, and then looked at by a sensor, so that PAN, MS and truth show the
same. A model agrees with the measured MS better than GSA does, is nearer to the truth than GSA and
plain enlargement, and leaves no pattern of its grids.
"""

from __future__ import annotations

import numpy as np
import pytest
from scenes import coarse_grid, fine_grid, read, source, write
from whetstone.engine import AssessJob, DemoJob, FuseJob, run
from whetstone.engine.deep.degradation import down_matrix

SIDE, MTF_GAIN = 128, 0.3
#: By ratio.
FAMILY = {4: "vhr4", 2: "landsat"}


@pytest.fixture(scope="module", params=sorted(FAMILY))
def drawn(request, tmp_path_factory, backend):
    """Ratio, and PAN and truth of a drawn scene as arrays."""
    made = run(DemoJob(str(tmp_path_factory.mktemp("drawn")), size=SIDE, ratio=request.param))
    pan, truth = (read(backend, path)[0].astype(float) for path in (made.pan, made.gt))
    return request.param, pan, truth


def seen(pan, truth, ratio):
    """PAN, MS and truth: what an MS sensor sees of it."""
    down = down_matrix(MTF_GAIN, ratio, (ratio - 1) / 2 + ratio * np.arange(SIDE // ratio), SIDE)
    return pan, down @ truth @ down.T, truth


def clouds(image):
    """Two bright, flat blobs, as a share of the image."""
    height, width = image.shape[1:]
    y, x = np.mgrid[: 1 : height * 1j, : 1 : width * 1j]
    near = np.maximum(
        np.exp(-(((x - 0.3) / 0.12) ** 2 + ((y - 0.35) / 0.1) ** 2)),
        np.exp(-(((x - 0.75) / 0.1) ** 2 + ((y - 0.7) / 0.14) ** 2)),
    )
    return np.clip(3 * near, 0, 1)


def water(image):
    """The lower third, dark and almost flat."""
    out = image.copy()
    top = 2 * image.shape[1] // 3
    out[:, top:] = 0.15 * image.mean((1, 2), keepdims=True) + 0.01 * image[:, top:]
    return out


def saturated(image):
    return np.minimum(image, np.percentile(image, 85, axis=(1, 2), keepdims=True))


SPOILT = {
    "as drawn": lambda image: image,
    "8 bits": lambda image: image / 8,
    "16 bits": lambda image: 28 * image + 3000,
    "haze": lambda image: 0.4 * image + 900,
    "saturated": saturated,
    "water": water,
    "clouds": lambda image: image * (1 - clouds(image)) + 2000 * clouds(image),
    "bands reversed": lambda image: image[::-1],
    "3 bands": lambda image: image[:3],
    "5 bands": lambda image: image[[0, 1, 1, 2, 3]] if len(image) > 1 else image,
    "7 bands": lambda image: image[[0, 1, 2, 3, 0, 2, 3]] if len(image) > 1 else image,
}


@pytest.fixture(scope="module")
def classical(drawn, tmp_path_factory, backend):
    """Figures of GSA and of plain enlargement by kind of scene, each made once."""
    folder, known = tmp_path_factory.mktemp("classical"), {}

    def of(kind):
        if kind not in known:
            known[kind] = [
                figures(folder, backend, drawn, kind, method)[0] for method in ("gsa", "exp")
            ]
        return known[kind]

    return of


def figures(folder, backend, drawn, kind, method, **more):
    """Figures of a method on the scene with its truth, the fused image, and the truth."""
    ratio, pan, truth = drawn
    if kind == "misregistered":
        pan = np.roll(pan, (1, 1), (1, 2))
    else:
        pan, truth = map(SPOILT[kind], (pan, truth))
    images = seen(pan, truth, ratio)
    grids = (fine_grid(), coarse_grid(float(ratio), (ratio - 1) / 2), fine_grid())
    paths = [
        write(backend, folder / f"{name}.tif", np.rint(image).astype("uint16"), grid)
        for name, image, grid in zip(("pan", "ms", "gt"), images, grids)
    ]
    sources = list(map(source, paths))
    out = str(folder / f"{method}.tif")
    run(FuseJob(*sources[:2], out, method, "generic", overviews=False, threads=1, **more))
    job = AssessJob(source(out), *sources, "generic")
    return run(job).scores, read(backend, out)[0].astype(float), truth


@pytest.mark.parametrize("method", ["ssdiff", "crossdiff"])
@pytest.mark.parametrize("kind", [*SPOILT, "misregistered"])
def test_colours_are_those_of_the_ms(drawn, classical, kind, method, tmp_path, backend):
    model = f"{method}-{FAMILY[drawn[0]]}"
    mine, _, _ = figures(tmp_path, backend, drawn, kind, method, model=model)
    gsa, exp = classical(kind)
    assert mine["r_ergas"] < gsa["r_ergas"]
    assert mine["r_sam"] < gsa["r_sam"]
    assert mine["ergas"] < min(gsa["ergas"], exp["ergas"])


@pytest.mark.parametrize("method", ["ssdiff", "crossdiff"])
def test_no_pattern_of_the_grids_of_the_network(drawn, method, tmp_path, backend):
    """Pixel shuffle, strides and windows repeat: errors must not."""
    model = f"{method}-{FAMILY[drawn[0]]}"
    _, fused, truth = figures(tmp_path, backend, drawn, "as drawn", method, model=model)
    error = fused - truth
    for step in (2, drawn[0], 8):
        cells = error.reshape(len(error), SIDE // step, step, SIDE // step, step)
        pattern = cells.mean((1, 3)) - error.mean((1, 2))[:, None, None]
        # the mean of so many errors, were they independent
        chance = error.std((1, 2)) * step / SIDE
        assert (pattern.std((1, 2)) < 4 * chance).all()
