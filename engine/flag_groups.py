"""Flags that several verbs share."""

from __future__ import annotations

import argparse
from typing import Any

from .jobs import NOISES, PRECISIONS, PRESETS, SAMPLERS, STATISTICS


def model(group: argparse._ArgumentGroup) -> None:
    """Which deep model, and where it runs."""
    group.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="see 'whetstone models list' (default: by bands, ratio and sensor)",
    )
    group.add_argument(
        "--steps", type=positive, metavar="N", help="SSDiff: sampling steps (default: the model's)"
    )
    group.add_argument(
        "--consistency",
        action="store_true",
        help="correct the image until the MS sensor would see exactly the measured MS in it, noise "
        "included (bundled models are corrected as far as noise allows anyway, where the sensor is "
        "known and the scene shows its MTF)",
    )
    device(group)


def device(sub: argparse._ActionsContainer) -> None:
    """Where to compute."""
    sub.add_argument(
        "--device",
        default="auto",
        metavar="auto|cpu|cuda[:N]|mps",
        help="where to compute (default: auto)",
    )


def threads(sub: argparse.ArgumentParser) -> None:
    """How many threads."""
    sub.add_argument(
        "--threads", type=natural, default=0, metavar="N", help="default: 0, every core"
    )


def bounds(sub: argparse.ArgumentParser, text: str) -> None:
    """A part of the scene."""
    sub.add_argument(
        "--bounds", nargs=4, type=float, metavar=("XMIN", "YMIN", "XMAX", "YMAX"), help=text
    )


def deep(sub: argparse.ArgumentParser) -> None:
    """What only deep methods know."""
    group = sub.add_argument_group("deep methods")
    model(group)
    group.add_argument(
        "--sampler",
        default="ddim",
        choices=SAMPLERS,
        help="SSDiff: default ddim; compat is the arithmetic of the authors' release",
    )
    group.add_argument(
        "--noise",
        default="auto",
        choices=NOISES,
        help="CrossDiff: default auto, none for one sample and that of the seed for several",
    )
    group.add_argument(
        "--statistics",
        default="auto",
        choices=STATISTICS,
        help="CrossDiff: those of the scene or of each window (default: as the model says)",
    )
    group.add_argument(
        "--preset",
        default="product",
        choices=PRESETS,
        help="CrossDiff: reference is what the authors' release does, in one piece",
    )
    group.add_argument("--seed", type=natural, default=0, metavar="S", help="default: 0")
    group.add_argument(
        "--samples", type=positive, default=1, metavar="K", help="average K samples (default: 1)"
    )
    group.add_argument(
        "--uncertainty",
        metavar="FILE",
        help="write the standard deviation of the samples there, before any correction to the MS",
    )
    group.add_argument("--precision", choices=PRECISIONS, default="auto", help="default: auto")
    group.add_argument(
        "--batch",
        type=positive,
        metavar="N",
        help="SSDiff: windows at a time (default: what fits)",
    )


def verb(
    verbs: argparse._SubParsersAction[Any], words: str, name: str, text: str, example: str
) -> argparse.ArgumentParser:
    """One verb of a command, with the flags that all have."""
    sub: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"Example: {words} {name} {example}".rstrip(),
        allow_abbrev=False,
    )
    sub.add_argument("--json", action="store_true", help="print one JSON object and no more")
    sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return sub


def pair(sub: argparse.ArgumentParser) -> None:
    """The images that are fused."""
    sub.add_argument("--pan", metavar="FILE", required=True, help="the panchromatic image")
    sub.add_argument(
        "--ms",
        metavar="FILE",
        required=True,
        nargs="+",
        help="the multispectral image, or one file per band in order",
    )
    sub.add_argument("--pan-band", type=positive, metavar="N", help="band of the PAN file, from 1")
    sub.add_argument(
        "--ms-bands",
        type=positive,
        nargs="+",
        metavar="N",
        help="bands of the MS, from 1, counted through all files (default: all)",
    )


def sensor(sub: argparse.ArgumentParser) -> None:
    """The sensor."""
    sub.add_argument(
        "--sensor",
        default="auto",
        metavar="NAME",
        help="such as WV3, GF2 or generic; default: auto",
    )


def sensor_and_protocol(sub: argparse.ArgumentParser) -> None:
    """The sensor and the protocol."""
    sensor(sub)
    sub.add_argument(
        "--protocol",
        choices=("product", "toolbox"),
        default="product",
        help="what is right for a real image, or what published tables did (default: product)",
    )


def reference(sub: argparse.ArgumentParser) -> None:
    """What figures need with a truth."""
    sub.add_argument("--reference", metavar="FILE", help="the true image, for figures against it")
    sub.add_argument(
        "--crop",
        type=natural,
        default=0,
        metavar="PX",
        help="border left out of the reference figures; published tables: 21",
    )


def coregister(sub: argparse.ArgumentParser) -> None:
    """The correction of a shift."""
    sub.add_argument(
        "--coregister", action="store_true", help="correct the shift between PAN and MS"
    )


def natural(text: str) -> int:
    """A whole number from 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def positive(text: str) -> int:
    """A whole number from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


natural.__name__ = positive.__name__ = "whole number"  # argparse names the type in its message
