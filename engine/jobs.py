"""The jobs: what can be asked of the engine, and what it answers.

A job is a frozen dataclass that can be written as JSON and read back; every host (QGIS, the engine
process, the command line) builds the same jobs and hands them to :func:`whetstone.engine.run`.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Dict, Optional, Tuple, Union, get_args, get_origin, get_type_hints

from .errors import WhetstoneError

JOB_VERSION = 1
#: What a fusion's method says to leave the choice to ``choice.choose``.
AUTO = "auto"
#: What a fused image may be asked to be written as.
OUTPUT_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
#: How a deep model may be sampled: ``compat`` is the arithmetic of SSDiff's release.
SAMPLERS = ("ddim", "dpmpp-2m", "ddpm", "compat")
#: What a deep model may be asked to compute in.
PRECISIONS = ("auto", "fp32", "bf16")
#: CrossDiff's noise at inference: "auto" is zero for one sample and fixed for several.
NOISES = ("auto", "zero", "fixed", "random")
#: Where the statistics of CrossDiff's norms and gates come from; "auto" asks the model.
STATISTICS = ("auto", "scene", "window")
#: What an adaptation may learn from.
OBJECTIVES = ("reduced", "full")
#: "reference" is the arithmetic of CrossDiff's release: one piece, fresh noise, no finest level.
PRESETS = ("product", "reference")


@dataclass(frozen=True)
class RasterSource:
    """An input raster: one dataset, or several files that hold one band (or more) each.

    ``bands`` picks bands, 1-based, counted through all files without their alpha bands (None: all).
    ``crs`` and ``nodata`` replace what the file says (QGIS users can override both per layer).
    """

    paths: Tuple[str, ...]
    bands: Optional[Tuple[int, ...]] = None
    crs: Optional[str] = None
    nodata: Optional[float] = None

    @staticmethod
    def of(path: Union[str, RasterSource]) -> RasterSource:
        """A source from a plain path."""
        return path if isinstance(path, RasterSource) else RasterSource((str(path),))


@dataclass(frozen=True)
class FuseJob:
    """Fuse a PAN and an MS raster into one image on the PAN grid.

    ``bounds`` (xmin, ymin, xmax, ymax in the PAN's CRS) fuses a part; ``threads`` 0 takes every
    core; ``block`` is the side of the windows in PAN pixels and never changes the result.

    The rest is for deep methods: ``model`` a name or a path (None chooses by bands, ratio and
    sensor), ``seed`` of the noise, ``samples`` to average, whose standard deviation goes to the
    file ``uncertainty``, exact ``consistency`` with the measured MS, ``device`` and ``precision``.
    SSDiff has ``steps`` of ``sampler`` (0: the model's own number) and ``batch`` (windows at a
    time, 0: what the device holds); CrossDiff has ``noise``, ``statistics`` and ``preset``.
    """

    pan: RasterSource
    ms: RasterSource
    out: str
    method: str = AUTO
    sensor: str = "auto"
    bounds: Optional[Tuple[float, float, float, float]] = None
    protocol: str = "product"
    dtype: Optional[str] = None
    format: str = "gtiff"
    creation_options: Dict[str, str] = field(default_factory=dict)
    overviews: bool = True
    coregister: bool = False
    block: int = 512
    threads: int = 0
    model: Optional[str] = None
    steps: int = 0
    sampler: str = "ddim"
    seed: int = 0
    samples: int = 1
    uncertainty: Optional[str] = None
    consistency: bool = False
    device: str = "auto"
    precision: str = "auto"
    batch: int = 0
    noise: str = "auto"
    statistics: str = "auto"
    preset: str = "product"


@dataclass(frozen=True)
class AssessJob:
    """Score a fused image, with a reference (reduced resolution) or without one.

    ``crop`` leaves out that many border pixels of the reference figures as the published tables do
    (``--crop 21`` is ``[20:-21, 20:-21]``). ``html`` writes the report there.
    """

    fused: RasterSource
    pan: RasterSource
    ms: RasterSource
    reference: Optional[RasterSource] = None
    sensor: str = "auto"
    protocol: str = "product"
    crop: int = 0
    html: Optional[str] = None


@dataclass(frozen=True)
class CompareJob:
    """Fuse one pair by several methods and score them side by side.

    ``reduced`` first degrades the pair (Wald), so that the original MS is the reference. With a
    reference ``coregister`` moves the PAN, because the truth lies with the MS. ``model`` (for the
    method of its kind), ``steps``, ``consistency`` and ``device`` are for deep methods, as in a
    fusion. With ``adapt`` a CrossDiff model is first adapted to the pair that is compared, for so
    many minutes.
    """

    pan: RasterSource
    ms: RasterSource
    methods: Tuple[str, ...]
    out_dir: str
    reference: Optional[RasterSource] = None
    reduced: bool = False
    sensor: str = "auto"
    protocol: str = "product"
    crop: int = 0
    coregister: bool = False
    html: Optional[str] = None
    model: Optional[str] = None
    steps: int = 0
    consistency: bool = False
    device: str = "auto"
    adapt: float = 0.0


@dataclass(frozen=True)
class AdaptJob:
    """Train a CrossDiff model on one scene, without any truth, and write it as ``out``.

    ``start`` is the model to start from (None: the one that fits best here, "scratch": none).
    ``objective`` "reduced" learns at reduced resolution, where the MS itself is the truth; "full"
    also at the scene's own, where the result, seen through the MS sensor, must be the MS. It ends
    after ``minutes``, after ``steps`` of the head (0: as many as fit; then two runs with one
    ``seed`` are alike), or when validation on held-out windows gets no better.
    """

    pan: RasterSource
    ms: RasterSource
    out: str
    start: Optional[str] = None
    objective: str = "reduced"
    minutes: float = 10.0
    steps: int = 0
    sensor: str = "auto"
    bounds: Optional[Tuple[float, float, float, float]] = None
    seed: int = 0
    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True)
class CheckJob:
    """Look at a pair without fusing it: geometry, ratio, overlap, shift, radiometry."""

    pan: RasterSource
    ms: RasterSource
    sensor: str = "auto"


@dataclass(frozen=True)
class DegradeJob:
    """Make a reduced-resolution pair after Wald: ``pan.tif``, ``ms.tif`` and ``gt.tif``."""

    pan: RasterSource
    ms: RasterSource
    out_dir: str
    sensor: str = "auto"
    protocol: str = "product"


@dataclass(frozen=True)
class DemoJob:
    """Draw a synthetic georeferenced scene: ``pan.tif``, ``ms.tif`` and the truth ``gt.tif``.

    ``size`` is the side in PAN pixels, ``phase`` the position of MS pixel 0 on the PAN grid
    (1.5 = common corner at ratio 4).
    """

    out_dir: str
    size: int = 512
    ratio: int = 4
    phase: Optional[float] = None
    seed: int = 7


@dataclass(frozen=True)
class FuseResult:
    """What a fusion did; ``shift`` is (dx, dy) of PAN against MS in PAN pixels, None if unknown."""

    out: str
    method: str
    sensor: str
    width: int
    height: int
    bands: int
    dtype: str
    ratio: float
    phase: Tuple[float, float]
    shift: Optional[Tuple[float, float]] = None
    shift_confidence: float = 0.0
    coregistered: bool = False
    clipped: int = 0
    valid_fraction: float = 1.0
    seconds: float = 0.0
    model: Optional[str] = None
    uncertainty: Optional[str] = None
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class AssessResult:
    """The figures of one image (keys as in the design, NaN where undefined) and their reading."""

    scores: Dict[str, float]
    verdict: str
    html: Optional[str] = None
    seconds: float = 0.0
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class CompareResult:
    """One row per method: ``{"method", "out", "seconds", "scores"}``; ``best`` names the winner."""

    rows: Tuple[Dict[str, Any], ...]
    best: str
    html: Optional[str] = None
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class AdaptResult:
    """A model adapted to a scene.

    ``scores`` are figures on the held-out windows by what made the image: "exp", "mtf-glp-fs",
    "base" (what the model goes on from, if not "exp"), "start" (the model it started from, if any)
    and "adapted". ``ended`` says why training ended:
    "time", "steps", "converged" or "cancelled".
    """

    out: str
    name: str
    start: Optional[str]
    bands: int
    ratio: float
    steps: int
    ended: str
    held_out: float
    scores: Dict[str, Dict[str, float]]
    seconds: float = 0.0
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckResult:
    """What a pair looks like. ``ok`` is False when a fusion would be refused or is unwise."""

    ok: bool
    sensor: str
    sensor_reason: str
    ratio: float
    phase: Tuple[float, float]
    overlap: float
    shift: Optional[Tuple[float, float]]
    shift_confidence: float
    bands: Tuple[str, ...]
    dtype: str
    pan_size: Tuple[int, int]
    ms_size: Tuple[int, int]
    pan_range: Tuple[float, float]
    ms_range: Tuple[Tuple[float, float], ...]
    pan_correlation: Tuple[float, ...]
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class DegradeResult:
    """The files of a reduced-resolution pair."""

    pan: str
    ms: str
    gt: str
    ratio: int
    sensor: str
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class DemoResult:
    """The files of a synthetic scene."""

    pan: str
    ms: str
    gt: str


Job = Union[FuseJob, AssessJob, CompareJob, AdaptJob, CheckJob, DegradeJob, DemoJob]
JOBS = {
    "fuse": FuseJob,
    "assess": AssessJob,
    "compare": CompareJob,
    "adapt": AdaptJob,
    "check": CheckJob,
    "degrade": DegradeJob,
    "demo": DemoJob,
}


def job_to_json(job: Job) -> str:
    """Write a job as one line of JSON."""
    verb = next(name for name, cls in JOBS.items() if type(job) is cls)
    return json.dumps({"whetstone": JOB_VERSION, "job": verb, **asdict(job)}, sort_keys=True)


def job_from_json(text: str) -> Job:
    """Read a job back; unknown jobs, unknown keys and other versions are refused in words."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise WhetstoneError("JOB_INVALID", f"The job is not valid JSON: {error}.") from None
    if not isinstance(data, dict) or data.pop("whetstone", None) != JOB_VERSION:
        raise WhetstoneError("JOB_VERSION", f"The job is not of version {JOB_VERSION}.")
    verb = data.pop("job", None)
    cls = JOBS.get(verb) if isinstance(verb, str) else None
    if cls is None:
        raise WhetstoneError("JOB_INVALID", f"The job must be one of {', '.join(JOBS)}.")
    missing = sorted(
        f.name
        for f in fields(cls)
        if f.default is MISSING and f.default_factory is MISSING and f.name not in data
    )
    if missing:
        raise WhetstoneError("JOB_INVALID", f"The job lacks {', '.join(missing)}.")
    return _build(cls, data)


def _build(cls: Any, data: Dict[str, Any]) -> Any:
    """A job or a source from its JSON object; values of a wrong type are refused."""
    hints = get_type_hints(cls)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise WhetstoneError("JOB_INVALID", f"The job does not know {', '.join(unknown)}.")
    return cls(**{key: _revive(key, value, hints[key]) for key, value in data.items()})


def _revive(key: str, value: Any, hint: Any) -> Any:
    """JSON has no tuples and no sources: make them again, and check every type on the way."""
    options = get_args(hint) if get_origin(hint) is Union else (hint,)
    for option in options:
        kind, parts = get_origin(option) or option, get_args(option)
        if option is type(None) and value is None:
            return None
        if kind is RasterSource and isinstance(value, dict) and "paths" in value:
            return _build(RasterSource, value)
        if kind is tuple and isinstance(value, list):
            each = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
            if len(each) == len(value):
                return tuple(_revive(key, item, part) for item, part in zip(value, each))
        if kind is dict and isinstance(value, dict):
            return {str(name): _revive(key, item, parts[1]) for name, item in value.items()}
        if kind is float and type(value) in (int, float):
            return float(value)
        if kind in (str, int, bool) and type(value) is kind:
            return value
    raise WhetstoneError("JOB_INVALID", f"The job's {key} cannot be {json.dumps(value)[:80]}.")


def result_to_dict(result: Any) -> dict[str, Any]:
    """A result as plain JSON values (NaN becomes None)."""
    return json.loads(json.dumps(_finite(asdict(result))))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
