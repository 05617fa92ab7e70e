"""The report: texts, verdicts, what it chooses to show, and the page itself."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from math import inf, nan

import numpy as np
import pytest
from whetstone.engine.errors import Cancelled, WhetstoneError
from whetstone.engine.jobs import RasterSource
from whetstone.engine.raster import BandInfo, OutputSpec
from whetstone.engine.raster.model import RasterInfo
from whetstone.engine.raster.source import open_source
from whetstone.engine.report.charts import bar_chart
from whetstone.engine.report.figures import FIGURES, best, format_score, ordered
from whetstone.engine.report.model import Candidate, Report, Verdict
from whetstone.engine.report.render import render_report, write_report
from whetstone.engine.report.survey import Tie, degrade, gaussian_sigma
from whetstone.engine.report.verdict import judge, judge_all, rank_sums
from whetstone.engine.report.views import band_names, collect_views, colour_ramp, true_colour
from whetstone.engine.types import Progress, Window

REFERENCE = ("sam", "ergas", "q2n", "scc", "psnr", "ssim", "rmse", "cc")
NO_REFERENCE = tuple("d_lambda d_s qnr d_lambda_k hqnr d_rho r_sam r_ergas r_q2n".split())
RATIO = 4
PAN_GRID = (500000.0, 0.5, 0.0, 4600000.0, 0.0, -0.5)
MS_GRID = (500000.0, 2.0, 0.0, 4600000.0, 0.0, -2.0)


class Memory:
    """A raster in memory that watches how it is read."""

    def __init__(self, values, transform=None, names=(), valid=None):
        self.values, self.valid, self.largest, self.reads = values, valid, 0, 0
        bands = tuple(
            BandInfo(str(values.dtype), name=names[b] if b < len(names) else "")
            for b in range(len(values))
        )
        height, width = values.shape[1:]
        self.info = RasterInfo("memory", width, height, bands, "", transform, "MEM")

    def read(self, window):
        assert Window(0, 0, self.info.width, self.info.height).contains(window)
        self.largest, self.reads = max(self.largest, window.width * window.height), self.reads + 1
        rows, cols = window.within(Window(0, 0, self.info.width, self.info.height))
        valid = None if self.valid is None else self.valid[rows, cols]
        return self.values[:, rows, cols], valid


def shrink(values):
    n, h, w = values.shape
    return values.reshape(n, h // RATIO, RATIO, w // RATIO, RATIO).mean((2, 4))


def scene(size=768, bands=4, seed=3):
    """Truth, PAN and MS with strong texture in the cell at columns 512-639, rows 128-255."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    truth = np.stack([400 + 200 * x * (b + 1) + 100 * y for b in range(bands)])
    truth = truth + rng.normal(0, 2, (1, size, size))
    if size > 640:
        truth[:, 128:256, 512:640] += rng.normal(0, 120, (1, 128, 128))
    truth = np.clip(truth, 1, 4000)
    pan = truth.mean(0, keepdims=True)
    return tuple(part.round().astype("uint16") for part in (truth, pan, shrink(truth)))


def sources(size=768, **kw):
    truth, pan, ms = scene(size, **kw)
    plain = np.kron(ms, np.ones((1, RATIO, RATIO), "uint16"))
    return (
        Memory(pan, PAN_GRID),
        Memory(ms, MS_GRID, ("Blue", "Green", "Red", "NIR")),
        {"gsa": Memory(truth, PAN_GRID), "exp": Memory(plain, PAN_GRID)},
    )


def scores(**changes):
    base = dict(zip(NO_REFERENCE, (0.03, 0.04, 0.93, 0.02, 0.94, 0.15, 0.9, 1.1, 0.96)))
    return {**base, **changes}


def candidates():
    return (
        Candidate("exp", "EXP", scores(d_rho=0.85, r_ergas=0.4, r_sam=0.5), 0.1, baseline=True),
        Candidate("gsa", "GSA", scores(), 1.25),
        Candidate("brovey", "Brovey", scores(r_ergas=6.2, r_sam=4.1, hqnr=0.81), 0.5),
    )


def a_report(**changes):
    found = candidates()
    base = Report(
        "compare", "A scene", found, judge_all(found, False), inputs=(("PAN", "pan.tif"),),
        details=(("Sensor", "GeoEye-1"),), notes=("Shift 0.1 px.",), engine="0.1.0",
    )  # fmt: skip
    return replace(base, **changes)


def png(pixels):
    """Stands for an encoder where the pictures do not matter."""
    return b"PNG" + bytes(str(pixels.shape), "ascii")


def plain_text(html):
    """What a reader sees, without tags."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


# --- figures --------------------------------------------------------------------------------------


def test_every_metric_has_its_texts():
    assert set(FIGURES) == set(REFERENCE) | set(NO_REFERENCE)
    for key, figure in FIGURES.items():
        assert figure.key == key and figure.label and figure.name
        assert figure.meaning.endswith(".") and figure.caution.endswith(".")
        assert figure.needs_reference == (key in REFERENCE)
    higher = {key for key, figure in FIGURES.items() if not figure.lower_is_better}
    assert higher == {"q2n", "scc", "psnr", "ssim", "cc", "qnr", "hqnr", "r_q2n"}


def test_hqnr_is_never_explained_without_its_companions():
    assert all(word in FIGURES["hqnr"].caution for word in ("gamed", "D_rho", "R-ERGAS"))


def test_scores_are_written_for_people():
    assert format_score("sam", 2.73271) == "2.733°"
    assert format_score("psnr", 35.456) == "35.46\u00a0dB"
    assert format_score("psnr", inf) == "∞\u00a0dB"
    assert format_score("cc", -0.25) == "−0.250"
    assert format_score("q2n", nan) == format_score("q2n", None) == "–"


def test_best_names_all_that_print_alike():
    assert best("ergas", {"a": 1.2341, "b": 1.2339, "c": 2.0, "d": nan}) == ("a", "b")
    assert best("q2n", {"a": 0.9, "b": 0.95}) == ("b",)
    assert best("q2n", {"a": 0.9, "b": 0.9}) == () == best("q2n", {"a": nan})
    assert ordered(["hqnr", "sam", "nonsense", "ergas"]) == ("ergas", "sam", "hqnr")


def test_the_texts_need_neither_numpy_nor_jinja2(root):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import importlib.util as u\n"
        "s = u.spec_from_file_location('whetstone', sys.argv[1] + '/__init__.py',"
        " submodule_search_locations=[sys.argv[1]])\n"
        "sys.modules['whetstone'] = m = u.module_from_spec(s); s.loader.exec_module(m)\n"
        "import whetstone.engine.report.figures, whetstone.engine.report.verdict\n"
        "assert not {'numpy', 'jinja2'} & set(sys.modules), 'too heavy'"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code, str(root)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


# --- verdict --------------------------------------------------------------------------------------


def test_without_reference_colour_and_detail_are_judged_apart():
    good = judge(scores())
    assert good.grade == "good" and good.headline.startswith("Good: colours are kept, and the")
    sharp = judge(scores(r_ergas=7.0))
    assert sharp.grade == "poor" and "Fit for looking at, not for measuring" in sharp.headline
    blurred = judge(scores(d_rho=0.8))
    assert blurred.grade == "poor" and "but little of the PAN's detail" in blurred.headline
    assert judge({"hqnr": 0.95}).grade == ""


def test_high_hqnr_does_not_hide_a_poor_image():
    verdict = judge(scores(d_rho=0.8, hqnr=0.97))
    assert verdict.grade == "poor"
    assert "do not rely on HQNR" in verdict.text
    assert "no figure proves" in verdict.text


def test_detail_is_measured_against_plain_enlargement():
    verdict = judge(scores(d_rho=0.35), scores(d_rho=0.36))
    assert next(f for f in verdict.findings if f.aspect == "Detail").grade == "poor"
    assert "plain enlargement 0.360" in verdict.text


def test_with_reference_the_gain_is_said():
    verdict = judge({"ergas": 2.0, "sam": 2.5, "q2n": 0.9}, {"ergas": 4.0})
    assert verdict.grade == "good" and "50 % below" in verdict.text
    worse = judge({"ergas": 2.0, "sam": 2.5}, {"ergas": 1.5})
    assert worse.grade == "poor" and "plain enlargement" in worse.headline
    assert judge({"ergas": nan, "sam": nan}, reference=True).grade == ""


def test_reference_winner_has_lowest_ergas_and_ties_go_to_sam():
    rows = [
        Candidate("a", "A", {"ergas": 2.0, "sam": 3.0}),
        Candidate("b", "B", {"ergas": 2.01, "sam": 2.0}),
        Candidate("c", "C", {"ergas": 2.5, "sam": 1.0}),
        Candidate("d", "D", {"ergas": nan, "sam": 0.1}),
    ]
    verdict = judge_all(rows, True)
    assert verdict.winner == "b" and "practically equal" in verdict.headline
    assert judge_all([rows[0], rows[2]], True).winner == "a"
    assert judge_all(rows[3:], True).winner == ""


def test_reference_winner_may_be_plain_enlargement():
    rows = [
        Candidate("exp", "EXP", {"ergas": 1.0}, baseline=True),
        Candidate("a", "A", {"ergas": 2}),
    ]
    verdict = judge_all(rows, True)
    assert verdict.winner == "exp" and "No method beats" in verdict.headline


def test_without_reference_ranks_are_summed_and_exp_cannot_win():
    verdict = judge_all(candidates(), False)
    assert verdict.winner == "gsa"
    assert rank_sums(candidates()) == {"gsa": 1 + 1.5 + 1, "brovey": 2 + 1.5 + 2}
    assert "lowest sum of the three ranks wins" in verdict.rule
    broken = Candidate("x", "X", scores(r_ergas=nan, d_rho=nan, hqnr=nan))
    assert "x" not in rank_sums((*candidates(), broken))


def test_a_close_lead_is_called_close():
    rows = [
        Candidate("a", "A", scores(r_ergas=1.0, d_rho=0.2)),
        Candidate("b", "B", scores(r_ergas=1.1, d_rho=0.1)),
    ]
    assert "share the lead" in judge_all(rows, False).headline


# --- views ----------------------------------------------------------------------------------------


def test_crops_are_where_the_detail_is():
    pan, ms, fused = sources()
    views = collect_views(pan, ms, fused, titles={"gsa": "GSA"})
    detail = views.places[0]
    assert detail.title == "Most detail" and "columns 512–639, rows 128–255" in detail.where
    assert "centre 500288.0, 4599904.0" in detail.where
    assert [p.caption for p in detail.pictures] == ["PAN", "MS", "GSA", "exp"]
    assert [p.pixels.shape for p in detail.pictures] == [(1, 256, 256)] + 3 * [(3, 256, 256)]
    assert len({place.where for place in views.places}) == 3
    assert views.rgb == "Red, Green, Blue"


def test_the_ms_crop_shows_its_real_pixels():
    pan, ms, fused = sources()
    picture = collect_views(pan, ms, fused).places[0].pictures[1].pixels
    block = picture.reshape(3, 32, 8, 32, 8)
    assert (block == block[:, :, :1, :, :1]).all()
    assert picture.min() == 0 and picture.max() == 255


def test_most_change_is_where_an_image_leaves_the_ms():
    pan, ms, fused = sources()
    fused["gsa"].values[:, 400:500, 10:120] += 300
    place = collect_views(pan, ms, fused).places[1]
    assert place.title == "Most change" and "columns 0–127, rows 384–511" in place.where


def test_largest_error_against_a_reference():
    pan, ms, fused = sources()
    reference = Memory(fused["gsa"].values.copy(), PAN_GRID)
    fused["gsa"].values[:, 400:500, 10:120] += 300
    views = collect_views(pan, ms, fused, reference)
    assert views.places[1].title == "Largest error"
    assert "columns 0–127, rows 384–511" in views.places[1].where
    assert views.places[1].pictures[2].caption == "Reference"
    assert [layer.title for layer in views.maps] == ["Error", "Spectral angle"]
    scaled = 100 * 300 / reference.values.mean()  # one band's error in per cent, roughly
    assert views.maps[0].summaries[0][0] == pytest.approx(scaled * 11000 / 768**2, rel=0.2)
    assert set(views.histograms[0].counts) == {"ms", "reference", "gsa", "exp"}


def test_histograms_hold_every_pixel():
    pan, ms, fused = sources(700)
    for histogram in collect_views(pan, ms, fused).histograms:
        assert sum(histogram.counts["ms"]) == 175**2
        assert sum(histogram.counts["gsa"]) == sum(histogram.counts["exp"]) == 700**2
        assert histogram.low < histogram.high


def test_invalid_pixels_are_left_out():
    pan, ms, fused = sources(256)
    valid = np.ones((256, 256), bool)
    valid[:64] = False
    fused["gsa"].valid, fused["gsa"].values[:, :64] = valid, 60000
    views = collect_views(pan, ms, {"gsa": fused["gsa"]})
    assert sum(views.histograms[0].counts["gsa"]) == 192 * 256
    alpha = views.maps[0].pictures[0].pixels[3]
    assert (alpha[:16] == 0).all() and (alpha[20:] == 255).all()
    assert views.maps[0].summaries[0][1] < 5


def test_only_windows_are_read():
    pan, ms, fused = sources(2048)
    collect_views(pan, ms, fused)
    for source in (pan, *fused.values()):
        assert source.largest <= (512 + 64) ** 2 and source.reads > 16


def test_a_window_of_the_pan_grid_and_an_ms_with_another_corner_are_tied_by_position():
    truth, pan, ms = scene(768)
    moved = (PAN_GRID[0] + 128 * 0.5, 0.5, 0.0, PAN_GRID[3] - 64 * 0.5, 0.0, -0.5)
    part = Memory(np.ascontiguousarray(truth[:, 64:576, 128:640]), moved)
    views = collect_views(Memory(pan, PAN_GRID), Memory(ms, MS_GRID), {"gsa": part})
    assert views.maps[0].summaries[0][0] < 1
    assert sum(views.histograms[0].counts["ms"]) == 128 * 128
    no_place = collect_views(Memory(pan), Memory(ms), {"gsa": Memory(truth)})
    assert no_place.maps[0].summaries[0][0] < 1
    assert Tie.between(part.info, Memory(pan, PAN_GRID).info) == Tie(1, 128, 1, 64)


def test_a_ratio_that_is_not_an_integer_and_a_single_band():
    truth, pan, _ = scene(300, bands=1)
    ms = np.full((1, 120, 120), 600, "float32")
    wide = (500000.0, 1.25, 0.0, 4600000.0, 0.0, -1.25)
    views = collect_views(Memory(pan, PAN_GRID), Memory(ms, wide), {"gsa": Memory(truth, PAN_GRID)})
    assert [layer.unit for layer in views.maps] == ["%"]
    assert sum(views.histograms[0].counts["ms"]) == 120**2
    assert views.places[0].pictures[2].pixels.shape[0] == 1


def test_a_tiny_or_empty_image_is_no_error():
    pan, ms, fused = sources(16)
    assert collect_views(pan, ms, fused).places
    fused["gsa"].valid = np.zeros((16, 16), bool)
    views = collect_views(pan, ms, {"gsa": fused["gsa"]})
    assert views.maps == () and sum(views.histograms[0].counts["gsa"]) == 0
    assert render_report(a_report(views=views), png)


def test_cancel_stops_the_survey():
    class Stop(Progress):
        def cancelled(self):
            return True

    with pytest.raises(Cancelled):
        collect_views(*sources(256), progress=Stop())


def test_degrade_has_the_gain_asked_for():
    sigma = gaussian_sigma(0.3) * RATIO
    x = np.arange(256) + 0.5
    wave = np.cos(2 * np.pi * x / (2 * RATIO))[None, None, :] * np.ones((1, 256, 1))
    centres = np.arange(64) * RATIO + 2.0 + 2.0  # on the crests of the wave
    small, valid = degrade(
        wave, np.ones((256, 256), bool), (x, x), (centres[:-2], x[::4]), [(sigma, sigma)]
    )
    assert valid.all()
    assert np.abs(small[0, 20:40, 20:40]).max() == pytest.approx(0.3, abs=0.01)


def test_true_colour_bands():
    info = sources(64)[1].info
    assert true_colour(info) == (2, 1, 0)
    assert true_colour(info, ("red", "green", "blue", "nir")) == (0, 1, 2)
    eight = replace(info, bands=8 * (BandInfo("uint16"),))
    assert true_colour(eight) == (4, 2, 1)
    colours = [BandInfo("uint8", color=c) for c in ("undefined", "red", "green", "blue")]
    assert true_colour(replace(info, bands=tuple(colours))) == (1, 2, 3)
    for names in (("R", "G", "B", "NIR"), ("Band 4 (Red)", "green", "BLUE", "Red Edge")):
        named = tuple(BandInfo("uint16", name=name) for name in names)
        assert true_colour(replace(info, bands=named)) == (0, 1, 2)
    assert true_colour(replace(info, bands=2 * (BandInfo("uint16"),))) == (0,)
    assert band_names(eight, ("coastal",))[:2] == ("Coastal", "Band 2")
    assert colour_ramp(np.array([0.0, 1.0])).T.tolist() == [[0, 0, 4], [252, 253, 191]]


def test_real_files_through_both_backends(backend, tmp_path):
    truth, pan, ms = scene(256)
    crs = backend.crs_wkt("EPSG:32633")
    opened = []
    for name, values, grid in (("pan", pan, PAN_GRID), ("ms", ms, MS_GRID), ("f", truth, PAN_GRID)):
        height, width = values.shape[1:]
        bands = tuple(BandInfo("uint16") for _ in values)
        writer = backend.create(str(tmp_path / name), OutputSpec(width, height, bands, crs, grid))
        writer.write(Window(0, 0, width, height), values)
        writer.close()
        opened.append(open_source(RasterSource.of(str(tmp_path / name)), backend, name))
    views = collect_views(opened[0], opened[1], {"gsa": opened[2]})
    memory = collect_views(
        Memory(pan, PAN_GRID), Memory(ms, MS_GRID), {"gsa": Memory(truth, PAN_GRID)}
    )
    assert views.histograms == memory.histograms
    assert [p.where for p in views.places] == [p.where for p in memory.places]
    html = render_report(a_report(views=views), backend.encode_png)
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert len(images) == 3 * 3 + 2 * 2  # three places of three, two maps, each with its legend
    assert all(base64.b64decode(image).startswith(b"\x89PNG\r\n") for image in images)


# --- the page -------------------------------------------------------------------------------------


class _Check(HTMLParser):
    """Balanced tags, and everything that could be loaded."""

    void = {"meta", "img", "br", "rect", "path", "line", "link", "stop"}

    def __init__(self):
        super().__init__()
        self.open, self.loads, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in self.void, "not closed in HTML"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def views():
    return collect_views(*sources(256))


def test_the_page_stands_alone(views):
    html = render_report(a_report(views=views), png)
    check = _Check()
    check.feed(html)
    assert check.open == []
    assert check.loads and all(item.startswith("data:image/png;base64,") for item in check.loads)
    assert not {"script", "link", "iframe", "object"} & check.tags
    assert not re.search(r"https?://|@import|url\(", html)
    assert "prefers-color-scheme: dark" in html and "@media print" in html


@pytest.mark.parametrize("kind", ["assess", "compare"])
def test_the_page_holds_every_figure_and_number(kind):
    html = render_report(a_report(kind=kind), png)
    text = plain_text(html)
    for candidate in candidates():
        for key, value in candidate.scores.items():
            assert format_score(key, value, unit=False) in text
            assert FIGURES[key].label in text and FIGURES[key].meaning in text
    for words in ("HQNR can be gamed", "Shift 0.1 px.", "pan.tif", "GeoEye-1", "0.1.0"):
        assert words in text
    assert a_report().verdict.headline in text and a_report().verdict.rule in text
    assert "▼" in text and "▲" in text


def test_the_winner_and_the_best_of_each_column_stand_out():
    html = render_report(a_report(), png)
    assert len(re.findall(r'<tr class="winner">', html)) == 1
    row = re.search(r'<tr class="winner">.*?</tr>', html, re.S).group()
    assert "GSA" in row and '<b class="best">0.150</b>' in row
    assert "shorter is better" in html and html.count('<svg class="bars"') == len(NO_REFERENCE)


def test_names_cannot_break_the_page():
    nasty = '<script>alert("x")</script>&\'"'
    found = tuple(replace(c, title=nasty, missing={"r_q2n": nasty}) for c in candidates())
    found = tuple(replace(c, scores={**c.scores, "r_q2n": nan}) for c in found)
    report = a_report(
        title=nasty, candidates=found, notes=(nasty,), inputs=((nasty, nasty),),
        verdict=Verdict(nasty, "good", winner="gsa"),
    )  # fmt: skip
    html = render_report(report, png)
    assert "<script" not in html and "alert(&#34;x&#34;)" in html
    _Check().feed(html)


def test_a_score_that_is_undefined_is_a_dash_with_its_reason():
    one = Candidate("f", "f.tif", scores(r_q2n=nan), missing={"r_q2n": "the MS is under 32 pixels"})
    html = render_report(a_report(kind="assess", candidates=(one,), verdict=judge(one.scores)), png)
    assert "R-Q2n: the MS is under 32 pixels." in plain_text(html)
    assert 'title="the MS is under 32 pixels"' in html
    assert "nan" not in plain_text(html).lower().split()
    assert bar_chart("r_q2n", (one,)) is None


def test_bars_are_distances_from_the_ideal():
    chart = bar_chart("hqnr", candidates())
    assert chart.bars[2].length == max(bar.length for bar in chart.bars)
    assert [bar.style for bar in chart.bars] == ["best", "best", "other"]
    assert bar_chart("psnr", [Candidate("a", "A", {"psnr": 30.0})]) is None


def test_the_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "r.html"
    assert write_report(str(target), a_report(), png) == str(target)
    before = target.read_bytes()
    assert before.startswith(b"<!DOCTYPE html>") and before.rstrip().endswith(b"</html>")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(WhetstoneError, match="could not be written") as caught:
        write_report(str(target), a_report(title="other"), png)
    assert caught.value.code == "OUT_FOLDER" and caught.value.hint
    assert target.read_bytes() == before and os.listdir(tmp_path) == ["r.html"]


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WhetstoneError) as caught:
        write_report(str(tmp_path / "r.html"), a_report(), png)
    assert caught.value.code == "DISK_FULL" and os.listdir(tmp_path) == []


def test_bad_places_are_refused_in_words(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere" / "r.html"):
        with pytest.raises(WhetstoneError) as caught:
            write_report(str(place), a_report(), png)
        assert caught.value.code == "OUT_FOLDER" and caught.value.hint
