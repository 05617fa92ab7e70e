"""The command line of the training scripts, and how they say what is wrong."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Callable

from whetstone.engine.errors import WhetstoneError


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments of every training script."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    made.add_argument("config", help="a name in training/configs, or a .toml file")
    made.add_argument("--patches", type=Path, required=True, metavar="FILE.h5")
    made.add_argument("--val-patches", type=Path, metavar="FILE.h5", help="default: --patches")
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="model and curves")
    made.add_argument("--resume", action="store_true", help="go on from DIR/state.pt")
    made.add_argument("--iterations", type=int, metavar="N", help="instead of the config's")
    return made


def quiet(work: Callable[[], object]) -> int:
    """Run a script's main: one line for what a user can mend, status 130 for Ctrl-C."""
    try:
        work()
    except WhetstoneError as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("CANCELLED: what was complete is kept; a run goes on with --resume.\n")
        return 130
    return 0
