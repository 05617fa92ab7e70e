"""The bundled models on scenes unlike those they were trained on: no hallucinated colours.

The scenes are drawn, then spoilt. A model may not agree with the measured MS less than GSA does,
must be nearer to the truth than plain enlargement, and leaves no pattern of its grids.
"""

from __future__ import annotations

import numpy as np
import pytest
from scenes import coarse_grid, fine_grid, read, source, write
from whetstone.engine import AssessJob, DemoJob, FuseJob, run

SIDE, MODELS = 192, {4: "ssdiff-vhr4", 2: "ssdiff-landsat"}


@pytest.fixture(scope="module", params=sorted(MODELS))
def drawn(request, tmp_path_factory, backend):
    """Ratio, and PAN, MS and truth of a drawn scene as arrays."""
    made = run(DemoJob(str(tmp_path_factory.mktemp("drawn")), size=SIDE, ratio=request.param))
    images = [read(backend, path)[0].astype(float) for path in (made.pan, made.ms, made.gt)]
    return request.param, images


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


def figures(folder, backend, ratio, images, method, **more):
    """Figures of a method on a pair with its truth, and the fused image."""
    folder.mkdir(exist_ok=True)
    grids = (fine_grid(), coarse_grid(float(ratio), (ratio - 1) / 2), fine_grid())
    paths = [
        write(backend, folder / f"{name}.tif", np.rint(image).astype("uint16"), grid)
        for name, image, grid in zip(("pan", "ms", "gt"), images, grids)
    ]
    pan, ms, truth = map(source, paths)
    out = str(folder / f"{method}.tif")
    run(FuseJob(pan, ms, out, method, "generic", overviews=False, threads=1, **more))
    job = AssessJob(source(out), pan, ms, truth, "generic")
    return run(job).scores, read(backend, out)[0].astype(float)


@pytest.mark.parametrize("kind", [*SPOILT, "misregistered"])
def test_colours_are_those_of_the_ms(drawn, kind, tmp_path, backend):
    ratio, images = drawn
    if kind == "misregistered":
        pan = np.roll(images[0], (1, 1), (1, 2))
        images = [pan, *images[1:]]
    else:
        images = [SPOILT[kind](image) for image in images]
    model, _ = figures(tmp_path, backend, ratio, images, "ssdiff", model=MODELS[ratio])
    gsa, _ = figures(tmp_path, backend, ratio, images, "gsa")
    exp, _ = figures(tmp_path, backend, ratio, images, "exp")
    slack = 1.15  # of figures that are a fraction of what is wrong with either
    assert model["r_ergas"] < slack * gsa["r_ergas"]
    assert model["r_sam"] < slack * gsa["r_sam"]
    assert model["ergas"] < 1.25 * min(gsa["ergas"], exp["ergas"]) or kind == "misregistered"


def test_no_pattern_of_the_grids_of_the_network(drawn, tmp_path, backend):
    """Pixel shuffle, strides and windows repeat: errors must not."""
    ratio, images = drawn
    _, fused = figures(tmp_path, backend, ratio, images, "ssdiff", model=MODELS[ratio])
    error = fused - images[2]
    for step in (2, ratio, 8):
        cells = error.reshape(len(error), SIDE // step, step, SIDE // step, step)
        pattern = cells.mean((1, 3)) - error.mean((1, 2))[:, None, None]
        # the mean of so many errors, were they independent
        chance = error.std((1, 2)) * step / SIDE
        assert (pattern.std((1, 2)) < 4 * chance).all()
