"""Two processes through ``accelerate launch``: they hold the same weights, and one writes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from tiny import differing, state_of, write_crossdiff
from whetstone.engine.deep import load_model

#: Runs a script as launched, then stores this process's weights.
DRIVER = """
import sys
sys.path[:0] = [{training!r}]
import runpy, torch
from runs import Run
close = Run.close
def store(run):
    torch.save(run.network.state_dict(), run.out / f"rank{{run.rank}}.pt")
    close(run)
Run.close = store
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def launch(root, tmp_path, script, *words):
    """``accelerate launch`` of a training script in two processes.

    On a CPU that takes --multi_gpu: --cpu alone starts a single process unless there is MPI.
    """
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER.format(training=str(root / "training")))
    tool = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    many = ["--num_processes", "2", "--main_process_port", "0"]
    path = root / "training" / f"{script}.py"
    done = subprocess.run(
        [*tool, *many, driver, path, *map(str, words)],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("script", ["train_ssdiff", "finetune_ssdiff"])
def test_two_processes(script, config, patches, model, root, tmp_path):
    """L-BAF freezes on the way, so it asks more of the processes than the other scripts do."""
    folder = tmp_path / "run"
    path = config(iterations=3, period=1, validate_every=1, clip=1.0)
    words = ("--from", model, "--patches", patches, "--out", folder)
    launch(root, tmp_path, script, path, *words)
    first, second = (torch.load(folder / f"rank{rank}.pt") for rank in (0, 1))
    network = load_model(folder / "run.safetensors").network
    names = [name for name, _ in network.named_parameters()]
    assert differing({n: first[n] for n in names}, {n: second[n] for n in names}) == []
    state = state_of(folder)
    assert state["step"] == 3 and len(state["history"]) == 4
    assert differing(state["network"], first) == []
    start, branches = load_model(model).network.state_dict(), network.branches()
    moved = {name[1:] for name in differing(dict(start), dict(first))}
    assert moved >= {*branches["spatial"], *branches["spectral"]}
    assert bool(moved & set(branches["common"])) == (script == "train_ssdiff")
    assert len(list(folder.glob("*tfevents*"))) == 1


@pytest.mark.parametrize("script", ["pretrain_crossdiff", "train_crossdiff"])
def test_two_processes_of_crossdiff(script, crossdiff, both, root, tmp_path):
    folder, start = tmp_path / "run", write_crossdiff(tmp_path / "start.safetensors", stage=1)
    path = crossdiff(objective="both", iterations=2, validate_every=1, clip=1.0)
    launch(root, tmp_path, script, path, "--from", start, "--patches", both, "--out", folder)
    first, second = (torch.load(folder / f"rank{rank}.pt") for rank in (0, 1))
    assert differing(dict(first), dict(second)) == []
    before = load_model(start).network.state_dict()
    moved = {name[1:].split(".")[0] for name in differing(dict(before), dict(first))}
    if script == "pretrain_crossdiff":
        assert moved == {"p2m", "m2p", "head"}, "the head is not taken over"
    else:
        assert moved == {"head"}
    assert state_of(folder)["step"] == 2
    assert len(list(folder.glob("*tfevents*"))) == 1
