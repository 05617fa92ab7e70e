"""Import of checkpoints: the key layout of the SSDiff authors' code, or our own."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from math import isqrt
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import WhetstoneError
from ..sensors import SENSORS
from .ssdiff import NORM_GROUPS, SSDiff
from .weights import Card, build_network, file_hash, put_tensors, read_card, save_model

#: Modules of the release and ours, {k} being each of the numbers (spec §2.9; "upsamle" is theirs).
_MODULES = """
0      upsample.upsamle.0                      lr_up.conv
0      time_embed.0                            time_mlp.fc1
0      time_embed.2                            time_mlp.fc2
0      conv_pan2x_t                            spa_stem.conv
0      emb_layers_pan.1                        spa_stem.time
0      out_layers_pan.0                        spa_stem.norm
0      out_layers_pan.3                        spa_stem.out
0      conv_lms2x_t                            spe_stem.conv
0      emb_layers_lms.1                        spe_stem.time
0      out_layers_lms.0                        spe_stem.norm
0      out_layers_lms.3                        spe_stem.out
01234  fusformer{k}.layers.0.0.fn.norm         apfm.{k}.norm
01234  fusformer{k}.layers.0.0.fn.fn.sa1       apfm.{k}.t_a
01234  fusformer{k}.layers.0.0.fn.fn.sa2       apfm.{k}.t_b
01234  fusformer{k}.layers.0.0.fn.fn.se1       apfm.{k}.t_c
01234  fusformer{k}.layers.0.0.fn.fn.se2       apfm.{k}.t_d
01234  fusformer{k}.layers.0.0.fn.fn.to_out.0  apfm.{k}.proj
01234  fusformer{k}.layers.0.1.fn.norm         apfm.{k}.ff_norm
01234  fusformer{k}.layers.0.1.fn.fn.net.0     apfm.{k}.ff1
01234  fusformer{k}.layers.0.1.fn.fn.net.3     apfm.{k}.ff2
01     down{k}.conv.0                          down.{k}.squeeze
01     down{k}.conv.2                          down.{k}.pw
01     down{k}.conv.3                          down.{k}.dw
01     up{k}.up1.0                             up.{k}.deconv
01     up{k}.conv                              up.{k}.conv
0123   resblock{k}.conv0                       res.{k}.conv1
0123   resblock{k}.conv1                       res.{k}.conv2
0123   resblock{k}.emb_layers.1                res.{k}.time
0123   resblock{k}.out_layers.0                res.{k}.norm
0123   resblock{k}.out_layers.3                res.{k}.out
0      to_hrms.0                               head.conv1
0      to_hrms.2                               head.conv2
"""
RELEASE = {
    theirs.format(k=k): ours.format(k=k)
    for numbers, theirs, ours in (line.split() for line in _MODULES.split("\n") if line)
    for k in numbers
}
#: Layers of the release that no output depends on.
_DEAD = re.compile(r"(raise_ms_dim|raise_pan_dim|conv_x_t|down[01]\.maxpool_conv|up[01]\.up0)\.")
#: Where training scripts put the weights in a checkpoint; averaged ones are what one samples with.
_NESTS = ("ema", "ema_state_dict", "state_dict", "model_state_dict", "model", "network")
#: What the authors' code divides images of every sensor by.
FULL_SCALE = 2047.0


def import_checkpoint(
    source: Path, out: Path, sensor: str = "", full_scale: float = FULL_SCALE
) -> Card:
    """Write the checkpoint ``source`` as the model ``out`` and its card; returns the card.

    ``sensor`` is a key of the sensor table, "" if unknown; ``full_scale`` is what the training
    images were divided by.
    """
    tensors, taken_from = _read(source)
    release = {ours: theirs for theirs, ours in RELEASE.items()}

    def rename(name: str, table: dict[str, str]) -> str:
        module, dot, leaf = name.rpartition(".")
        return f"{table[module]}.{leaf}" if dot and module in table else name

    if any(name.rpartition(".")[0] in RELEASE for name in tensors):
        tensors = {
            rename(name, RELEASE): tensor
            for name, tensor in tensors.items()
            if not _DEAD.match(name)
        }
    elif set(SSDiff(1).state_dict()) & set(tensors):
        return _import_own(source, out, tensors, taken_from)
    else:
        raise WhetstoneError(
            "MODEL_INVALID",
            f"'{source}' is no SSDiff checkpoint: the tensor {next(iter(tensors))} is unknown, as "
            f"are all {len(tensors)}.",
            "Give a checkpoint of the authors' code.",
        )

    def name_in_file(name: str) -> str:
        return rename(name, release)

    parameters = _parameters(source, tensors, name_in_file)
    network = SSDiff(**parameters)
    put_tensors(network, tensors, source, name_in_file)
    bands = parameters["bands"]
    roles = SENSORS[sensor].order(bands) if sensor else ()
    card = Card(
        name=out.stem,
        architecture="ssdiff",
        parameters=parameters,
        bands=bands,
        ratio=parameters["ratio"],
        roles=roles if all(roles) else (),
        sensors=(sensor,) if sensor else (),
        window=64 if parameters["ratio"] != 3 else 60,
        phase=float(parameters["ratio"] // 2),  # the published data decimate there
        normalisation={"kind": "full_scale", "value": full_scale},
        training=_origin(source, taken_from),
        licence="unknown: ask the authors of the checkpoint",
    )
    return save_model(out, network, card)


def _import_own(source: Path, out: Path, tensors: dict[str, Tensor], taken_from: str) -> Card:
    """Weights in our own layout: only the card beside them knows how their inputs are scaled."""
    beside = source.with_suffix(".json")
    if not beside.is_file():
        raise WhetstoneError(
            "MODEL_CARD",
            f"'{source}' has Whetstone's own layout, but no card '{beside.name}' beside it says "
            "how its inputs are scaled.",
            "Use the model that the training wrote; it needs no import.",
        )
    card = read_card(beside)
    network = build_network(card)
    put_tensors(network, tensors, source)
    training = {**card.training, **_origin(source, taken_from)}
    return save_model(out, network, replace(card, name=out.stem, training=training))


def _origin(source: Path, taken_from: str) -> dict[str, str]:
    """Where imported weights are from, for the card."""
    part = {"part": taken_from} if taken_from else {}
    return {"imported_from": source.name, "sha256": file_hash(source), **part}


def _parameters(
    source: Path, tensors: Mapping[str, Tensor], name_in_file: Callable[[str], str]
) -> dict[str, Any]:
    """The network's arguments, by the shapes of its first and its last convolution."""

    def shape(name: str, rule: str, suits: Callable[[Sequence[int]], bool]) -> Sequence[int]:
        found = tuple(tensors[name].shape) if name in tensors else None
        if found and len(found) == 4 and min(found) > 0 and suits(found):
            return found
        trouble = "is missing" if found is None else f"has the shape {found}"
        raise WhetstoneError(
            "MODEL_INVALID",
            f"'{source}': the tensor {name_in_file(name)} {trouble}; it must be {rule}.",
        )

    out, bands = shape(
        "lr_up.conv.weight",
        "(bands x ratio², bands, 3, 3)",
        lambda s: s[0] == s[1] * isqrt(s[0] // s[1]) ** 2,
    )[:2]
    width = shape(
        "head.conv2.weight",
        f"({bands}, width, 3, 3) with a width that is a multiple of {NORM_GROUPS}",
        lambda s: s[0] == bands and s[1] % NORM_GROUPS == 0,
    )[1]
    return {
        "bands": bands,
        "ratio": isqrt(out // bands),
        "width": width,
        "share_resample": not any(name.startswith("spatial_") for name in tensors),
    }


def _read(source: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a checkpoint by name, and the key they were under, "" at the top."""
    data = _load(source)
    path: list[str] = []
    while isinstance(data, dict):
        nest = next((key for key in _NESTS if isinstance(data.get(key), dict)), None)
        if nest is None:
            break
        data = data[nest]
        path.append(nest)
    if not isinstance(data, dict) or not any(isinstance(v, Tensor) for v in data.values()):
        raise WhetstoneError(
            "MODEL_INVALID",
            f"'{source}' holds no named tensors.",
            "A checkpoint is what torch.save(model.state_dict(), FILE) writes.",
        )
    odd = next((key for key, value in data.items() if not isinstance(value, Tensor)), None)
    if odd is not None:
        raise WhetstoneError("MODEL_INVALID", f"'{source}': the entry {odd} is no tensor.")
    tensors = {}
    for key, value in data.items():
        name = str(key)
        while name.startswith("module."):  # DataParallel puts it there
            name = name[len("module.") :]
        tensors[name] = value
    return tensors, ".".join(path)


def _load(source: Path) -> Any:
    """What a file holds, read without running code in it."""
    try:
        if source.suffix == ".safetensors":
            return load_file(source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols; what matters is refused below
            return torch.load(source, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WhetstoneError(
            "MODEL_UNREADABLE",
            f"'{source}' cannot be read: {error.strerror or error}.",
            "Check the path.",
        ) from None
    except SafetensorError as error:
        raise WhetstoneError(
            "MODEL_DAMAGED", f"'{source}' is no sound safetensors file: {error}."
        ) from None
    except Exception as error:  # torch raises many kinds for bytes that are no checkpoint
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code:
            raise WhetstoneError(
                "MODEL_UNSAFE",
                f"'{source}' holds more than tensors ({code[1]}); it was not run.",
                "Save the tensors alone: torch.save(model.state_dict(), FILE).",
            ) from None
        raise WhetstoneError(
            "MODEL_DAMAGED",
            f"'{source}' is damaged or no checkpoint of PyTorch.",
            "Copy or download it again.",
        ) from None
