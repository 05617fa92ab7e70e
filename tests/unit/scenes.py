"""Tiny synthetic pairs: any ratio, phase, type and nodata, exactly as the geometry says.

The ground is a sum of waves, so it can be looked at from anywhere, through any aperture, without
resampling: nothing of the engine takes part in making the scenes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from whetstone.engine.jobs import FuseJob, RasterSource
from whetstone.engine.raster import BandInfo, OutputSpec
from whetstone.engine.types import Window

PIXEL, LEFT, TOP = 0.5, 500000.0, 4600000.0
GAIN = 0.3  # of the sensor called "generic", at the Nyquist frequency of the MS


class Ground:
    """``bands`` images of sine waves of ``finest`` to 120 PAN pixels; :meth:`seen` samples them."""

    def __init__(self, bands=4, seed=1, waves=220, level=600.0, contrast=120.0, finest=3.0):
        rng = np.random.default_rng(seed)
        period = np.exp(rng.uniform(np.log(finest), np.log(120.0), waves))
        angle = rng.uniform(0, 2 * np.pi, waves)
        self.fx, self.fy = np.cos(angle) / period, np.sin(angle) / period
        height = np.exp(1j * rng.uniform(0, 2 * np.pi, waves)) * (period / 30) ** 0.5
        tint = 1 + 0.35 * rng.standard_normal((bands, waves))
        amplitude = tint * height
        scale = contrast / np.sqrt((np.abs(amplitude) ** 2).sum(axis=1, keepdims=True) / 2)
        self.amplitude = amplitude * scale
        self.level = level * np.linspace(0.8, 1.2, bands)
        self.weights = np.linspace(1.3, 0.7, bands) / bands

    def seen(self, xs, ys, ratio=None):
        """(bands, len(ys), len(xs)) at PAN coordinates, blurred by an MS pixel of ``ratio``."""
        seen = self.amplitude
        if ratio is not None:
            nyquist = 0.5 / ratio
            seen = seen * GAIN ** ((self.fx**2 + self.fy**2) / nyquist**2)
        along = np.exp(2j * np.pi * np.outer(self.fx, xs))
        down = np.exp(2j * np.pi * np.outer(ys, self.fy))
        images = [np.real((down * row) @ along) for row in seen]
        return np.stack(images) + self.level[:, None, None]


@dataclass(frozen=True)
class Pair:
    """A pair on disk; ``truth`` is the MS at PAN resolution, (bands, h, w) float64."""

    pan: str
    ms: str
    truth: np.ndarray

    def job(self, out, method="exp", **more):
        """A fusion of it; quick unless asked otherwise."""
        more = {"overviews": False, "threads": 2, "sensor": "generic", **more}
        pan, ms = (more.pop(key, getattr(self, key)) for key in ("pan", "ms"))
        return FuseJob(source(pan), source(ms), str(out), method=method, **more)


def source(name):
    """A source of one file, or of a file per band."""
    return RasterSource(tuple(name)) if isinstance(name, (list, tuple)) else RasterSource.of(name)


def as_type(values, dtype):
    """Values rounded to a type."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return values.astype(kind)
    limits = np.iinfo(kind)
    return np.clip(np.rint(values), limits.min, limits.max).astype(kind)


def write(backend, path, values, transform, crs="EPSG:32633", tags=(), **band):
    """A GeoTIFF of (bands, h, w); ``bands`` or the words of one ``BandInfo`` for all."""
    plain = BandInfo(str(values.dtype), **{k: v for k, v in band.items() if k != "bands"})
    bands = band.get("bands") or (plain,) * len(values)
    bands = tuple(replace(one, dtype=str(values.dtype)) for one in bands)
    wkt = backend.crs_wkt(crs) if crs else ""
    size = values.shape[2], values.shape[1]
    spec = OutputSpec(*size, bands, wkt, transform, tags=dict(tags))
    writer = backend.create(str(path), spec)
    writer.write(Window(0, 0, *size), np.ascontiguousarray(values))
    writer.close()
    return str(path)


def fine_grid(pixel=PIXEL, left=LEFT, top=TOP):
    """The geotransform of the PAN."""
    return (left, pixel, 0.0, top, 0.0, -pixel)


def coarse_grid(ratio, phase=None, pixel=PIXEL):
    """The geotransform of an MS whose first pixel lies at ``phase`` PAN pixels."""
    corner = (0.0 if phase is None else phase + 0.5 - ratio / 2) * pixel
    return (LEFT + corner, pixel * ratio, 0.0, TOP - corner, 0.0, -pixel * ratio)


def make_pair(
    backend,
    folder,
    size=(128, 128),
    ratio=4.0,
    phase=None,
    dtype="uint16",
    bands=4,
    *,
    shift=(0.0, 0.0),
    ms_size=None,
    ground=None,
    spoil=None,
    pan_band=None,
    ms_band=None,
    crs="EPSG:32633",
):
    """Write ``pan.tif`` and ``ms.tif`` of (columns, rows) PAN pixels into a folder.

    ``shift`` moves the PAN's content; ``spoil(pan, ms)`` may change the pixels before they are
    written; ``pan_band`` and ``ms_band`` are words for :func:`write`.
    """
    ground = ground or Ground(bands)
    where = (ratio - 1) / 2 if phase is None else phase
    cols, rows = np.arange(size[0]), np.arange(size[1])
    small = ms_size or tuple(int(side // ratio) for side in size)
    ms = ground.seen(*(where + ratio * np.arange(side) for side in small), ratio)
    moved = ground.seen(cols - shift[0], rows - shift[1])
    pan = np.tensordot(ground.weights, moved, 1)[None]
    pan, ms = as_type(pan, dtype), as_type(ms, dtype)
    if spoil:
        spoil(pan, ms)
    folder.mkdir(exist_ok=True)
    return Pair(
        write(backend, folder / "pan.tif", pan, fine_grid(), crs, **(pan_band or {})),
        write(backend, folder / "ms.tif", ms, coarse_grid(ratio, where), crs, **(ms_band or {})),
        ground.seen(cols, rows),
    )


def read(backend, path):
    """All pixels, and where they are valid."""
    reader = backend.open(str(path))
    try:
        window = Window(0, 0, reader.info.width, reader.info.height)
        values, valid = reader.read(range(1, len(reader.info.bands) + 1), window)
        return values, np.ones(window.shape, bool) if valid is None else valid
    finally:
        reader.close()


def header(backend, path):
    """The header of a file."""
    reader = backend.open(str(path))
    reader.close()
    return reader.info


def ergas(fused, truth, ratio=4.0, border=24):
    """ERGAS against the truth, inside the border."""
    inside = (slice(None), slice(border, -border), slice(border, -border))
    a, b = fused[inside].astype(float), truth[inside].astype(float)
    mse = ((a - b) ** 2).mean(axis=(1, 2))
    return 100 / ratio * float(np.sqrt((mse / b.mean(axis=(1, 2)) ** 2).mean()))


def vrt(path, size, grid, bands, extra="", crs="EPSG:32633"):
    """Headers that GeoTIFF cannot say: ``bands`` are (type, xml)."""
    text = f'<VRTDataset rasterXSize="{size[0]}" rasterYSize="{size[1]}">'
    text += f"<SRS>{crs}</SRS>" if crs else ""
    if grid:
        text += f"<GeoTransform>{', '.join(repr(float(x)) for x in grid)}</GeoTransform>"
    for number, (kind, xml) in enumerate(bands, 1):
        text += f'<VRTRasterBand dataType="{kind}" band="{number}">{xml}</VRTRasterBand>'
    path.write_text(f"{text}{extra}</VRTDataset>")
    return str(path)


def layer(file, band=1):
    """The source of a VRT band."""
    name = f'<SourceFilename relativeToVRT="0">{file}</SourceFilename>'
    return f"<SimpleSource>{name}<SourceBand>{band}</SourceBand></SimpleSource>"
