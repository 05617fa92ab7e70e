"""Put a trained model into resources/models: half precision, with a card for its users.

    python training/bundle_model.py runs/vhr4/vhr4.safetensors --as ssdiff-vhr4 \\
        --about about.toml --scores scores.json

ABOUT is a TOML file with ``data``, ``licence``, ``use``, ``limits`` and ``command``: what the model
was trained on, under which terms, what it is for and what it is not for, how it was made. SCORES is
what ``evaluate.py --json`` wrote of the bundled model, which is bundled without them before; its
reduced-resolution means by sensor, bands and ratio go into the card. Without SCORES those of the
run's validation do.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean

import torch
from command import quiet
from config import tomllib
from evaluate import DRAWN
from torch import nn
from whetstone.engine.deep.ssdiff import SSDiff
from whetstone.engine.deep.weights import read_model, save_model
from whetstone.engine.errors import WhetstoneError
from whetstone.engine.library import BUNDLED

FIGURES = ("ergas", "sam", "q2n")
ABOUT = ("data", "licence", "use", "limits", "command")


def main() -> None:
    """Read the run's model, write the bundled one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path, metavar="MODEL.safetensors")
    parser.add_argument("--as", dest="name", required=True, metavar="NAME")
    parser.add_argument("--about", type=Path, required=True, metavar="FILE.toml")
    parser.add_argument("--scores", type=Path, metavar="FILE.json")
    parser.add_argument(
        "--shrink",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="keep this share of the residual: less certain, and safer on unseen scenes",
    )
    parser.add_argument("--out", type=Path, default=BUNDLED, metavar="FOLDER")
    args = parser.parse_args()
    about = tomllib.loads(args.about.read_text(encoding="utf-8"))
    if sorted(about) != sorted(ABOUT):
        raise WhetstoneError("ABOUT", f"'{args.about}' must say {', '.join(ABOUT)} and no more.")
    model = read_model(args.model)
    training = {**model.card.training, **{key: about[key] for key in about if key != "licence"}}
    card = replace(
        model.card,
        name=args.name,
        training=training,
        licence=about["licence"],
        scores=scores_of(args.scores, args.name)
        if args.scores
        else model.card.scores.get("validation", {}),
    )
    if args.shrink != 1:
        shrink(model.network, args.shrink)
        card = replace(card, training={**card.training, "residual_kept": args.shrink})
    target = args.out / f"{args.name}.safetensors"
    card = save_model(target, model.network.half(), card)
    size = target.stat().st_size / 1e6
    sys.stdout.write(f"{target}: {size:.1f} MB, sha256 {card.sha256[:12]}\n")


def shrink(network: nn.Module, share: float) -> None:
    """Scale what the network adds to its base; it is linear in these weights."""
    ends = ("head.conv2", "lr_up.conv") if isinstance(network, SSDiff) else ("head.conv2",)
    with torch.no_grad():
        for layer in map(network.get_submodule, ends):
            for parameter in layer.parameters():
                parameter.mul_(share)


def scores_of(path: Path, name: str) -> dict[str, dict[str, float]]:
    """Means of the model at reduced resolution, by sensor, bands and ratio."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    found: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        mine = (row["method"], row["resolution"]) == (name, "reduced")
        if mine and row["group"] != DRAWN:
            found.setdefault(row["group"], []).append(row["scores"])
    if not found:
        raise WhetstoneError("SCORES", f"'{path}' has no reduced-resolution scores of '{name}'.")
    return {
        group: {key: round(mean(one[key] for one in all_), 3) for key in FIGURES}
        for group, all_ in sorted(found.items())
    }


if __name__ == "__main__":
    sys.exit(quiet(main))
