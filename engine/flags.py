"""The flags of the command line."""

from __future__ import annotations

import argparse
from typing import NoReturn

from . import __version__
from . import flag_groups as groups
from .errors import WhetstoneError
from .jobs import AUTO, OBJECTIVES, OUTPUT_DTYPES


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
        epilog="Example: whetstone fuse --pan pan.tif --ms ms.tif --out fused.tif   "
        "Exit status: 0 done, 1 failed, 2 wrong call, 130 cancelled.",
    )
    parser.add_argument("--version", action="version", version=f"whetstone {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, text: str, example: str) -> argparse.ArgumentParser:
        return groups.verb(verbs, "whetstone", name, text, example)

    sub = verb(
        "fuse",
        "fuse a PAN and an MS raster into one image on the PAN grid",
        "--pan pan.tif --ms ms.tif --out fused.tif --method mtf-glp-fs",
    )
    groups.pair(sub)
    sub.add_argument("--out", metavar="FILE", required=True, help="the GeoTIFF to write")
    sub.add_argument(
        "--method",
        default=AUTO,
        help="see 'whetstone methods' (default: what suits the pair best, which is said)",
    )
    groups.sensor_and_protocol(sub)
    groups.bounds(sub, "fuse this part only, in the CRS of the PAN image")
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
    groups.coregister(sub)
    sub.add_argument(
        "--block",
        type=groups.positive,
        default=512,
        metavar="PX",
        help="side of a window (default: 512)",
    )
    groups.threads(sub)
    groups.deep(sub)

    sub = verb(
        "assess",
        "score a fused image, with a reference or without one",
        "--fused fused.tif --pan pan.tif --ms ms.tif --html report.html",
    )
    sub.add_argument("--fused", metavar="FILE", required=True, help="the fused image")
    groups.pair(sub)
    groups.reference(sub)
    groups.sensor_and_protocol(sub)
    sub.add_argument("--html", metavar="FILE", help="write the report there")

    sub = verb(
        "compare",
        "fuse one pair by several methods and score them side by side",
        "--pan pan.tif --ms ms.tif --methods gsa,bt-h,mtf-glp-fs --reduced --out-dir compared",
    )
    groups.pair(sub)
    sub.add_argument(
        "--methods", required=True, metavar="A,B,C", help="names, or 'all' for all classical ones"
    )
    sub.add_argument("--out-dir", required=True, metavar="DIR", help="where the images go")
    sub.add_argument(
        "--reduced",
        action="store_true",
        help="first degrade the pair (Wald), so that the MS image is the reference",
    )
    groups.reference(sub)
    groups.sensor_and_protocol(sub)
    groups.coregister(sub)
    group = sub.add_argument_group("deep methods")
    groups.model(group)
    group.add_argument(
        "--adapt",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="first adapt a CrossDiff model to this pair, and compare it as crossdiff",
    )
    sub.add_argument("--html", metavar="FILE", help="write the report there")

    sub = verb(
        "adapt",
        "train a CrossDiff model on this very scene, which needs no truth",
        "--pan pan.tif --ms ms.tif --out mine.safetensors --minutes 10",
    )
    groups.pair(sub)
    sub.add_argument("--out", metavar="FILE.safetensors", required=True, help="the model to write")
    sub.add_argument(
        "--from",
        dest="start",
        metavar="MODEL|scratch",
        help="the model to start from (default: the CrossDiff model that fits best here, if any)",
    )
    sub.add_argument(
        "--objective",
        choices=OBJECTIVES,
        default="reduced",
        help="learn at reduced resolution, or at the full one, too (default: reduced)",
    )
    sub.add_argument(
        "--minutes", type=float, default=10.0, metavar="M", help="time to take (default: 10)"
    )
    sub.add_argument(
        "--steps",
        type=groups.natural,
        default=0,
        metavar="N",
        help="steps (default: as many as fit)",
    )
    groups.bounds(sub, "learn from this part only, in the CRS of the PAN image")
    groups.sensor(sub)
    sub.add_argument("--seed", type=groups.natural, default=0, metavar="S", help="default: 0")
    groups.device(sub)
    groups.threads(sub)

    sub = verb(
        "check",
        "look at a pair without fusing it: geometry, ratio, overlap, shift, radiometry",
        "--pan pan.tif --ms B2.tif B3.tif B4.tif",
    )
    groups.pair(sub)
    groups.sensor(sub)

    sub = verb(
        "degrade",
        "make a reduced-resolution (Wald) pair: pan.tif, ms.tif, gt.tif",
        "--pan pan.tif --ms ms.tif --out-dir reduced",
    )
    groups.pair(sub)
    sub.add_argument("--out-dir", required=True, metavar="DIR", help="where the files go")
    groups.sensor_and_protocol(sub)

    verb("methods", "list the fusion methods", "--json")

    verb("selftest", "try libraries, projections and a small fusion by a deep model", "--json")

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
    sub.add_argument("--size", type=groups.positive, default=512, metavar="PX", help="default: 512")
    sub.add_argument("--ratio", type=groups.positive, default=4, metavar="R", help="default: 4")
    sub.add_argument(
        "--phase", type=float, metavar="PX", help="place of MS pixel 0 on the PAN grid"
    )
    sub.add_argument("--seed", type=int, default=7, metavar="N", help="default: 7")
    sub.add_argument("--scene-only", action="store_true", help="draw the scene and stop")
    return parser


def _models(sub: argparse.ArgumentParser) -> None:
    acts = sub.add_subparsers(dest="act", metavar="ACT", required=True)

    def act(name: str, text: str, example: str = "") -> argparse.ArgumentParser:
        return groups.verb(acts, "whetstone models", name, text, example)

    act("list", "list the bundled models, those in your model folder, and those on the Hub")
    parser = act("show", "show the card of a model", "ssdiff-wv3")
    parser.add_argument("name", metavar="NAME|FILE.safetensors", help="see 'whetstone models list'")
    parser = act("download", "get a model from the Hugging Face Hub into your model folder")
    parser.add_argument(
        "name", metavar="NAME", help="a name, or hf:OWNER/REPO@COMMIT/FILE.safetensors"
    )
    parser = act(
        "import",
        "make a model of checkpoints in the key layout of their authors, of SSDiff or CrossDiff",
        "ema_150000.pt --out wv3.safetensors --sensor WV3",
    )
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help=".pt, .pth or .safetensors: one of SSDiff, or P2M, M2P and head of CrossDiff",
    )
    parser.add_argument("--out", metavar="FILE.safetensors", required=True, help="what to write")
    parser.add_argument("--sensor", metavar="NAME", help="the sensor that it was trained on")
    parser.add_argument(
        "--full-scale",
        type=float,
        default=2047.0,
        metavar="DN",
        help="what its training images were divided by (default: 2047)",
    )
    parser.add_argument(
        "--ratio",
        type=float,
        default=4.0,
        metavar="R",
        help="of its training images; CrossDiff (default: 4)",
    )
    parser.add_argument(
        "--timesteps",
        type=groups.positive,
        nargs="+",
        default=[],
        metavar="T",
        help="of the features that the head takes; CrossDiff (default: 50)",
    )
    act("verify", "check the hash of every model here and load it; exit status 1 if one is damaged")
