"""Our figures against the golden numbers of the public MATLAB toolboxes (``../shared/oracle``)."""

from __future__ import annotations

import numpy as np
import pytest
from whetstone.engine.interpolation import imresize, interp23
from whetstone.engine.jobs import AssessJob, RasterSource
from whetstone.engine.metrics.fused import _filtered
from whetstone.engine.metrics.no_reference import FullResolution, d_rho, reprojection
from whetstone.engine.metrics.q2n import q2n_map
from whetstone.engine.metrics.reference import ergas, q2n, sam, scc, ssim
from whetstone.engine.mtf import gaussian_mtf

pytestmark = pytest.mark.oracle
GAINS = (0.34, 0.32, 0.30, 0.22)
FULL = {
    "D_lambda_K": "d_lambda_k",
    "D_s": "d_s",
    "HQNR": "hqnr",
    "D_lambda": "d_lambda",
    "QNR": "qnr",
}


class Golden:
    """The archive, bands first, and the fused images that need no more than two lines."""

    def __init__(self, path):
        self.z = np.load(path, allow_pickle=False)
        self.gt, self.ms = self.image("qb/gt"), self.image("qb/ms_lr")
        self.pan = self.z["qb/pan"].astype(float)
        self.lms = interp23(self.ms, 4)
        self.pan_lms = interp23(imresize(self.pan, (64, 64)), 4)
        intensity = self.lms.mean(axis=0)
        matched = (self.pan - self.pan.mean()) * intensity.std(ddof=1) / self.pan.std(ddof=1)
        matched += intensity.mean()
        self.exact = {
            "gt": self.gt,
            "exp": self.lms,
            "brovey": self.lms * matched / (intensity + np.finfo(float).eps),
            "ihs": self.lms + matched - intensity,
        }

    def image(self, key):
        return self.z[key].transpose(2, 0, 1).astype(float)

    def score(self, method, figure):
        row = list(self.z["qb/methods"]).index(method)
        return self.z["qb/metrics"][row, list(self.z["metric_names"]).index(figure)]

    def repro(self, method, figure):
        row = list(self.z["repro_methods"]).index(method)
        return self.z["qb/repro_metrics"][row, list(self.z["repro_metric_names"]).index(figure)]

    def low(self, fused):
        return np.stack([_filtered(b, gaussian_mtf(g, 4)) for b, g in zip(fused, GAINS)])


@pytest.fixture(scope="module")
def golden(shared):
    path = shared / "oracle" / "classical_and_metrics_qb.npz"
    if not path.exists():
        pytest.skip(f"no {path}")
    return Golden(path)


@pytest.mark.parametrize("method", ["gt", "exp", "brovey", "ihs"])
@pytest.mark.parametrize("cut", ["", "_cut21"])
def test_figures_with_a_reference(golden, method, cut):
    part = slice(20, -21) if cut else slice(None)
    g, f = (x[:, part, part] for x in (golden.gt, golden.exact[method]))
    found = {"SAM": sam(g, f), "ERGAS": ergas(g, f, 4), "Q2n": q2n(g, f), "SCC": scc(g, f)}
    for name, value in found.items():
        assert value == pytest.approx(golden.score(method, name + cut), abs=1e-10), name


@pytest.mark.parametrize("method", ["gt", "exp", "brovey", "ihs"])
def test_figures_without_a_reference(golden, method):
    fused = golden.exact[method]
    figure = FullResolution(4)
    figure.add(fused, golden.pan, golden.lms, golden.pan_lms, golden.low(fused))
    for name, key in FULL.items():
        wanted = golden.score(method, name)
        assert figure.value()[key] == pytest.approx(wanted, abs=1e-10), name


def test_enlargement_has_no_spectral_distortion_at_all(golden):
    figure = FullResolution(4)
    figure.add(golden.lms, golden.pan, golden.lms, golden.pan_lms, golden.low(golden.lms))
    assert figure.value()["d_lambda"] == 0


@pytest.mark.parametrize("method", ["gs", "gsa", "bdsd_pc", "awlp", "mtf_glp_fs", "tv_dlpan"])
def test_figures_of_the_stored_float32_maps(golden, method):
    fused = golden.image(f"qb/full/{method}")
    figure = FullResolution(4)
    figure.add(fused, golden.pan, golden.lms, golden.pan_lms, golden.low(fused))
    found = {
        "SAM": sam(golden.gt, fused),
        "ERGAS": ergas(golden.gt, fused, 4),
        "Q2n": q2n(golden.gt, fused),
        "SCC": scc(golden.gt, fused),
        **{name: figure.value()[key] for name, key in FULL.items()},
    }
    for name, value in found.items():
        # float32 may round a few pixels the other way in Q2n
        assert value == pytest.approx(golden.score(method, name), abs=1e-6), name


def test_block_maps_and_overlapping_blocks(golden):
    assert np.allclose(q2n_map(golden.gt, golden.lms), golden.z["qb/q2n_map_exp"], atol=1e-12)
    gsa = golden.image("qb/full/gsa")
    assert np.allclose(q2n_map(golden.gt, gsa), golden.z["qb/q2n_map_gsa"], atol=1e-6)
    overlapping = q2n_map(golden.gt, gsa, step=16).mean()
    assert overlapping == pytest.approx(float(golden.z["qb/q2n_gsa_block32_shift16"]), abs=1e-6)


def test_ssim(golden):
    value = ssim(golden.gt[:1], golden.image("qb/full/gsa")[:1], 2047)
    assert value == pytest.approx(float(golden.z["qb/ssim_band1_gsa"]), abs=1e-8)


@pytest.mark.parametrize("method", ["gt", "exp", "brovey"])
def test_local_correlation_is_the_published_one(golden, method):
    value = d_rho(golden.exact[method], golden.pan, 4)
    assert value == pytest.approx(golden.repro(method, "D_rho_sigma4"), abs=1e-8)


@pytest.mark.parametrize("method", ["exp", "brovey"])
def test_reprojection_is_near_the_published_one(golden, method):
    """Near only: the published code normalises its filters to unit gain."""
    small = golden.low(golden.exact[method])[:, 2::4, 2::4]
    found = reprojection(golden.ms, small, 4)
    assert found["r_ergas"] == pytest.approx(golden.repro(method, "R_ERGAS"), rel=0.01)
    assert found["r_sam"] == pytest.approx(golden.repro(method, "R_SAM"), rel=0.01)
    assert found["r_q2n"] == pytest.approx(golden.repro(method, "R_Q2n"), abs=1e-3)


@pytest.mark.parametrize(("method", "crop"), [("brovey", 0), ("ihs", 21)])
def test_through_files_and_the_assess_job(golden, method, crop, tmp_path):
    """The same numbers through GeoTIFFs, the job, and the toolbox protocol."""
    from whetstone.engine import run
    from whetstone.engine.raster import backend
    from whetstone.engine.raster.model import BandInfo, OutputSpec
    from whetstone.engine.types import Window

    library = backend()

    def write(name, image, dtype):
        bands = tuple(BandInfo(dtype) for _ in image)
        spec = OutputSpec(image.shape[2], image.shape[1], bands, "", None)
        writer = library.create(str(tmp_path / name), spec)
        writer.write(Window(0, 0, *image.shape[:0:-1]), image.astype(dtype))
        writer.close()
        return RasterSource.of(str(tmp_path / name))

    job = AssessJob(
        write("fused.tif", golden.exact[method], "float64"),
        write("pan.tif", golden.pan[None], "uint16"),
        write("ms.tif", golden.ms, "uint16"),
        write("gt.tif", golden.gt, "uint16"),
        sensor="qb",
        protocol="toolbox",
        crop=crop,
    )
    scores = run(job).scores
    cut = "_cut21" if crop else ""
    names = {"SAM": "sam", "ERGAS": "ergas", "Q2n": "q2n", "SCC": "scc"}
    for name, key in [*((n + cut, k) for n, k in names.items()), *FULL.items()]:
        assert scores[key] == pytest.approx(golden.score(method, name), abs=1e-9), name
