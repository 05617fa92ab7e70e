"""The shift between PAN and MS, known because it was made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from whetstone.engine import DemoJob, RasterSource, run
from whetstone.engine.pair import open_pair
from whetstone.engine.registration import Shift, estimate_shift
from whetstone.engine.types import Progress


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Demo scenes by (ratio, phase), drawn once."""
    folder, made = tmp_path_factory.mktemp("scenes"), {}

    def scene(ratio=4, phase=None):
        key = ratio, phase
        if key not in made:
            made[key] = run(DemoJob(str(folder / f"{ratio}_{phase}"), 384, ratio, phase))
        return made[key]

    return scene


def opened(files):
    return open_pair(RasterSource.of(files.pan), RasterSource.of(files.ms))


def estimate(pair, dx=0.0, dy=0.0):
    """The estimate for a pair whose MS is said to lie (dx, dy) PAN pixels from where it does."""
    pair.geometry = pair.geometry.shifted(-dx, -dy)
    return estimate_shift(pair, 2, Progress())


SHIFTS = ((0, 0), (0.4, -0.3), (-0.75, 0.1), (1.6, 2.2), (-3.3, 2.6), (5, -4))


@pytest.mark.parametrize(("dx", "dy"), SHIFTS)
def test_a_known_shift_is_found(scenes, dx, dy):
    with opened(scenes()) as pair:
        found = estimate(pair, dx, dy)
    assert found.known
    assert found.confidence > 0.7
    assert (found.dx, found.dy) == pytest.approx((dx, dy), abs=0.1)


@pytest.mark.parametrize(("ratio", "phase"), ((2, 0.0), (2, None), (4, 2.0), (3, None), (8, None)))
def test_every_phase_is_no_shift(scenes, ratio, phase):
    """A phase that the geotransforms tell is not a shift."""
    with opened(scenes(ratio, phase)) as pair:
        found = estimate(pair)
    assert found.known
    assert (found.dx, found.dy) == pytest.approx((0, 0), abs=0.1)


def test_an_untold_phase_is_a_shift(scenes):
    """The MS was sampled at 2, the geometry says 1.5."""
    with opened(scenes(4, 2.0)) as pair:
        assert pair.geometry.phase == pytest.approx((2, 2))
        pair.geometry = replace(pair.geometry, phase=(1.5, 1.5))
        found = estimate(pair)
    assert (found.dx, found.dy) == pytest.approx((0.5, 0.5), abs=0.1)


def test_threads_do_not_matter(scenes):
    with opened(scenes()) as pair:
        assert estimate_shift(pair, 1, Progress()) == estimate_shift(pair, 4, Progress())


def test_the_pair_is_left_alone(scenes):
    with opened(scenes()) as pair:
        before = pair.geometry
        estimate_shift(pair, 1, Progress())
        assert pair.geometry == before


def test_a_pan_of_another_place_says_nothing(scenes):
    """The PAN of the scene upside down."""
    with opened(scenes()) as pair:
        read = pair.pan.read

        class Flipped:
            info, may_be_invalid, close = pair.pan.info, False, pair.pan.close

            def read(self, window):
                mirrored = window._replace(row=384 - window.row - window.height)
                values, valid = read(mirrored)
                return values[:, ::-1], valid

        pair.pan = Flipped()
        found = estimate_shift(pair, 1, Progress())
    assert not found.known
    assert "cannot be told" in found.describe(4)


# ----------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("shift", "has", "lacks"),
    (
        (Shift(0.1, -0.2, 0.9, 0.05), "dx +0.10, dy -0.20", "Fringes"),
        (Shift(2.5, 0.0, 0.9, 0.05), "Fringes", "varies"),
        (Shift(0.1, 0.1, 0.9, 1.5), "varies", "Fringes"),
        (Shift(9.0, 9.0, 0.1, 0.0), "cannot be told", "dx"),
    ),
)
def test_words(shift, has, lacks):
    text = shift.describe(4)
    assert has in text
    assert lacks not in text
    assert text.endswith(".")
    assert np.isfinite(shift.spread)
