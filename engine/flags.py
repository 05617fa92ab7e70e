"""The flags of the command line."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from . import __version__
from .errors import WhetstoneError
from .jobs import OUTPUT_DTYPES, PRECISIONS, SAMPLERS


class WrongCall(WhetstoneError):
    """The command line itself makes no sense: exit status 2."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are errors like all others."""

    def error(self, message: str) -> NoReturn:
        """Refuse the call."""
        raise WrongCall("USAGE", f"{message}.", f"See: {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """All verbs and flags."""
    parser = Parser(
        prog="whetstone",
        allow_abbrev=False,
        description="Pansharpening: fuse a panchromatic image (PAN) with a coarser multispectral "
        "one (MS), and say how good the result is.",
        epilog="Example: whetstone fuse --pan pan.tif --ms ms.tif --out fused.tif --method gsa   "
        "Exit status: 0 done, 1 failed, 2 wrong call, 130 cancelled.",
    )
    parser.add_argument("--version", action="version", version=f"whetstone {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, text: str, example: str) -> argparse.ArgumentParser:
        return _verb(verbs, "whetstone", name, text, example)

    sub = verb(
        "fuse",
        "fuse a PAN and an MS raster into one image on the PAN grid",
        "--pan pan.tif --ms ms.tif --out fused.tif --method mtf-glp-fs",
    )
    _pair(sub)
    sub.add_argument("--out", metavar="FILE", required=True, help="the GeoTIFF to write")
    sub.add_argument("--method", default="gsa", help="see 'whetstone methods' (default: gsa)")
    _sensor_and_protocol(sub)
    sub.add_argument(
        "--bounds",
        nargs=4,
        type=float,
        metavar=("XMIN", "YMIN", "XMAX", "YMAX"),
        help="fuse this part only, in the CRS of the PAN image",
    )
    sub.add_argument(
        "--dtype", choices=OUTPUT_DTYPES, help="type of the output (default: that of the MS)"
    )
    sub.add_argument("--format", choices=("gtiff", "cog"), default="gtiff", help="default: gtiff")
    sub.add_argument(
        "--co",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a GDAL creation option, such as COMPRESS=ZSTD; may be repeated",
    )
    sub.add_argument("--no-overviews", action="store_true", help="write no overviews")
    _coregister(sub)
    sub.add_argument(
        "--block", type=_positive, default=512, metavar="PX", help="side of a window (default: 512)"
    )
    sub.add_argument(
        "--threads", type=_natural, default=0, metavar="N", help="default: 0, every core"
    )
    _deep(sub)

    sub = verb(
        "assess",
        "score a fused image, with a reference or without one",
        "--fused fused.tif --pan pan.tif --ms ms.tif --html report.html",
    )
    sub.add_argument("--fused", metavar="FILE", required=True, help="the fused image")
    _pair(sub)
    _reference(sub)
    _sensor_and_protocol(sub)
    sub.add_argument("--html", metavar="FILE", help="write the report there")

    sub = verb(
        "compare",
        "fuse one pair by several methods and score them side by side",
        "--pan pan.tif --ms ms.tif --methods gsa,bt-h,mtf-glp-fs --reduced --out-dir compared",
    )
    _pair(sub)
    sub.add_argument(
        "--methods", required=True, metavar="A,B,C", help="names, or 'all' for all classical ones"
    )
    sub.add_argument("--out-dir", required=True, metavar="DIR", help="where the images go")
    sub.add_argument(
        "--reduced",
        action="store_true",
        help="first degrade the pair (Wald), so that the MS image is the reference",
    )
    _reference(sub)
    _sensor_and_protocol(sub)
    _coregister(sub)
    _model(sub.add_argument_group("deep methods"))
    sub.add_argument("--html", metavar="FILE", help="write the report there")

    sub = verb(
        "check",
        "look at a pair without fusing it: geometry, ratio, overlap, shift, radiometry",
        "--pan pan.tif --ms B2.tif B3.tif B4.tif",
    )
    _pair(sub)
    _sensor(sub)

    sub = verb(
        "degrade",
        "make a reduced-resolution (Wald) pair: pan.tif, ms.tif, gt.tif",
        "--pan pan.tif --ms ms.tif --out-dir reduced",
    )
    _pair(sub)
    sub.add_argument("--out-dir", required=True, metavar="DIR", help="where the files go")
    _sensor_and_protocol(sub)

    verb("methods", "list the fusion methods", "--json")

    _models(verb("models", "list, show, download, import or verify deep models", "list"))

    sub = verb("run", "replay a job from its JSON or from the tags of an output", "fused.tif")
    sub.add_argument("file", metavar="JOB.json|OUTPUT.tif", help="where the job is written")
    sub.add_argument("--out", metavar="PATH", help="write there, and not over the first output")

    sub = verb(
        "demo",
        "draw a synthetic PAN+MS+truth scene, fuse and score it",
        "--out-dir demo --size 512",
    )
    sub.add_argument("--out-dir", default="demo", metavar="DIR", help="default: demo")
    sub.add_argument("--size", type=_positive, default=512, metavar="PX", help="default: 512")
    sub.add_argument("--ratio", type=_positive, default=4, metavar="R", help="default: 4")
    sub.add_argument(
        "--phase", type=float, metavar="PX", help="place of MS pixel 0 on the PAN grid"
    )
    sub.add_argument("--seed", type=int, default=7, metavar="N", help="default: 7")
    sub.add_argument("--scene-only", action="store_true", help="draw the scene and stop")
    return parser


def _models(sub: argparse.ArgumentParser) -> None:
    acts = sub.add_subparsers(dest="act", metavar="ACT", required=True)

    def act(name: str, text: str, example: str = "") -> argparse.ArgumentParser:
        return _verb(acts, "whetstone models", name, text, example)

    act("list", "list the bundled models, those in your model folder, and those on the Hub")
    parser = act("show", "show the card of a model", "ssdiff-wv3")
    parser.add_argument("name", metavar="NAME|FILE.safetensors", help="see 'whetstone models list'")
    parser = act("download", "get a model from the Hugging Face Hub into your model folder")
    parser.add_argument(
        "name", metavar="NAME", help="a name, or hf:OWNER/REPO@COMMIT/FILE.safetensors"
    )
    parser = act(
        "import",
        "make a model of an SSDiff checkpoint in the key layout of its authors",
        "ema_150000.pt --out wv3.safetensors --sensor WV3",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="a .pt or .safetensors file")
    parser.add_argument("--out", metavar="FILE.safetensors", required=True, help="what to write")
    parser.add_argument("--sensor", metavar="NAME", help="the sensor that it was trained on")
    parser.add_argument(
        "--full-scale",
        type=float,
        default=2047.0,
        metavar="DN",
        help="what its training images were divided by (default: 2047)",
    )
    act("verify", "check the hash of every model here and load it; exit status 1 if one is damaged")


def _model(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="see 'whetstone models list' (default: by bands, ratio and sensor)",
    )
    group.add_argument(
        "--steps", type=_positive, metavar="N", help="sampling steps (default: the model's own)"
    )
    group.add_argument(
        "--device",
        default="auto",
        metavar="auto|cpu|cuda[:N]|mps",
        help="where to compute (default: auto)",
    )


def _deep(sub: argparse.ArgumentParser) -> None:
    group = sub.add_argument_group("deep methods")
    _model(group)
    group.add_argument(
        "--sampler",
        default="ddim",
        choices=SAMPLERS,
        help="default: ddim; compat is the arithmetic of the authors' release",
    )
    group.add_argument("--seed", type=_natural, default=0, metavar="S", help="default: 0")
    group.add_argument(
        "--samples", type=_positive, default=1, metavar="K", help="average K samples (default: 1)"
    )
    group.add_argument(
        "--uncertainty",
        metavar="FILE",
        help="write the standard deviation of the samples there, without --consistency",
    )
    group.add_argument(
        "--consistency",
        action="store_true",
        help="correct the image so that the MS sensor would see the measured MS in it",
    )
    group.add_argument("--precision", choices=PRECISIONS, default="auto", help="default: auto")
    group.add_argument(
        "--batch", type=_positive, metavar="N", help="windows at a time (default: what fits)"
    )


def _verb(
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


def _pair(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--pan", metavar="FILE", required=True, help="the panchromatic image")
    sub.add_argument(
        "--ms",
        metavar="FILE",
        required=True,
        nargs="+",
        help="the multispectral image, or one file per band in order",
    )
    sub.add_argument("--pan-band", type=_positive, metavar="N", help="band of the PAN file, from 1")
    sub.add_argument(
        "--ms-bands",
        type=_positive,
        nargs="+",
        metavar="N",
        help="bands of the MS, from 1, counted through all files (default: all)",
    )


def _sensor(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--sensor",
        default="auto",
        metavar="NAME",
        help="such as WV3, GF2 or generic; default: auto",
    )


def _sensor_and_protocol(sub: argparse.ArgumentParser) -> None:
    _sensor(sub)
    sub.add_argument(
        "--protocol",
        choices=("product", "toolbox"),
        default="product",
        help="what is right for a real image, or what published tables did (default: product)",
    )


def _reference(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--reference", metavar="FILE", help="the true image, for figures against it")
    sub.add_argument(
        "--crop",
        type=_natural,
        default=0,
        metavar="PX",
        help="border left out of the reference figures; published tables: 21",
    )


def _coregister(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--coregister", action="store_true", help="correct the shift between PAN and MS"
    )


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


_natural.__name__ = _positive.__name__ = "whole number"  # argparse names the type in its message
