"""A synthetic scene with a known truth: fields, roads, houses and a lake, drawn by numbers."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from .degrade import made_folder
from .errors import WhetstoneError
from .interpolation import filter_taps, mirror, resample
from .jobs import DemoJob, DemoResult
from .mtf import product_kernel
from .raster import backend as raster_backend
from .raster.model import BandInfo, OutputSpec
from .raster.output import Output
from .sensors import SENSORS
from .types import Window

if TYPE_CHECKING:
    from .types import Array, Progress

BANDS = (("Blue", "blue"), ("Green", "green"), ("Red", "red"), ("NIR", "undefined"))
SIZES = (128, 4096)
PIXEL = 0.6  # metres, as QuickBird
#: 11-bit reflectances (B, G, R, NIR) of what is drawn.
CROPS = np.array(
    [
        [260, 330, 270, 1050],
        [300, 400, 360, 850],
        [330, 430, 480, 620],
        [240, 290, 230, 1250],
        [420, 520, 610, 720],
        [360, 470, 420, 980],
        [470, 560, 680, 760],
        [280, 360, 310, 1120],
    ],
    float,
)
WATER, ROAD, BARE = (
    np.array([230.0, 220, 140, 70]),
    np.array([420.0, 440, 450, 430]),
    np.array([520.0, 600, 690, 790]),
)
ROOFS = np.array(
    [[290, 370, 620, 560], [620, 650, 660, 640], [330, 340, 360, 350], [400, 450, 560, 520]], float
)
PAN_WEIGHTS = np.array([0.11, 0.28, 0.32, 0.29])


def demo(job: DemoJob, progress: Progress) -> DemoResult:
    """Run a :class:`DemoJob`."""
    low, high = SIZES
    if job.ratio < 2 or job.ratio > 8:
        raise WhetstoneError("RATIO", f"The ratio is {job.ratio}; it must be 2 to 8.")
    if not low <= job.size <= high or job.size % job.ratio:
        raise WhetstoneError(
            "SIZE",
            f"The size is {job.size}; it must be {low} to {high} "
            f"and a multiple of the ratio {job.ratio}.",
        )
    rng = np.random.default_rng(job.seed)
    progress.update(0.05, "drawing the scene")
    truth = draw(job.size, rng)
    progress.update(0.6, "looking at it as the sensor would")
    pan = np.tensordot(PAN_WEIGHTS, truth, 1) * 1.05 + rng.normal(0, 3, truth.shape[1:]) + 12
    phase = (job.ratio - 1) / 2 if job.phase is None else job.phase
    ms = _as_ms(truth, job.ratio, phase, rng)
    backend = raster_backend()
    crs = backend.crs_wkt("EPSG:32633")
    fine = (441_000.0, PIXEL, 0.0, 5_331_000.0, 0.0, -PIXEL)
    corner = (phase + 0.5 - job.ratio / 2) * PIXEL
    coarse = (fine[0] + corner, PIXEL * job.ratio, 0.0, fine[3] - corner, 0.0, -PIXEL * job.ratio)
    paths = {
        name: os.path.abspath(os.path.join(job.out_dir, f"{name}.tif"))
        for name in ("pan", "ms", "gt")
    }
    colors = tuple(BandInfo("uint16", name=name, color=color) for name, color in BANDS)
    tags = {"SENSOR": "QuickBird (synthetic)", "WHETSTONE_DEMO_SEED": str(job.seed)}
    with made_folder(job.out_dir), ExitStack() as stack:
        for name, image, bands, transform in (
            ("pan", pan[None], (BandInfo("uint16", name="PAN", color="gray"),), fine),
            ("ms", ms, colors, coarse),
            ("gt", truth, colors, fine),
        ):
            spec = OutputSpec(image.shape[2], image.shape[1], bands, crs, transform, tags=tags)
            output = stack.enter_context(Output(paths[name], spec, backend, fingerprint=""))
            values = np.clip(np.rint(image), 1, 2047).astype(np.uint16)
            output.write(Window(0, 0, image.shape[2], image.shape[1]), values)
            output.complete()
    progress.update(1.0, "done")
    return DemoResult(paths["pan"], paths["ms"], paths["gt"])


def draw(size: int, rng: np.random.Generator) -> Array:
    """The truth, (4, size, size) in DN: blue, green, red, near infrared."""
    image = _fields(size, rng)
    image *= 1 + 0.05 * _texture(size, 6, rng) + 0.03 * _texture(size, 1.5, rng)
    _lake(image, rng)
    _roads(image, rng)
    _houses(image, rng)
    _trees(image, rng)
    image += 40 + rng.normal(0, 2, image.shape)  # path radiance and noise
    return np.clip(_blur(image, 0.6), 1, 2047)


def _fields(size: int, rng: np.random.Generator) -> Array:
    """Voronoi cells of crops with furrows, (4, size, size)."""
    count = max(12, size * size // 9000)
    seeds = rng.uniform(0, size, (count, 2))
    rows, cols = np.mgrid[:size, :size].astype(np.float32)
    nearest = np.zeros((size, size), np.int32)
    closest = np.full((size, size), np.inf, np.float32)
    for i, (y, x) in enumerate(seeds):
        distance = np.abs(rows - y) + 0.7 * np.abs(cols - x) + 0.004 * (cols - x) ** 2
        nearer = distance < closest
        nearest[nearer], closest[nearer] = i, distance[nearer]
    crop = CROPS[rng.integers(0, len(CROPS), count)] * rng.uniform(0.85, 1.15, (count, 1))
    angle, period = rng.uniform(0, np.pi, count)[nearest], rng.uniform(5, 11, count)[nearest]
    furrow = np.sin(2 * np.pi * (rows * np.sin(angle) + cols * np.cos(angle)) / period)
    image = crop[nearest].transpose(2, 0, 1) * (1 + 0.04 * furrow)
    edge = (np.diff(nearest, axis=0, prepend=nearest[:1]) != 0) | (
        np.diff(nearest, axis=1, prepend=nearest[:, :1]) != 0
    )
    image[:, edge] = image[:, edge] * 0.6 + 0.4 * CROPS[3][:, None]
    return image


def _texture(size: int, scale: float, rng: np.random.Generator) -> Array:
    """Smooth noise of unit variance with details of ``scale`` pixels."""
    frequency = np.fft.fftfreq(size)
    damping = np.exp(-2 * (np.pi * scale) ** 2 * (frequency[:, None] ** 2 + frequency**2))
    noise = np.real(np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) * damping))
    return noise / noise.std()


def _lake(image: Array, rng: np.random.Generator) -> None:
    size = image.shape[1]
    rows, cols = np.mgrid[:size, :size] / size
    y, x = rng.uniform(0.55, 0.8, 2)
    shape = (
        ((rows - y) / 0.13) ** 2 + ((cols - x) / 0.2) ** 2 + 0.25 * _texture(size, size / 12, rng)
    )
    image[:, shape < 1.08] = BARE[:, None]
    image[:, shape < 1] = WATER[:, None] * (1 + 0.03 * _texture(size, 3, rng)[shape < 1])


def _roads(image: Array, rng: np.random.Generator) -> None:
    size = image.shape[1]
    rows, cols = np.mgrid[:size, :size]
    for _ in range(3):
        angle, offset = rng.uniform(0.15, 1.4), rng.uniform(0.2, 0.9) * size
        bend = 0.03 * size * np.sin(2 * np.pi * rows / size * rng.uniform(0.5, 1.2))
        distance = np.abs(rows * np.cos(angle) + (cols + bend) * np.sin(angle) - offset)
        image[:, distance < 5] = ROAD[:, None]
        image[:, distance < 0.6] = 1.5 * ROAD[:, None]


def _houses(image: Array, rng: np.random.Generator) -> None:
    size = image.shape[1]
    for _ in range(size * size // 1800):
        row, col = (rng.normal(c, 0.11) * size for c in (0.32, 0.3))
        height, width = rng.integers(7, 18, 2)
        row, col = int(row), int(col)
        if not (4 < row < size - height - 8 and 4 < col < size - width - 8):
            continue
        if image[3, row - 4 : row + height + 8, col - 4 : col + width + 8].min() < 100:
            continue  # water
        image[:, row + 3 : row + height + 5, col + 3 : col + width + 5] *= 0.35  # shadow
        roof = ROOFS[rng.integers(len(ROOFS))] * rng.uniform(0.85, 1.2)
        image[:, row : row + height, col : col + width] = roof[:, None, None]
        image[:, row : row + height // 2, col : col + width] *= 1.18  # the sunny side


def _trees(image: Array, rng: np.random.Generator) -> None:
    size = image.shape[1]
    for _ in range(size * size // 900):
        row, col = rng.integers(6, size - 6, 2)
        radius = int(rng.integers(2, 5))
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        disc = y**2 + x**2 <= radius**2
        patch = image[:, row - radius : row + radius + 1, col - radius : col + radius + 1]
        if patch[3].min() > 300:  # not in the lake
            patch[:, disc] = CROPS[3][:, None] * (1.05 - 0.06 * (x + y)[disc])


def _blur(image: Array, sigma: float) -> Array:
    """Gaussian optics, mirrored at the borders."""
    offsets = np.arange(-3, 4)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    return _sampled(image, np.arange(image.shape[1], dtype=float), kernel / kernel.sum())


def _as_ms(truth: Array, ratio: int, phase: float, rng: np.random.Generator) -> Array:
    """The truth through each band's MTF, sampled at the MS pixel centres, with noise."""
    where = phase + ratio * np.arange(truth.shape[1] // ratio)
    bands = [
        _sampled(band[None], where, product_kernel(spec.gain, ratio))[0]
        for band, spec in zip(truth, SENSORS["qb"].bands)
    ]
    return np.stack(bands) + rng.normal(0, 1, (len(bands), len(where), len(where)))


def _sampled(image: Array, where: Array, kernel: Array) -> Array:
    """Square images filtered and sampled at the same positions on both axes, mirrored."""
    taps = filter_taps(where, kernel)
    index = mirror(taps.first, taps.stop, image.shape[1])
    taps = taps.shifted(taps.first)
    return resample(image[:, index[:, None], index], taps, taps)
