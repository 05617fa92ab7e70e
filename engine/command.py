"""The job that a command line asks for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Sequence

from .errors import WhetstoneError
from .flags import WrongCall
from .jobs import (
    AUTO,
    AdaptJob,
    AssessJob,
    CheckJob,
    CompareJob,
    DegradeJob,
    DemoJob,
    FuseJob,
    RasterSource,
)

if TYPE_CHECKING:
    import argparse

    from .jobs import Job


def job_from_args(args: argparse.Namespace) -> Job:
    """The job that a command line asks for."""
    given = vars(args)
    common: dict[str, Any] = {
        key: given[key]
        for key in ("sensor", "protocol", "coregister", "crop", "html", "out_dir")
        if key in given
    }
    if "sensor" in common:
        common["sensor"] = sensor_name(args.sensor)
    if args.verb == "demo":
        return DemoJob(args.out_dir, args.size, args.ratio, args.phase, args.seed)
    bands = tuple(args.ms_bands) if args.ms_bands else None
    common["pan"] = _source([args.pan], (args.pan_band,) if args.pan_band else None)
    common["ms"] = _source(args.ms, bands)
    if given.get("reference"):
        common["reference"] = _source([args.reference])
    if args.verb == "check":
        return CheckJob(**common)
    if args.verb == "degrade":
        return DegradeJob(**common)
    if args.verb == "assess":
        return AssessJob(fused=_source([args.fused]), **common)
    if args.verb == "adapt":
        return AdaptJob(
            out=os.path.abspath(args.out),
            start=_model_name(args.start),
            bounds=_bounds(args.bounds),
            **{
                key: given[key]
                for key in ("objective", "minutes", "steps", "seed", "device", "threads")
            },
            **common,
        )
    if args.verb == "compare":
        return CompareJob(
            methods=_method_names(args.methods),
            reduced=args.reduced,
            model=_model_name(args.model),
            steps=args.steps or 0,
            consistency=args.consistency,
            device=args.device,
            adapt=args.adapt,
            **common,
        )
    return FuseJob(
        out=args.out,
        method=AUTO if args.method.lower() == AUTO else _method_name(args.method),
        bounds=_bounds(args.bounds),
        dtype=args.dtype,
        format=args.format,
        creation_options=dict(_creation_option(item) for item in args.co),
        overviews=not args.no_overviews,
        block=args.block,
        threads=args.threads,
        model=_model_name(args.model),
        steps=args.steps or 0,
        sampler=args.sampler,
        seed=args.seed,
        samples=args.samples,
        uncertainty=args.uncertainty,
        consistency=args.consistency,
        device=args.device,
        precision=args.precision,
        batch=args.batch or 0,
        noise=args.noise,
        statistics=args.statistics,
        preset=args.preset,
        **common,
    )


def _model_name(name: str | None) -> str | None:
    """A model's file by its full path, so that the job can be replayed from any folder."""
    return os.path.abspath(name) if name and os.path.isfile(name) else name


def _source(paths: Sequence[str], bands: tuple[int, ...] | None = None) -> RasterSource:
    """Files by their full path, so that the job can be replayed from any folder."""
    full = (os.path.abspath(path) if os.path.exists(path) else path for path in paths)
    return RasterSource(tuple(full), bands)


def known_methods() -> dict[str, Any]:
    """Every fusion method by name."""
    from .methods import METHODS

    return dict(METHODS)


def sensor_name(name: str) -> str:
    """The key of a sensor, or "auto"."""
    if name.strip().lower() == "auto":
        return "auto"
    from .sensors import find_sensor

    try:
        return find_sensor(name).key
    except WhetstoneError as error:
        raise WrongCall(error.code, error.message, error.hint) from None


def _method_names(text: str) -> tuple[str, ...]:
    if text.strip().lower() == "all":
        return tuple(name for name, m in known_methods().items() if m.family != "deep")
    wanted = [item.strip() for item in text.split(",") if item.strip()]
    if not wanted:
        raise WrongCall("USAGE", "--methods names no method.", "Give names with commas, or 'all'.")
    return tuple(dict.fromkeys(_method_name(item) for item in wanted))


def _method_name(text: str) -> str:
    from .methods import find_method

    try:
        return find_method(text).name
    except WhetstoneError as error:
        raise WrongCall(error.code, error.message, error.hint) from None


def _bounds(values: Sequence[float] | None) -> tuple[float, float, float, float] | None:
    if values is None:
        return None
    xmin, ymin, xmax, ymax = values
    if not (xmin < xmax and ymin < ymax):
        raise WrongCall("USAGE", "--bounds encloses nothing.", "The order is XMIN YMIN XMAX YMAX.")
    return xmin, ymin, xmax, ymax


def _creation_option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise WrongCall("USAGE", f"--co {text} is not KEY=VALUE.", "Example: --co COMPRESS=ZSTD")
    return key.upper(), value
