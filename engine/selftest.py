"""The self-test of an installation: libraries, projections, and a small fusion by a deep model."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

from . import deep, run
from .cards import Card
from .errors import WhetstoneError
from .jobs import DemoJob, FuseJob, RasterSource
from .raster import RasterInfo, backend, check_projections
from .types import BBox, Progress

#: Sides of the demo scene and of the part that is fused, in PAN pixels.
_SCENE, _SIDE = 128, 64


@dataclass(frozen=True)
class SelftestResult:
    """What works. Each of ``checks`` is ``{"name", "ok", "detail"}``; versions are "" if unknown.

    ``device`` is what "auto" computes on.
    """

    ok: bool
    checks: Tuple[Dict[str, Any], ...]
    python: str = ""
    torch: str = ""
    rasterio: str = ""
    gdal: str = ""
    proj: str = ""
    numpy: str = ""
    device: str = ""
    cuda: bool = False
    seconds: float = 0.0
    notes: Tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the command line shall say so by its exit status."""
        return not self.ok


def selftest(progress: Progress) -> SelftestResult:
    """Try everything that a deep fusion needs; nothing is left on disk."""
    started = time.monotonic()
    facts: dict[str, Any] = {"python": sys.version.split()[0]}
    checks: list[dict[str, Any]] = []
    acts: dict[str, Callable[[dict[str, Any]], str]] = {
        "rasterio": _rasterio,
        "proj": _projections,
        "torch": _torch,
        "fusion": _fusion,
    }
    for number, (name, act) in enumerate(acts.items()):
        progress.update(number / len(acts), f"checking {name}")
        try:
            checks.append({"name": name, "ok": True, "detail": act(facts)})
        except Exception as error:  # whatever is broken is what the test is there to find
            text = str(error) if isinstance(error, WhetstoneError) else f"{error!r}"
            checks.append({"name": name, "ok": False, "detail": " ".join(text.split())})
    progress.update(1.0, "done")
    facts["seconds"] = time.monotonic() - started
    return SelftestResult(all(row["ok"] for row in checks), tuple(checks), **facts)


def _rasterio(facts: dict[str, Any]) -> str:
    facts.update(backend("rasterio").versions())
    return "rasterio {rasterio}, GDAL {gdal}, PROJ {proj}, numpy {numpy}".format(**facts)


def _projections(facts: dict[str, Any]) -> str:
    check_projections()
    return "EPSG:32633 survives"


def _torch(facts: dict[str, Any]) -> str:
    machine = deep.part("device")
    device = machine.pick_device("auto")
    facts.update(
        torch=machine.torch.__version__,
        device=machine.version_text(device),
        cuda=device.type == "cuda",
    )
    return "torch {torch}, {device}".format(**facts)


def _fusion(facts: dict[str, Any]) -> str:
    """Fuse a demo scene by an untrained network: its values mean nothing, that it runs does."""
    with tempfile.TemporaryDirectory(prefix="whetstone-selftest-") as folder:
        scene = run(DemoJob(folder, size=_SCENE))
        weights, path = deep.part("weights"), Path(folder) / "selftest.safetensors"
        card = Card("selftest", "ssdiff", {"bands": 4, "ratio": 4}, 4, 4, limits=(None, None))
        weights.save_model(path, weights.build_network(card), card)
        job = FuseJob(
            RasterSource.of(scene.pan),
            RasterSource.of(scene.ms),
            os.path.join(folder, "fused.tif"),
            method="ssdiff",
            model=str(path),
            steps=1,
            bounds=_corner(_info(scene.pan)),
        )
        result = run(job)
        label = backend().crs_label(_info(result.out).crs)
    if not label.startswith("EPSG:"):
        raise WhetstoneError("PROJ_DB_CLASH", f"The CRS of the fused image is {label}.")
    return f"{_SIDE} x {_SIDE} pixels in {result.seconds:.1f} s, {label}"


def _info(path: str) -> RasterInfo:
    reader = backend().open(path)
    try:
        return reader.info
    finally:
        reader.close()


def _corner(info: RasterInfo) -> BBox | None:
    """The upper left part of a raster that is fused."""
    if info.transform is None:
        return None
    x0, dx, _, y0, _, dy = info.transform
    return x0, y0 + _SIDE * dy, x0 + _SIDE * dx, y0
