"""What a report shows: crops at telling places, error maps, histograms before and after.

Everything comes from one streaming pass (:mod:`.survey`) and a few small windows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Mapping, Sequence

import numpy as np

from ..types import PartOfProgress, Progress
from .model import Histogram, MapLayer, Picture, Place, Views
from .survey import BINS, Levels, Source, Survey, Tie, read_nearest, sample_levels

if TYPE_CHECKING:
    from ..raster.model import RasterInfo
    from ..types import Array

#: Anchors of the colour ramp of the maps (matplotlib's "magma", CC0), dark = small.
RAMP = (
    (0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122),
    (229, 80, 100), (251, 135, 97), (254, 194, 135), (252, 253, 191),
)  # fmt: skip
CROP = 128
MAP, FEW = 360, 4  # longer side of a map; half of it where more images than a few are compared
SHOWN = 256  # least side of a crop in the report, in pixels of the screen
LEAST_SPAN = 0.35  # of the scene's stretch: calm places must not be blown up to noise
VOID = (128, 128, 128)


def collect_views(
    pan: Source,
    ms: Source,
    fused: Mapping[str, Source],
    reference: Source | None = None,
    *,
    titles: Mapping[str, str] | None = None,
    roles: Sequence[str] = (),
    gains: Sequence[float] | None = None,
    baseline: str = "exp",
    progress: Progress | None = None,
) -> Views:
    """Look at a pair and its fused images (all on one grid; the first one is the base).

    ``roles`` ("red", "nir", ...) and ``gains`` (MTF at the MS Nyquist frequency) go by MS band, as
    the sensor table gives them; ``baseline`` does not count
    when looking for the place of most change. The sources are read in windows only and not closed.
    """
    progress = progress or Progress()
    base = next(iter(fused.values())).info
    cell = int(np.clip(min(base.width, base.height) // 3, 16, CROP))
    side = MAP if len(fused) <= FEW else MAP // 2
    survey = Survey(pan, ms, fused, reference, gains, cell, side, baseline)
    survey.run(PartOfProgress(progress, 0.0, 0.9, "looking for places to show"))
    rgb = true_colour(ms.info, roles)
    names = {name: (titles or {}).get(name, name) for name in fused}
    camera = _Camera(survey, names, rgb)
    places = tuple(camera.place(*found) for found in _choose(survey))
    progress.update(1.0)
    bands = band_names(ms.info, roles)
    return Views(
        places, _maps(survey, names), _histograms(survey, bands), _rgb_words(bands, rgb), ()
    )


def true_colour(info: RasterInfo, roles: Sequence[str] = ()) -> tuple[int, ...]:
    """Three bands (0-based) for red, green, blue, or one: by role, colour, name, custom order."""
    count = len(info.bands)
    for words in (
        list(roles)[:count],
        [band.color.lower() for band in info.bands],
        [_colour_in(band.name) for band in info.bands],
    ):
        if all(word in words for word in ("red", "green", "blue")):
            return tuple(words.index(word) for word in ("red", "green", "blue"))
    if count < 3:
        return (0,)
    return {3: (0, 1, 2), 8: (4, 2, 1)}.get(count, (2, 1, 0))


def _colour_in(name: str) -> str:
    """The colour that a band name speaks of: "B", "Band 4 (Red)", "blue" ..., else ""."""
    words = re.findall(r"[a-z]+", name.lower())
    if "edge" in words or "infrared" in words:
        return ""
    for colour in ("red", "green", "blue"):
        if colour in words or words == [colour[0]]:
            return colour
    return ""


def band_names(info: RasterInfo, roles: Sequence[str] = ()) -> tuple[str, ...]:
    """A name for every band: its own, else its role, else its number."""
    labels = []
    for number, band in enumerate(info.bands):
        role = roles[number] if number < len(roles) else ""
        labels.append(band.name or role.capitalize() or f"Band {number + 1}")
    return tuple(labels)


def colour_ramp(share: Array) -> Array:
    """Colours (3, ...) uint8 for shares 0 to 1."""
    stops = np.linspace(0, 1, len(RAMP))
    anchors = np.array(RAMP, float).T
    return np.stack([np.interp(share, stops, channel) for channel in anchors]).round().astype("u1")


def _rgb_words(bands: Sequence[str], rgb: Sequence[int]) -> str:
    return ", ".join(bands[index] for index in rgb)


# --- places ---------------------------------------------------------------------------------------


def _choose(survey: Survey) -> list[tuple[str, str, int, int]]:
    """Up to three cells (column, row): most detail, most change, a calm one; never the same."""
    energy, change = survey.energy.mean(), survey.change.mean()
    full = survey.energy.count.reshape(energy.shape)
    usable = (full >= 0.95 * full.max()) & np.isfinite(energy)
    if not usable.any():
        return []
    wanted = [("Most detail", "where the PAN has the strongest local contrast", energy)]
    if survey.reference:
        wanted.append(("Largest error", "where the images are furthest from the reference", change))
    else:
        wanted.append(("Most change", "where the images, blurred back, leave the MS most", change))
    quiet = -np.abs(energy - np.nanpercentile(energy[usable], 10))
    wanted.append(("Calm", "a quiet place, where noise and false texture would show", quiet))
    found = []
    for title, why, score in wanted:
        masked = np.where(usable & np.isfinite(score), score, -np.inf)
        row, col = np.unravel_index(int(np.argmax(masked)), masked.shape)
        if np.isfinite(masked[row, col]):
            found.append((title, why, int(col), int(row)))
            if usable.sum() > 9:  # with so few cells a neighbour is better than nothing
                usable[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2] = False
            usable[row, col] = False
    return found


class _Camera:
    """Takes the same crop from every raster, with one stretch for all multispectral ones."""

    def __init__(self, survey: Survey, names: Mapping[str, str], rgb: Sequence[int]) -> None:
        self.survey, self.names, self.rgb = survey, names, list(rgb)
        self.pan_levels = sample_levels(survey.pan)

    def place(self, title: str, why: str, col: int, row: int) -> Place:
        """All pictures of one cell."""
        survey, cell = self.survey, self.survey.cell
        left = max(0, min(col * cell, survey.base.width - cell))
        top = max(0, min(row * cell, survey.base.height - cell))
        width, height = min(cell, survey.base.width), min(cell, survey.base.height)
        zoom = max(1, -(-SHOWN // max(width, height)))
        x = left + (np.arange(width * zoom) + 0.5) / zoom
        y = top + (np.arange(height * zoom) + 0.5) / zoom
        pan = self._stretch(survey.pan, x, y, self.pan_levels, [0])
        colour = self._stretch(survey.ms, x, y, survey.levels, self.rgb)
        pictures = [
            Picture("PAN", self._shoot(survey.pan, x, y, *pan)),
            Picture("MS", self._shoot(survey.ms, x, y, *colour)),
        ]
        if survey.reference:
            pictures.append(Picture("Reference", self._shoot(survey.reference, x, y, *colour)))
        for name, source in survey.fused.items():
            pictures.append(Picture(self.names[name], self._shoot(source, x, y, *colour), name))
        return Place(title, why, self._where(left, top, width, height), tuple(pictures))

    def _look(self, source: Source, x: Array, y: Array) -> tuple[Array, Array]:
        return read_nearest(source, Tie.between(self.survey.base, source.info), x, y)

    def _stretch(self, source: Source, x: Array, y: Array, levels: Levels, bands: list) -> tuple:
        """The scene's stretch per band, narrowed or moved to the place for all bands alike.

        So hues stay those of the scene, and neither a bright roof nor a dark field is blank.
        """
        low, span = levels.low[bands], (levels.high - levels.low)[bands]
        values, valid = self._look(source, x, y)
        local = (values[bands][:, valid] - low[:, None]) / span[:, None]
        if local.size:
            first, last = np.percentile(local, (2, 98))
            grow = max(0.0, LEAST_SPAN - (last - first)) / 2
            low, span = low + (first - grow) * span, (last - first + 2 * grow) * span
        return bands, low[:, None, None], span[:, None, None]

    def _shoot(
        self, source: Source, x: Array, y: Array, bands: list, low: Array, span: Array
    ) -> Array:
        values, valid = self._look(source, x, y)
        grey = np.array(VOID, float)[: len(bands), None, None] / 255
        shown = np.where(valid, np.clip((values[bands] - low) / span, 0, 1), grey)
        return (shown * 255).round().astype(np.uint8)

    def _where(self, left: int, top: int, width: int, height: int) -> str:
        text = f"columns {left}–{left + width - 1}, rows {top}–{top + height - 1}"
        transform = self.survey.base.transform
        if transform is None:
            return text
        x = transform[0] + (left + width / 2) * transform[1]
        y = transform[3] + (top + height / 2) * transform[5]
        digits = 5 if abs(transform[1]) < 0.01 else 1
        return f"{text}; centre {x:.{digits}f}, {y:.{digits}f}"


# --- maps and histograms --------------------------------------------------------------------------


def _maps(survey: Survey, names: Mapping[str, str]) -> tuple[MapLayer, ...]:
    relative = {n: 100 * np.sqrt(grid.mean()) for n, grid in survey.errors.items()}
    angle = {n: grid.mean() for n, grid in survey.angles.items()}
    if survey.reference:
        texts = (
            ("Error", "Difference from the reference, all bands, in per cent of their mean."),
            ("Spectral angle", "How far colours turn away from the reference."),
        )
    else:
        texts = (
            (
                "Residual at MS scale",
                "The fused image, blurred and sampled like the MS, minus the MS: all bands, in per "
                "cent of their mean. Dark everywhere means that the radiometry survived.",
            ),
            ("Colour turn at MS scale", "The spectral angle between the same two images."),
        )
    layers = [
        _layer(title, why, unit, fields, names)
        for (title, why), unit, fields in zip(texts, ("%", "°"), (relative, angle))
        if survey.n > 1 or unit == "%"
    ]
    return tuple(layer for layer in layers if layer is not None)


def _layer(
    title: str, why: str, unit: str, fields: Mapping[str, Array], names: Mapping[str, str]
) -> MapLayer | None:
    known = [field[np.isfinite(field)] for field in fields.values()]
    joined = np.concatenate(known)
    if not joined.size:
        return None
    usual = np.median([np.percentile(values, 98) for values in known if values.size])
    high = min(float(np.percentile(joined, 98)), 3 * float(usual)) or 1.0  # one bad, others shown
    pictures, summaries = [], []
    for (name, field), values in zip(fields.items(), known):
        seen = np.isfinite(field)
        colours = colour_ramp(np.clip(np.where(seen, field, 0) / high, 0, 1))
        alpha = np.where(seen, 255, 0).astype(np.uint8)[None]
        pictures.append(Picture(names[name], np.concatenate([colours, alpha]), name))
        tail = (float(values.mean()), float(np.percentile(values, 95))) if values.size else ()
        summaries.append(tail or (float("nan"), float("nan")))
    return MapLayer(title, why, unit, 0.0, high, tuple(pictures), tuple(summaries))


def _histograms(survey: Survey, bands: Sequence[str]) -> tuple[Histogram, ...]:
    made = []
    for index in range(survey.n):
        bins = survey.levels.bins[index]
        counts = {
            name: tuple(int(n) for n in table[index]) for name, table in survey.counts.items()
        }
        made.append(Histogram(bands[index], bins.low, bins.low + BINS * bins.width, counts))
    return tuple(made)
