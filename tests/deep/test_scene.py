"""What is promised of every fused image (design §5), for SSDiff on whole scenes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from models import SIDE, make_model, write_model
from scene_jobs import StopAt, bounds, killed
from scenes import LEFT, PIXEL, TOP, Ground, header, make_pair, read, source, write
from whetstone.engine import Cancelled, Progress, WhetstoneError, run
from whetstone.engine.deep import device as machine
from whetstone.engine.deep import scene as scene_module
from whetstone.engine.deep.inputs import Grid, read_inputs, scale_of
from whetstone.engine.deep.sampling import Settings
from whetstone.engine.deep.scene import SceneSampler
from whetstone.engine.fields import WindowFields
from whetstone.engine.mtf import product_kernel
from whetstone.engine.pair import open_pair
from whetstone.engine.raster import BandInfo
from whetstone.engine.types import Window

FULL_SCALE = {"kind": "full_scale", "value": 2047.0}


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


def job_of(pair, model, out, **more):
    words = {"model": model, "device": "cpu", "dtype": "float32", "threads": 1, **more}
    return pair.job(out, "ssdiff", **words)


@pytest.fixture(scope="session")
def whole(tmp_path_factory, backend, pair, model):
    """The whole scene, (B, h, w) float32."""
    out = tmp_path_factory.mktemp("whole") / "fused.tif"
    run(job_of(pair, model, out))
    return read(backend, out)[0]


@pytest.fixture(scope="session")
def consistent(tmp_path_factory, backend, pair, model):
    """The whole scene with the correction."""
    out = tmp_path_factory.mktemp("consistent") / "fused.tif"
    run(job_of(pair, model, out, consistency=True))
    return read(backend, out)[0]


# -- geometry and radiometry ----------------------------------------------------------------------


def test_the_output_lies_on_the_pan_grid_and_keeps_the_header_of_the_ms(
    tmp_path, backend, pair, model
):
    out = tmp_path / "fused.tif"
    result = run(replace(job_of(pair, model, out), dtype=None))
    info, pan, ms = (header(backend, path) for path in (out, pair.pan, pair.ms))
    assert (info.width, info.height, info.transform) == (pan.width, pan.height, pan.transform)
    assert backend.same_crs(info.crs, pan.crs)
    assert [band.dtype for band in info.bands] == [band.dtype for band in ms.bands]
    assert (result.model, result.method) == (model, "ssdiff")
    assert info.tags["WHETSTONE_MODEL"] == "tiny"
    assert len(info.tags["WHETSTONE_MODEL_SHA256"]) == 64


def test_the_image_is_lms_plus_a_small_residual(backend, pair, whole):
    residual = whole - pair.truth
    assert whole.shape == (4, 152, 128)
    assert 5 < residual.std() < 400
    assert np.isfinite(whole).all()


def test_a_zero_network_gives_lms(tmp_path, backend, pair):
    path = tmp_path / "zero.safetensors"
    from models import make_card
    from whetstone.engine.deep.ssdiff import SSDiff
    from whetstone.engine.deep.weights import save_model

    network = SSDiff(4, share_resample=True)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    save_model(path, network, make_card())
    run(job_of(pair, str(path), tmp_path / "a.tif"))
    run(replace(pair.job(tmp_path / "b.tif", "exp"), dtype="float32"))
    ours, exp = (read(backend, tmp_path / f"{name}.tif")[0] for name in "ab")
    np.testing.assert_allclose(ours, exp, rtol=1e-5)


@pytest.mark.parametrize(("ratio", "phase"), [(4.0, 1.5), (4.0, 2.0), (4.0, 0.0), (3.97, 1.3)])
def test_inputs_are_those_of_the_geometry(tmp_path, backend, ratio, phase):
    made = make_pair(backend, tmp_path, (160, 160), ratio=ratio, phase=phase)
    job = made.job(tmp_path / "x.tif")
    window = Window(48, 32, 64, 64)
    with open_pair(job.pan, job.ms, sensor="generic") as opened:
        got = read_inputs(opened, window, Grid(4, 1.5), 64)
        np.testing.assert_array_equal(got.lms, WindowFields(opened, window).lms)
        near = Ground(4).seen(*(s + 1.5 + 4 * np.arange(16) for s in (48, 32)), ratio)
        assert got.ms.shape == (4, 16, 16)
        assert np.abs(got.ms - near).mean() < 6
        if (ratio, phase) == (4.0, 1.5):
            ms = opened.read_ms(Window(12, 8, 16, 16))[0]
            np.testing.assert_array_equal(got.ms, ms)


@pytest.mark.parametrize(("kind", "haze"), [("percentile", 0.0), ("standard", 300.0)])
def test_the_scale_of_a_scene_makes_units_and_haze_harmless(tmp_path, backend, kind, haze):
    model = write_model(tmp_path, normalisation={"kind": kind, "value": 99.5})
    images = []
    for name, gain, offset in (("one", 1.0, 0.0), ("ten", 10.0, haze)):
        ground = Ground(4)
        ground.amplitude, ground.level = ground.amplitude * gain, ground.level * gain + offset
        made = make_pair(backend, tmp_path / name, (96, 96), dtype="float32", ground=ground)
        run(job_of(made, model, tmp_path / f"{name}.tif"))
        images.append(read(backend, tmp_path / f"{name}.tif")[0])
    np.testing.assert_allclose(images[1], 10 * images[0] + haze, rtol=1e-3, atol=0.5)


def test_the_toolbox_protocol_is_phase_2(tmp_path, backend, model):
    made = make_pair(backend, tmp_path, (64, 64), phase=2.0)
    run(job_of(made, model, tmp_path / "p.tif"))
    run(job_of(made, model, tmp_path / "t.tif", protocol="toolbox"))
    ours, toolbox = (read(backend, tmp_path / f"{name}.tif")[0] for name in "pt")
    np.testing.assert_allclose(toolbox, ours, atol=0.05)


@pytest.mark.parametrize("size", [(3, 5), (31, 8), (32, 33), (200, 12)])
def test_scenes_smaller_than_a_window(tmp_path, backend, model, size):
    made = make_pair(backend, tmp_path, size, ms_size=tuple(-(-n // 4) for n in size))
    run(job_of(made, model, tmp_path / "o.tif", consistency=True))
    values = read(backend, tmp_path / "o.tif")[0]
    assert values.shape == (4, size[1], size[0])
    assert np.abs(values - made.truth).mean() < 200


@pytest.mark.parametrize("ratio", [2, 3])
def test_models_of_other_ratios(tmp_path, backend, ratio):
    made = make_pair(backend, tmp_path, (96, 90), ratio=float(ratio))
    model = write_model(tmp_path, ratio=ratio)
    run(job_of(made, model, tmp_path / "out.tif"))
    assert read(backend, tmp_path / "out.tif")[0].shape == (4, 90, 96)


@pytest.mark.parametrize("bands", [3, 6, 7])
def test_other_band_counts_go_through_in_groups(tmp_path, backend, model, bands):
    made = make_pair(backend, tmp_path, (64, 64), bands=bands)
    result = run(job_of(made, model, tmp_path / "out.tif"))
    values, _ = read(backend, tmp_path / "out.tif")
    assert values.shape == (bands, 64, 64)
    assert any("groups" in note for note in result.notes)
    error = np.abs(values - made.truth).mean(axis=(1, 2))
    assert (error < 200).all()


# -- one answer -----------------------------------------------------------------------------------


def test_batches_of_1_and_64_agree(tmp_path, backend, pair, model, whole):
    for batch in (1, 64):
        run(job_of(pair, model, tmp_path / f"{batch}.tif", batch=batch))
        got = read(backend, tmp_path / f"{batch}.tif")[0]
        assert np.abs(got - whole).max() / 2047 < 1e-5


@pytest.mark.parametrize(
    "part", [(40, 50, 33, 41), (0, 0, 20, 20), (90, 120, 38, 32), (77, 0, 1, 152)]
)
@pytest.mark.parametrize("consistency", [False, True])
def test_a_part_is_the_part_of_the_whole(
    tmp_path, backend, pair, model, whole, consistent, part, consistency
):
    col, row, width, height = part
    run(job_of(pair, model, tmp_path / "p.tif", bounds=bounds(*part), consistency=consistency))
    got = read(backend, tmp_path / "p.tif")[0]
    want = consistent if consistency else whole
    want = want[:, row : row + height, col : col + width]
    assert np.abs(got - want).max() / 2047 < 1e-5


def test_threads_do_not_matter(tmp_path, backend, pair, model, whole):
    run(job_of(pair, model, tmp_path / "t.tif", threads=2))
    assert np.abs(read(backend, tmp_path / "t.tif")[0] - whole).max() / 2047 < 1e-5


def test_seeds_matter_a_little_and_repeat(tmp_path, backend, pair, model, whole):
    images = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        run(job_of(pair, model, tmp_path / f"{name}.tif", seed=seed))
        images.append(read(backend, tmp_path / f"{name}.tif")[0])
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])
    assert not np.array_equal(images[0], whole)


def test_cancel_leaves_nothing(tmp_path, pair, model):
    with pytest.raises(Cancelled):
        run(job_of(pair, model, tmp_path / "c.tif"), StopAt(0.5))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("consistency", [False, True])
def test_a_killed_run_is_resumed_to_the_same_image(tmp_path, backend, pair, model, consistency):
    if consistency:  # its rows come later, so that a taller scene is needed
        pair = make_pair(backend, tmp_path / "tall", (48, 352))
    height = header(backend, pair.pan).height
    more = {"samples": 2, "consistency": consistency, "steps": 1}
    job = job_of(pair, model, tmp_path / "r.tif", uncertainty=str(tmp_path / "u.tif"), **more)
    assert 0 < killed(job) < height
    watch = StopAt(2)
    run(job, watch)
    assert any("Resuming" in text for text in watch.said)
    straight = replace(job, out=str(tmp_path / "s.tif"), uncertainty=str(tmp_path / "v.tif"))
    run(straight)
    for a, b in (("r", "s"), ("u", "v")):
        got, want = (read(backend, tmp_path / f"{name}.tif")[0] for name in (a, b))
        assert np.array_equal(got, want)
    assert sorted(p.name for p in tmp_path.glob("*.*")) == ["r.tif", "s.tif", "u.tif", "v.tif"]


def test_another_model_does_not_resume(tmp_path, pair, model):
    job = job_of(pair, model, tmp_path / "r.tif")
    (tmp_path / "other").mkdir()
    other = write_model(tmp_path / "other", steps=3)
    assert killed(job) > 0
    watch = StopAt(2)
    run(replace(job, model=other), watch)
    assert not any("Resuming" in text for text in watch.said)


def test_an_image_makes_itself_again(tmp_path, backend, pair, model, whole):
    from whetstone.engine.cli import main

    run(job_of(pair, model, tmp_path / "a.tif"))
    assert main(["run", str(tmp_path / "a.tif"), "--out", str(tmp_path / "b.tif"), "--json"]) == 0
    assert np.array_equal(read(backend, tmp_path / "b.tif")[0], whole)


# -- no seams -------------------------------------------------------------------------------------


def test_no_seam_at_the_borders_of_windows(tmp_path, backend):
    made = make_pair(backend, tmp_path, (512, 384))
    model = write_model(tmp_path)
    run(job_of(made, model, tmp_path / "o.tif", steps=1))
    image = read(backend, tmp_path / "o.tif")[0].astype(float)
    run(replace(made.job(tmp_path / "e.tif", "exp"), dtype="float32"))
    residual = image - read(backend, tmp_path / "e.tif")[0]
    stride, overlap = SIDE - SIDE // 4, SIDE // 4
    for axis in (1, 2):
        jump = np.abs(np.diff(residual, axis=axis)).mean(axis=(0, 3 - axis))
        where = np.arange(1, len(jump) + 1)  # the pixel after the jump
        # random weights leave a pattern of the ratio's period: compare pixels of one phase
        where = where[(where > SIDE) & (where < len(jump) - SIDE) & (where % 4 == 0)]
        border = (where % stride == 0) | (where % stride == overlap)
        interior = where % stride > overlap
        at, off = jump[where[border] - 1].mean(), jump[where[interior] - 1].mean()
        assert abs(at / off - 1) < 0.05, (at, off)


def test_ms_that_covers_a_part_of_the_pan(tmp_path, backend, model):
    """The common area begins inside the PAN raster; the grid of windows stays the raster's."""
    ground = Ground(4)
    full = make_pair(backend, tmp_path / "full", (160, 128), ground=ground)
    job = job_of(full, model, tmp_path / "a.tif")
    run(job)
    cut = str(tmp_path / "ms.tif")
    values, _ = read(backend, full.ms)
    x, y = LEFT + 4 * PIXEL * 8, TOP - 4 * PIXEL * 5
    grid = (x, 4 * PIXEL, 0.0, y, 0.0, -4 * PIXEL)
    write(backend, cut, values[:, 5:, 8:], grid)
    for consistency in (False, True):
        part = replace(job, ms=source(cut), out=str(tmp_path / "b.tif"), consistency=consistency)
        result = run(part)
        got, want = (read(backend, tmp_path / f"{n}.tif")[0] for n in "ba")
        row, col = 128 - result.height, 160 - result.width
        assert 0 < row <= 20
        assert 0 < col <= 32
        inner = np.abs(got - want[:, row:, col:])[:, 60:, 60:]
        assert consistency or inner.max() < 0.02
        assert np.abs(got - full.truth[:, row:, col:]).mean() < 150


# -- several samples ------------------------------------------------------------------------------


def test_samples_are_averaged_and_their_deviation_written(tmp_path, backend, pair, model):
    sampler_of = {}
    job = job_of(pair, model, tmp_path / "m.tif", samples=3, uncertainty=str(tmp_path / "u.tif"))
    with open_pair(job.pan, job.ms, sensor="generic") as opened:
        tiny = make_model()
        for samples in (1, 3):
            sampler_of[samples] = SceneSampler(tiny, opened, Settings(samples=samples))
        scale = scale_of(FULL_SCALE, np.empty(0), np.empty((4, 0)))
        field = sampler_of[1].field
        draws = []
        for draw in range(3):
            one = sampler_of[1]
            one.field = type(
                "Shifted", (), {"read": lambda _s, w, b, _d, i=0, d=draw: field.read(w, b, d, i)}
            )()
            strips = list(one.strips(opened.scene, scale, 0, Progress()))
            draws.append(np.concatenate([s.image for s in strips], axis=1))
    result = run(job)
    mean, deviation = (read(backend, tmp_path / f"{n}.tif")[0] for n in "mu")
    np.testing.assert_allclose(mean, np.mean(draws, axis=0), rtol=1e-5, atol=0.02)
    np.testing.assert_allclose(deviation, np.std(draws, axis=0, ddof=1), rtol=1e-3, atol=0.02)
    assert result.uncertainty == str(tmp_path / "u.tif")
    info = header(backend, tmp_path / "u.tif")
    assert info.bands[1].name == "standard deviation of band 2"
    assert deviation.min() >= 0


def test_uncertainty_of_one_sample_is_refused(tmp_path, pair, model):
    with pytest.raises(WhetstoneError, match="several samples"):
        run(job_of(pair, model, tmp_path / "m.tif", uncertainty=str(tmp_path / "u.tif")))
    assert not list(tmp_path.iterdir())


# -- nodata ---------------------------------------------------------------------------------------


def spoil_corner(pan, ms):
    pan[0, :70, :50] = 0
    ms[:, 30:, 25:] = 0


def test_nodata_stays_nodata_and_pollutes_nothing(tmp_path, backend, model):
    words = {"pan_band": {"nodata": 0.0}, "ms_band": {"nodata": 0.0}}
    made = make_pair(backend, tmp_path / "bad", (128, 128), spoil=spoil_corner, **words)
    clean = make_pair(backend, tmp_path / "good", (128, 128))
    run(replace(job_of(made, model, tmp_path / "bad.tif"), dtype=None))
    run(replace(job_of(clean, model, tmp_path / "good.tif"), dtype=None))
    got, valid = read(backend, tmp_path / "bad.tif")
    want, _ = read(backend, tmp_path / "good.tif")
    assert not valid[:70, :50].any()
    assert not valid[122:, 102:].any()
    assert valid[75:115, 55:95].all()
    assert (got[:, ~valid] == 0).all()
    far = np.s_[:, 8:24, 100:120]  # no window there holds an invalid pixel
    np.testing.assert_array_equal(got[far], want[far])
    near = np.s_[:, 72:118, 0:90]
    assert np.abs(got[near].astype(float) - want[near])[:, valid[72:118, 0:90]].mean() < 40


def test_a_scene_without_valid_pixels_is_refused(tmp_path, backend, model):
    def spoil(pan, ms):
        pan[:] = 0

    made = make_pair(backend, tmp_path / "p", (64, 64), spoil=spoil, pan_band={"nodata": 0.0})
    with pytest.raises(WhetstoneError, match="No valid pixels"):
        run(job_of(made, model, tmp_path / "o.tif"))
    assert not (tmp_path / "o.tif").exists()


# -- consistency ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "phase"), [(4.0, None), (4.0, 2.0), (3.97, 1.3)])
def test_consistency_gives_the_measured_ms_back(tmp_path, backend, model, ratio, phase):
    made = make_pair(backend, tmp_path, (200, 180), ratio=ratio, phase=phase)
    before, after = (
        read(
            backend,
            run(replace(job_of(made, model, tmp_path / f"{c}.tif"), consistency=c, dtype=None)).out,
        )[0]
        for c in (False, True)
    )
    job = made.job(tmp_path / "x.tif")
    with open_pair(job.pan, job.ms, sensor="generic") as opened:
        geometry = opened.geometry
        kernel = product_kernel(0.3, ratio)
        from whetstone.engine.interpolation import filter_taps, resample

        side = int(180 // ratio) - 14
        places = [geometry.pan_position(axis, 7 + np.arange(side)) for axis in (1, 0)]
        taps = [filter_taps(where, kernel) for where in places]
        ms = opened.read_ms(Window(7, 7, side, side))[0]
        rms = [
            float(np.sqrt(np.square(resample(x.astype(float), *taps) - ms).mean()))
            for x in (before, after)
        ]
    assert rms[0] > 5
    assert rms[1] < 0.5


# -- memory, devices ------------------------------------------------------------------------------


def test_out_of_memory_halves_the_batch_and_goes_on(
    tmp_path, backend, pair, model, whole, monkeypatch
):
    sample, sizes = scene_module.sample, []

    def full_at_three(model, batch, noise, **more):
        if len(batch.pan) > 2:  # the forecast, too: it is left out then
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        sizes.append(len(batch.pan))
        return sample(model, batch, noise, **more)

    monkeypatch.setattr(scene_module, "sample", full_at_three)
    watch = StopAt(2)
    run(job_of(pair, model, tmp_path / "o.tif", batch=16), watch)
    assert max(sizes) <= 2 and not [text for text in watch.said if "on disk" in text]
    said = [text for text in watch.said if "memory is full" in text]
    assert [text.split()[-1] for text in said] == ["7.", "3.", "1."]
    got = read(backend, tmp_path / "o.tif")[0]
    assert np.abs(got - whole).max() / 2047 < 1e-5


def test_a_device_too_small_for_one_window_is_refused(tmp_path, pair, model, monkeypatch):
    def full(model, batch, noise, **more):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(scene_module, "sample", full)
    with pytest.raises(WhetstoneError, match="does not fit into the memory"):
        run(job_of(pair, model, tmp_path / "o.tif"))
    assert not list(tmp_path.iterdir())


def test_other_errors_of_torch_are_not_taken_for_memory(tmp_path, pair, model, monkeypatch):
    def broken(model, batch, noise, **more):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(scene_module, "sample", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        run(job_of(pair, model, tmp_path / "o.tif"))


MEMORY = """
import resource, sys
from whetstone.engine import job_from_json, run
run(job_from_json(sys.stdin.read()))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_height_of_a_scene(tmp_path, backend):
    from whetstone.engine import job_to_json

    model, peaks = write_model(tmp_path), []
    for height in (256, 1024):
        made = make_pair(backend, tmp_path / str(height), (256, height), ground=Ground(4, waves=20))
        job = job_of(made, model, tmp_path / "o.tif", steps=1)
        done = subprocess.run(
            [sys.executable, "-c", MEMORY], input=job_to_json(job), text=True, capture_output=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.1 * peaks[0]


def test_devices_that_are_not_there_are_refused():
    for name in ("cuda:7", "gpu", "mps:3"):
        with pytest.raises(WhetstoneError, match="There is no device"):
            machine.pick_device(name)
    assert machine.pick_device("cpu").type == "cpu"
    assert machine.pick_device("auto").type in ("cpu", "cuda", "mps")


def test_bf16_is_taken_by_itself_only_where_it_keeps_60_db(monkeypatch):
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    for error, want in ((1e-4, "bf16"), (1e-2, "fp32")):
        offset = {"fp32": 0.0, "bf16": error}
        got, why = machine.pick_precision("auto", gpu, lambda p, o=offset: torch.full((9,), o[p]))
        assert got == want
        assert "dB" in why
    assert machine.pick_precision("auto", torch.device("cpu"), None)[0] == "fp32"
    assert machine.pick_precision("bf16", torch.device("cpu"), None)[0] == "bf16"


def test_bf16_keeps_60_db(tmp_path, backend, pair, model):
    for precision in ("fp32", "bf16"):
        job = job_of(pair, model, tmp_path / f"{precision}.tif", precision=precision, steps=1)
        run(job)
    exact, rough = (read(backend, tmp_path / f"{name}.tif")[0] for name in ("fp32", "bf16"))
    assert -10 * np.log10(np.square((exact - rough) / 2047).mean()) > 60


# -- what does not fit a model ---------------------------------------------------------------------


def test_images_brighter_than_the_full_scale_of_a_model_are_refused(tmp_path, backend):
    ground = Ground(4, level=6000.0)
    made = make_pair(backend, tmp_path / "p", (64, 64), ground=ground)
    model = write_model(tmp_path, limits=(0.0, 1.0))
    with pytest.raises(WhetstoneError, match="knows values up to 2047"):
        run(job_of(made, model, tmp_path / "o.tif"))
    assert not (tmp_path / "o.tif").exists()


def test_bands_in_another_order_reach_the_model_in_its_own(tmp_path, backend):
    """A model of B,G,R,NIR on a file of R,G,B,NIR gives what it gives on B,G,R,NIR."""
    roles = ("blue", "green", "red", "nir")
    model = write_model(tmp_path, roles=roles, start="zero", steps=1)  # noise would differ by band
    images = []
    for order in ((0, 1, 2, 3), (2, 1, 0, 3)):
        ground = Ground(4)
        ground.amplitude, ground.level = ground.amplitude[list(order)], ground.level[list(order)]
        ground.weights = ground.weights[list(order)]
        bands = [BandInfo("uint16", name=roles[i]) for i in order]
        folder = tmp_path / f"{order[0]}"
        made = make_pair(backend, folder, (64, 64), ground=ground, ms_band={"bands": bands})
        run(job_of(made, model, folder / "o.tif"))
        images.append(read(backend, folder / "o.tif")[0])
    np.testing.assert_allclose(images[1][[2, 1, 0, 3]], images[0], atol=0.01)


def test_replaying_elsewhere_leaves_the_first_files_alone(tmp_path, backend, pair, model):
    from whetstone.engine.cli import main

    first = tmp_path / "u.tif"
    run(job_of(pair, model, tmp_path / "a.tif", samples=2, uncertainty=str(first), steps=1))
    before = first.read_bytes()
    assert main(["run", str(tmp_path / "a.tif"), "--out", str(tmp_path / "b.tif"), "--json"]) == 0
    assert first.read_bytes() == before
    again = read(backend, tmp_path / "b_std.tif")[0]
    assert np.array_equal(again, read(backend, first)[0])


# -- samplers and refusals ------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["dpmpp-2m", "ddpm", "compat"])
def test_every_sampler_samples_a_scene(tmp_path, backend, pair, model, whole, sampler):
    run(job_of(pair, model, tmp_path / "s.tif", sampler=sampler))
    got = read(backend, tmp_path / "s.tif")[0]
    assert np.isfinite(got).all()
    assert 0 < np.abs(got - whole).mean() < 300


def test_one_step_starts_at_the_top_of_the_schedule(pair, monkeypatch):
    seen = []
    tiny = make_model()
    network = tiny.network
    monkeypatch.setattr(
        network, "forward", lambda *a, f=network.forward: (seen.append(a[4].tolist()), f(*a))[1]
    )
    job = pair.job("x.tif")
    with open_pair(job.pan, job.ms, sensor="generic") as opened:
        sampler = SceneSampler(tiny, opened, Settings(steps=1))
        scale = scale_of(FULL_SCALE, np.empty(0), np.empty((4, 0)))
        next(sampler.strips(opened.scene, scale, 0, Progress()))
    assert {t for batch in seen for t in batch} == {999.0}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"seed": -1}, "The seed is -1"),
        ({"steps": 301}, "301 steps cannot"),
        ({"sampler": "euler"}, "no sampler"),
        ({"samples": 0}, "0 samples"),
        ({"samples": 65}, "65 samples"),
        ({"device": "cuda:9"}, "no device"),
        ({"precision": "fp16"}, "no precision"),
    ],
)
def test_bad_options_are_refused_before_the_work(tmp_path, pair, model, more, text):
    job = replace(job_of(pair, model, tmp_path / "o.tif"), **more)
    with pytest.raises(WhetstoneError, match=text):
        run(job)
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_ratio_is_refused_before_the_work(tmp_path, backend, model):
    made = make_pair(backend, tmp_path / "p", (64, 64), ratio=2.0)
    with pytest.raises(WhetstoneError, match="ratio 4"):
        run(job_of(made, model, tmp_path / "o.tif"))


def test_deep_options_mean_nothing_to_classical_methods(tmp_path, pair, model):
    with pytest.raises(WhetstoneError, match="model, steps: that means nothing"):
        run(pair.job(tmp_path / "o.tif", "gsa", model=model, steps=4))


def test_uncertainty_and_image_must_be_two_files(tmp_path, pair, model):
    out = str(tmp_path / "o.tif")
    with pytest.raises(WhetstoneError, match="need two names"):
        run(job_of(pair, model, out, samples=2, uncertainty=out))


def test_comparing_with_classical_methods(tmp_path, pair, model):
    from whetstone.engine import CompareJob, RasterSource

    job = CompareJob(
        RasterSource.of(pair.pan),
        RasterSource.of(pair.ms),
        ("exp", "ssdiff"),
        str(tmp_path / "c"),
        sensor="generic",
        model=model,
        steps=1,
    )
    rows = run(job).rows
    assert [row["method"] for row in rows] == ["exp", "ssdiff"]
    assert all(np.isfinite(row["scores"]["hqnr"]) for row in rows)
