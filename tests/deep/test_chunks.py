"""Scenes as training sees them: reduced and full windows, patches, and blocks that are held out."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import Ground, ergas, make_pair, read
from whetstone.engine import Progress, WhetstoneError, run
from whetstone.engine.classical import Scene
from whetstone.engine.deep import chunks as chunks_module
from whetstone.engine.deep.chunks import STEP, Images, full, read_chunks, reduced
from whetstone.engine.deep.inputs import estimate_scale
from whetstone.engine.deep.presharpen import Presharpener
from whetstone.engine.errors import Cancelled
from whetstone.engine.jobs import DegradeJob, RasterSource
from whetstone.engine.pair import open_pair
from whetstone.engine.registration import Shift
from whetstone.engine.types import Window

#: (ratio, phase): common corner, half a pixel off, Landsat's common centre, and no whole ratio.
GEOMETRIES = [(4.0, None), (4.0, 2.0), (2.0, None), (2.0, 0.0), (3.7, None)]
STANDARD = {"kind": "standard"}


def opened(pan, ms):
    return open_pair(RasterSource.of(pan), RasterSource.of(ms), sensor="generic")


def rects(chunks, places):
    """Blocks or patches on the grid of the scene."""
    side = chunks.patch
    return [
        Window(chunks.windows[n].col + col, chunks.windows[n].row + row, side, side)
        for n, row, col in places.tolist()
    ]


# -- reduced windows ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
@pytest.mark.parametrize(("ratio", "phase"), GEOMETRIES)
def test_reduced_windows_are_the_degraded_pair(tmp_path, backend, ratio, phase, dtype):
    size = (round(72 * ratio) + 3, round(64 * ratio))
    pair = make_pair(backend, tmp_path / "pair", size, ratio, phase, dtype)
    made = run(
        DegradeJob(*map(RasterSource.of, (pair.pan, pair.ms)), str(tmp_path / "rr"), "generic")
    )
    (want_pan, _), (want_ms, _), (want_gt, _) = (
        read(backend, path) for path in (made.pan, made.ms, made.gt)
    )
    whole = 2 if ratio == 2 else 4
    with opened(pair.pan, pair.ms) as source, opened(made.pan, made.ms) as small:
        area, read_window = reduced(source, None)
        assert made.ratio == whole and (area.col, area.row) == (0, 0)
        rows, cols = want_gt.shape[1:]
        assert area.width - whole < cols <= area.width
        images = read_window(Window(0, 0, cols, rows))
        rounding = 1e-3 if dtype == "float32" else 0.501
        assert np.abs(images.pan - want_pan[0]).max() < rounding
        np.testing.assert_array_equal(images.truth, want_gt)
        around = images.ms_window
        assert images.ms.shape[1:] == around.shape
        here = Window(0, 0, cols // whole, rows // whole).within(around)
        assert np.abs(images.ms[(slice(None), *here)] - want_ms).max() < rounding
        # at its border the degraded MS is mirrored, and the scene goes on
        inner = Window(0, 0, cols, rows).expand(-6 * whole)
        lms = full(small, None)[1](inner).lms
        there = (slice(None), *inner.within(Window(0, 0, cols, rows)))
        assert np.abs(images.lms[there] - lms).max() < (0.02 if dtype == "float32" else 1.5)


@pytest.mark.parametrize("make", [reduced, full])
@pytest.mark.parametrize("shift", [None, Shift(0.7, -1.2, 1.0, 0.0)])
def test_windows_agree_where_they_overlap(tmp_path, backend, make, shift):
    def spoil(pan, ms):
        pan[0, 100:140, 20:50] = 0
        ms[:, 5:15, 40:48] = 0

    pair = make_pair(
        backend, tmp_path, (256, 224), phase=2.0, spoil=spoil,
        pan_band={"nodata": 0}, ms_band={"nodata": 0},
    )  # fmt: skip
    with opened(pair.pan, pair.ms) as source:
        area, read_window = make(source, shift)
        a = Window(0, 16, 48, 40) if make is reduced else Window(10, 90, 64, 60)
        b = Window(a.col + 8, a.row + 3, 40, 37)
        assert area.contains(a)
        one, two = read_window(a), read_window(b)
    common = a.intersect(b)
    here, there = common.within(a), common.within(b)
    for name in ("pan", "lms", "truth", "valid"):
        first, second = getattr(one, name), getattr(two, name)
        if first is None:
            assert second is None
            continue
        np.testing.assert_array_equal(first[(..., *here)], second[(..., *there)])
    assert one.valid is not None and not one.valid.all()
    common = one.ms_window.intersect(two.ms_window)
    np.testing.assert_array_equal(
        one.ms[(..., *common.within(one.ms_window))], two.ms[(..., *common.within(two.ms_window))]
    )


@pytest.mark.parametrize("make", [reduced, full])
def test_a_shift_moves_the_pan_onto_the_ms(tmp_path, backend, make):
    size, offset, ground = (256, 256), (2.6, -1.7), Ground()
    pairs = [
        make_pair(backend, tmp_path / name, size, dtype="float32", ground=ground, shift=shift)
        for name, shift in (("good", (0.0, 0.0)), ("moved", offset))
    ]
    inner = Window(8, 8, 48, 40) if make is reduced else Window(32, 32, 192, 160)

    def pan_of(pair, shift):
        with opened(pair.pan, pair.ms) as source:
            return make(source, shift)[1](inner)

    want = pan_of(pairs[0], None)
    right = pan_of(pairs[1], Shift(*offset, 1.0, 0.0))
    wrong = pan_of(pairs[1], Shift(*(-v for v in offset), 1.0, 0.0))
    asis = pan_of(pairs[1], None)
    of_truth = (
        want.truth if make is reduced else pairs[0].truth[(..., *inner.within(Window(0, 0, *size)))]
    )
    light = np.tensordot(ground.weights, of_truth, 1)

    def like(pan):
        return np.corrcoef(pan.ravel(), light.ravel())[0, 1]

    assert like(right.pan) == pytest.approx(like(want.pan), abs=2e-4)
    assert like(right.pan) > 0.998 > 0.99 > like(asis.pan) > like(wrong.pan)
    assert np.abs(right.pan - want.pan).max() < 0.1 * np.abs(asis.pan - want.pan).max()
    np.testing.assert_array_equal(right.lms, want.lms)


# -- what may be drawn ----------------------------------------------------------------------------


@pytest.fixture(params=[4.0, 2.0])
def holes(request, tmp_path, backend):
    """A pair with holes in the PAN and others in the MS, and the masks of both."""
    ratio = request.param
    side = int(100 * ratio)
    holes = {"pan": np.zeros((side, side), bool), "ms": np.zeros((100, 100), bool)}
    holes["pan"][: side // 10, side // 2 :] = True
    alone = int(ratio * 70 + ratio / 2), int(ratio * 20 + ratio / 2)  # in the middle of an MS pixel
    holes["pan"][alone] = True
    holes["ms"][60:63, 40:43] = True

    def spoil(pan, ms):
        pan[0][holes["pan"]], ms[:, holes["ms"]] = 0, 0

    words = {"pan_band": {"nodata": 0}, "ms_band": {"nodata": 0}, "spoil": spoil}
    return make_pair(backend, tmp_path, (side, side), ratio, **words), int(ratio), holes


def enlarged(mask, ratio):
    return mask.repeat(ratio, 0).repeat(ratio, 1)


def moved(mask, shift):
    """The mask of a PAN that was moved by whole pixels; mirrored at its borders."""
    wide = np.pad(mask, 4, mode="symmetric")
    row, col = 4 + int(shift.dy), 4 + int(shift.dx)
    return wide[row : row + len(mask), col : col + len(mask)]


@pytest.mark.parametrize("shift", [None, Shift(2.0, -1.0, 1.0, 0.0)])
@pytest.mark.parametrize("make", [reduced, full])
def test_no_patch_and_no_block_holds_an_invalid_pixel(monkeypatch, holes, make, shift):
    monkeypatch.setattr(chunks_module, "SIDE", 96)  # windows overlap
    pair, ratio, masks = holes
    with opened(pair.pan, pair.ms) as source:
        area, read_window = make(source, shift)
        chunks = read_chunks(area, read_window, hold_out=make is reduced, progress=Progress())
    pan, ms = masks["pan"], masks["ms"]
    lies = pan if shift is None else moved(pan, shift)
    if make is reduced:  # a reduced pixel counts for all that it covers
        middle = slice(ratio // 2, None, ratio)
        bad = lies[middle, middle] | ms | enlarged(ms[middle, middle], ratio)
    else:
        bad = lies | pan | enlarged(ms, ratio)
    for window, valid in zip(chunks.windows, chunks.valid):
        np.testing.assert_array_equal(valid, ~bad[window.within(area)])
    assert len(chunks.windows) >= 4 and len(chunks.origins) > 20
    drawn = rects(chunks, chunks.origins)
    for place in (*drawn, *rects(chunks, chunks.held_out)):
        assert not bad[place.within(area)].any()
    for (number, row, col), place in zip(chunks.origins, drawn):
        assert row % STEP == col % STEP == 0
        assert chunks.windows[number].contains(place)


def test_held_out_blocks_overlap_no_patch(monkeypatch, tmp_path, backend):
    monkeypatch.setattr(chunks_module, "SIDE", 60)
    monkeypatch.setattr(chunks_module, "HELD_OUT_PERCENT", 40)
    pair = make_pair(backend, tmp_path, (372, 296), 2.0)  # 186 x 148 MS pixels
    with opened(pair.pan, pair.ms) as source:
        chunks = read_chunks(*reduced(source, None), hold_out=True, progress=Progress())
    windows = chunks.windows
    assert {w.shape for w in windows} == {(56, 48)} and not windows[2].intersect(windows[3]).empty
    held_out = rects(chunks, chunks.held_out)
    assert len(held_out) == 3 and len(set(held_out)) == len(held_out)
    for block in held_out:
        assert (block.col % chunks.patch, block.row % chunks.patch) == (0, 0)
        assert not any(not block.intersect(p).empty for p in rects(chunks, chunks.origins))
    assert any(sum(not b.intersect(w).empty for w in windows) > 1 for b in held_out)
    share = sum(block.width * block.height for block in held_out) / chunks.valid.sum()
    assert chunks.held_out_percent == pytest.approx(100 * share)


def drawn_area(width, height, valid=None, detail=None, col=3, row=5):
    """An area whose pixels say where they are, and its reader; ``detail(window)`` scales PAN."""

    def read_window(window):
        rows, cols = np.mgrid[window.row : window.stop[1], window.col : window.stop[0]]
        pan = np.float32((7 * rows + 13 * cols) % 11)
        pan = pan * (1 if detail is None else detail(window))
        good = None if valid is None else valid(rows, cols)
        bands = np.stack([rows, cols]).astype(np.float32)
        return Images(pan, bands, bands, bands, good, bands, good, window)

    return Window(col, row, width, height), read_window


@pytest.mark.parametrize("width", [56, 63, 64, 130, 255, 256, 257, 300, 511, 520])
@pytest.mark.parametrize("height", [64, 301])
def test_windows_cover_an_area_evenly(width, height):
    area, read_window = drawn_area(width, height)
    chunks = read_chunks(area, read_window, hold_out=True, progress=Progress())
    count = np.zeros(area.shape, int)
    for window, images in zip(chunks.windows, chunks.images):
        assert area.contains(window)
        assert not any(side % 8 or side > chunks_module.SIDE for side in window.shape)
        count[window.within(area)] += 1
        assert images.truth[0, 0, 0] == window.row and images.truth[1, 0, 0] == window.col
    assert count.min() == 1
    assert len({window.shape for window in chunks.windows}) == 1


def test_the_more_detailed_windows_are_kept(monkeypatch):
    monkeypatch.setattr(chunks_module, "MOST", 3)
    monkeypatch.setattr(chunks_module, "SIDE", 64)
    told = {}

    def detail(window):
        told[window] = 1 + (window.col * 7 + window.row * 3) % 23
        return told[window]

    area, read_window = drawn_area(4 * 64, 4 * 64, detail=detail, col=0, row=0)
    chunks = read_chunks(area, read_window, hold_out=True, progress=Progress())
    assert len(told) == 6  # twice as many are looked at
    assert len(chunks.windows) == 3
    rest = [value for window, value in told.items() if window not in chunks.windows]
    assert min(told[window] for window in chunks.windows) > max(rest)


def test_patches_with_detail_are_drawn_more_often():
    area, read_window = drawn_area(128, 128, detail=lambda window: 1.0)
    rows = np.arange(128)[:, None]

    def read_uneven(window):
        images = read_window(window)
        return images._replace(pan=images.pan * np.where(rows < 64, 0.0, 1 + rows / 32))

    chunks = read_chunks(area, read_uneven, hold_out=True, progress=Progress())
    assert chunks.chance.sum() == pytest.approx(1) and chunks.chance.min() > 0
    side = chunks.patch
    spread = [
        chunks.images[n].pan[row : row + side, col : col + side].std()
        for n, row, col in chunks.origins
    ]
    flat = np.isclose(spread, 0)
    assert flat.any() and chunks.chance[flat].max() < 0.3 * chunks.chance.mean()
    lively = np.array(spread) > np.mean(spread)
    np.testing.assert_allclose(
        chunks.chance[lively] / chunks.chance[lively][0],
        np.array(spread)[lively] / np.array(spread)[lively][0],
        rtol=1e-4,
    )
    places = chunks.draw(400, np.random.default_rng(0))
    known = {tuple(place) for place in chunks.origins.tolist()}
    assert {tuple(place) for place in places.tolist()} <= known
    shares = dict(zip(map(tuple, chunks.origins.tolist()), chunks.chance))
    mean = np.mean([shares[tuple(place)] for place in places.tolist()])
    assert mean == pytest.approx(np.sum(chunks.chance**2), rel=0.1)
    again = chunks.draw(400, np.random.default_rng(0))
    np.testing.assert_array_equal(places, again)


@pytest.mark.parametrize(
    ("width", "height", "valid"),
    [
        (31, 300, None),
        (32, 32, None),  # the only block is held out
        (0, 0, None),
        (128, 128, lambda rows, cols: (rows % 32 == 7) | (cols < 0)),
        (128, 128, lambda rows, cols: rows < 0),
    ],
)
def test_too_small_is_said(width, height, valid):
    area, read_window = drawn_area(width, height, valid)
    with pytest.raises(WhetstoneError, match=f"has {width} x {height} pixels") as caught:
        read_chunks(area, read_window, hold_out=True, progress=Progress())
    assert caught.value.code == "TOO_SMALL" and caught.value.hint


def test_one_window_is_enough_without_a_block():
    area, read_window = drawn_area(32, 32)
    chunks = read_chunks(area, read_window, hold_out=False, progress=Progress())
    assert chunks.origins.tolist() == [[0, 0, 0]]
    assert len(chunks.held_out) == 0 and chunks.held_out_percent == 0


def test_windows_without_valid_pixels_are_left_out():
    area, read_window = drawn_area(512, 256, lambda rows, cols: cols >= 3 + 256)
    chunks = read_chunks(area, read_window, hold_out=True, progress=Progress())
    assert [window.col for window in chunks.windows] == [3 + 256]


def test_reading_can_be_cancelled_and_tells_how_far_it_is(monkeypatch):
    class Watched(Progress):
        def __init__(self):
            self.told = []

        def update(self, fraction, text=""):
            self.told.append(fraction)

        def cancelled(self):
            return len(self.told) == 2

    area, read_window = drawn_area(4 * 256, 256)
    watched = Watched()
    with pytest.raises(Cancelled):
        read_chunks(area, read_window, hold_out=True, progress=watched)
    assert watched.told == [0.25, 0.5]
    monkeypatch.setattr(chunks_module, "MOST", 1)  # cancelled before the windows are chosen
    watched.told = [0.0, 0.0]
    with pytest.raises(Cancelled):
        read_chunks(area, read_window, hold_out=True, progress=watched)


# -- how it is normalised -------------------------------------------------------------------------


@pytest.mark.parametrize("holed", ["", "both", "pan"])
def test_the_scale_is_that_of_the_pair(tmp_path, backend, holed):
    def spoil(pan, ms):
        ms[:, :, :24] //= 2  # what lies outside of the PAN must not count
        if holed:
            pan[0, :, :96] = 0
        if holed == "both":
            ms[:, :, :24] = 0

    words = {"pan_band": {"nodata": 0}, "ms_band": {"nodata": 0}, "spoil": spoil}
    pair = make_pair(backend, tmp_path, (384, 320), **words)
    made = run(
        DegradeJob(*map(RasterSource.of, (pair.pan, pair.ms)), str(tmp_path / "rr"), "generic")
    )
    with opened(pair.pan, pair.ms) as source, opened(made.pan, made.ms) as small:
        for make, like in ((full, source), (reduced, small)):
            chunks = read_chunks(*make(source, None), hold_out=False, progress=Progress())
            ours = chunks.scale(STANDARD)
            theirs = estimate_scale(STANDARD, Scene(like, 1, Progress()))
            tolerance = 0.01 if make is full else 0.03  # few pixels are left at reduced resolution
            assert ours.pan == pytest.approx(theirs.pan, rel=tolerance)
            np.testing.assert_allclose(ours.ms, theirs.ms, rtol=tolerance)
            assert ours.pan_offset == pytest.approx(theirs.pan_offset, rel=0.01)
            np.testing.assert_allclose(ours.ms_offset, theirs.ms_offset, rtol=0.01)


@pytest.mark.parametrize("ratio", [4.0, 2.0])
def test_reduced_windows_have_the_base_of_the_reduced_pair(tmp_path, backend, ratio):
    """The same as of the pair that ``degrade`` writes, away from its borders."""
    made = make_pair(backend, tmp_path, (256 * int(ratio) // 2,) * 2, ratio, dtype="float32")
    job = made.job(tmp_path / "x.tif")
    small = run(DegradeJob(job.pan, job.ms, str(tmp_path / "small"), "generic"))

    def base_of(pair):
        return Presharpener(Scene(pair, 1, Progress()))

    with open_pair(job.pan, job.ms, sensor="generic") as pair:
        area, read_window = reduced(pair, None, base_of)
        images = read_window(area)
    with open_pair(*(RasterSource.of(p) for p in (small.pan, small.ms)), sensor="generic") as pair:
        want = base_of(pair)
        pan, _ = pair.read_pan(area)
        base = want.image(pan, area)
    inside = (..., slice(32, -32), slice(32, -32))
    assert np.abs(images.base - base)[inside].max() < 0.02 * base.std()
    assert ergas(images.base, images.truth) < 0.9 * ergas(images.lms, images.truth)


def test_full_windows_have_the_base_of_the_moved_pan(tmp_path, backend):
    plain, moved = (
        make_pair(backend, tmp_path / name, (192, 192), shift=shift, dtype="float32")
        for name, shift in (("plain", (0, 0)), ("moved", (1.25, -0.5)))
    )
    found = []
    for made, shift in ((plain, None), (moved, Shift(1.25, -0.5, 1.0, 0.0))):
        job = made.job(tmp_path / "x.tif")
        with open_pair(job.pan, job.ms, sensor="generic") as pair:
            make = full(pair, shift, lambda seen: Presharpener(Scene(seen, 1, Progress())))[1]
            found.append(make(Window(48, 48, 96, 96)))
    assert np.abs(found[0].base - found[1].base).max() < 0.05 * found[0].base.std()
    assert np.array_equal(found[0].lms, found[1].lms)
