"""The command line: one verb per job. Texts for people on stderr and stdout, or one JSON object."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from dataclasses import is_dataclass, replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Iterator, Sequence

from . import run
from .answers import notes, to_text
from .command import job_from_args, known_methods
from .errors import Cancelled, WhetstoneError
from .flags import WrongCall, build_parser
from .jobs import AssessJob, FuseJob, RasterSource, job_from_json, result_to_dict
from .types import PartOfProgress, Progress

if TYPE_CHECKING:
    from argparse import Namespace
    from types import FrameType

    from .jobs import Job

OK, FAILED, WRONG_CALL, CANCELLED = 0, 1, 2, 130


def stored_job(path: str) -> Job:
    """The job in a JSON file, or in the tag WHETSTONE_JOB of an image that Whetstone wrote."""
    try:
        with open(path, "rb") as file:
            start = file.read(4)
            if start[:2] not in (b"II", b"MM"):
                return job_from_json((start + file.read()).decode("utf-8-sig"))
    except OSError as error:
        raise WhetstoneError(
            "JOB_UNREADABLE", f"{path} cannot be read: {error.strerror}.", "Check the path."
        ) from None
    except UnicodeDecodeError:
        raise WhetstoneError(
            "JOB_INVALID", f"{path} is neither a job in JSON nor a GeoTIFF.", "Check the path."
        ) from None
    from .raster import backend

    reader = backend().open(path)
    try:
        text = reader.info.tags.get("WHETSTONE_JOB")
    finally:
        reader.close()
    if not text:
        raise WhetstoneError(
            "JOB_MISSING", f"{path} carries no job.", "Only images written by Whetstone do."
        )
    return job_from_json(text)


class Terminal(Progress):
    """A bar with the time that is left where stderr is a terminal; messages always."""

    def __init__(self) -> None:
        self.stopped = False
        self.told: list[str] = []
        self._bar: Any = None

    def update(self, fraction: float, text: str = "") -> None:
        """Move the bar."""
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            from tqdm import tqdm

            tqdm.set_lock(RLock())  # its own default is shared between processes
            tqdm.monitor_interval = 0  # no thread beside the job's
            form = "{desc}{percentage:3.0f}% |{bar}| {elapsed}, {remaining} left"
            self._bar = tqdm(
                total=1.0, file=sys.stderr, bar_format=form, leave=False, miniters=0, delay=0.3
            )
        if text:
            self._bar.set_description(f"{text} ", refresh=False)
        self._bar.update(max(min(fraction, 1.0) - self._bar.n, 0.0))

    def message(self, text: str) -> None:
        """Print a note above the bar."""
        self.told.append(text)
        if self._bar is not None:
            self._bar.clear()
        print(f"note: {text}", file=sys.stderr, flush=True)

    def cancelled(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.stopped

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    @contextlib.contextmanager
    def watching_signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM ask the job to stop; a second time they stop it at once."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self.stopped:
                raise KeyboardInterrupt
            self.stopped = True

        before: dict[int, Any] = {}
        with contextlib.suppress(ValueError):  # not the main thread: the host has the signals
            for number in (int(signal.SIGINT), int(signal.SIGTERM)):
                before[number] = signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.close()


def execute(args: Namespace, progress: Progress) -> Any:
    """Do what the verb says and return its result (a dataclass, or plain values)."""
    if args.verb == "methods":
        return {
            "methods": [
                {
                    "name": name,
                    **{k: getattr(m, k) for k in ("title", "family", "summary", "source")},
                }
                for name, m in known_methods().items()
            ]
        }
    if args.verb == "selftest":
        from .selftest import selftest

        return selftest(progress)
    if args.verb == "models":
        from .models_cli import models

        return models(args, progress)
    if args.verb == "demo":
        return _demo(args, progress)
    if args.verb != "run":
        return run(job_from_args(args), progress)
    job = stored_job(args.file)
    if args.out:
        target = next((key for key in ("out", "out_dir") if hasattr(job, key)), None)
        if target is None:
            raise WrongCall("USAGE", "This job writes no image; --out means nothing to it.")
        moved = {target: args.out}
        if getattr(job, "uncertainty", None):  # the first run's is as little written over
            stem, extension = os.path.splitext(args.out)
            moved["uncertainty"] = f"{stem}_std{extension}"
        job = replace(job, **moved)
    return run(job, progress)


def _demo(args: Namespace, progress: Progress) -> dict[str, Any]:
    job = job_from_args(args)
    if args.scene_only:
        return {"demo": run(job, progress)}
    scene = run(job, PartOfProgress(progress, 0.0, 0.2))
    folder = Path(args.out_dir)
    pan, ms = RasterSource.of(scene.pan), RasterSource.of(scene.ms)
    fuse = FuseJob(pan, ms, str(folder / "fused.tif"))
    fused = run(fuse, PartOfProgress(progress, 0.2, 0.6))
    assess = AssessJob(
        RasterSource.of(fused.out),
        pan,
        ms,
        reference=RasterSource.of(scene.gt),
        html=str(folder / "report.html"),
    )
    return {
        "demo": scene,
        "fuse": fused,
        "assess": run(assess, PartOfProgress(progress, 0.6, 1.0)),
    }


def to_json(result: Any) -> dict[str, Any]:
    """A result as the object that ``--json`` prints."""
    if is_dataclass(result):
        return result_to_dict(result)
    return {k: to_json(v) if is_dataclass(v) else v for k, v in result.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json, debug = "--json" in words, "--debug" in words
    try:
        args = build_parser().parse_args(words)
        progress = Terminal()
        # Whatever a library prints must not get between --json and its reader.
        with contextlib.redirect_stdout(sys.stderr), progress.watching_signals():
            result = execute(args, progress)
        if as_json:
            print(json.dumps(to_json(result)))
        else:
            untold = [note for note in notes(result) if note not in progress.told]
            print("\n".join([to_text(result), *(f"note: {note}" for note in untold)]))
        sys.stdout.flush()
        return FAILED if getattr(result, "failed", False) else OK
    except BrokenPipeError:  # the reader went away, as in `whetstone methods | head -3`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except WhetstoneError as caught:
        error = caught
    except KeyboardInterrupt as caught:
        error = Cancelled().with_traceback(caught.__traceback__)
    except Exception as caught:  # one line for people; the traceback is for --debug
        error = WhetstoneError(
            "INTERNAL",
            f"{type(caught).__name__}: {caught}",
            "This is a bug: run it again with --debug and report what it prints.",
        ).with_traceback(caught.__traceback__)
    if debug:
        traceback.print_tb(error.__traceback__)
    print(f"{error.code}: {' '.join(str(error).split())}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": error.to_dict()}))
    return _status(error)


def _status(error: WhetstoneError) -> int:
    if isinstance(error, Cancelled):
        return CANCELLED
    return WRONG_CALL if isinstance(error, WrongCall) else FAILED


if __name__ == "__main__":
    sys.exit(main())
