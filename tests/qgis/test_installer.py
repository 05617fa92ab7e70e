"""The managed engine: made, updated, repaired and removed, and what is said when that fails."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from qgis.core import QgsSettings
from whetstone.engine import Cancelled, Progress, WhetstoneError
from whetstone.plugin import engine_home, installer, pythons
from whetstone.plugin.engine_home import engine_state, read_marker, write_marker
from whetstone.plugin.pip_trouble import trouble_of_pip, trouble_of_start
from whetstone.plugin.streaming import streamed

_spec = importlib.util.spec_from_file_location(
    "fake_python", Path(__file__).with_name("fake_python.py")
)
fake_python = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake_python)

FINE = {"ok": True, "checks": [{"name": "torch", "ok": True, "detail": "torch 2"}]}
SAYS = [
    "Collecting torch==2.13.0",
    "  Downloading torch-2.13.0.whl (183.1 MB)",
    "Installing collected packages: torch, rasterio, safetensors",
]


class Watch(Progress):
    def __init__(self):
        self.moves, self.stop = [], threading.Event()

    def update(self, fraction, text=""):
        self.moves.append((fraction, text))

    def cancelled(self):
        return self.stop.is_set()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, qgis_app):
    folder = tmp_path / "AÏSSI home"
    monkeypatch.setenv("WHETSTONE_HOME", str(folder))
    monkeypatch.setenv("FAKE_PYTHON", "")
    monkeypatch.delenv("WHETSTONE_ENGINE_PYTHON", raising=False)
    monkeypatch.setattr(engine_home, "own_python", lambda: "")
    QgsSettings().remove(engine_home.SETTING)
    return folder


@pytest.fixture
def fake(tmp_path, home):
    return fake_python.FakePython(tmp_path / "fake", says=SAYS)


def install(fake, build="cpu", progress=None, log=None, self_test=None, **more):
    test = self_test or (lambda python, progress: FINE)
    return installer.install(
        build,
        progress or Progress(),
        (log if log is not None else []).append,
        self_test=test,
        candidates=[str(fake.path)],
        **more,
    )


def refused(code, fake, **more):
    with pytest.raises(WhetstoneError) as caught:
        install(fake, **more)
    assert caught.value.code == code, caught.value
    assert caught.value.hint and "\n" not in str(caught.value)
    return str(caught.value)


def test_an_engine_is_made_tested_and_ready(fake, home, monkeypatch):
    monkeypatch.delenv("WHETSTONE_TORCH_INDEX", raising=False)
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    monkeypatch.setenv("PROJ_LIB", "/of/qgis")
    watch, log = Watch(), []
    network = {"HTTPS_PROXY": "http://proxy:3128"}
    assert install(fake, progress=watch, log=log, network=network) == FINE
    state = engine_state()
    assert (state.code, state.origin, state.build) == ("ready", "managed", "cpu")
    folder = home / f"engine-{engine_home.torch_version()}-cpu"
    assert state.folder == str(folder) and state.python == str(folder / "bin" / "python")
    marker = read_marker(folder)
    assert marker["state"] == "ready" and marker["base"] == str(fake.path)
    assert not (folder / "tmp").exists()
    fractions = [fraction for fraction, _ in watch.moves]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert set(SAYS) <= set(log) and any("3.11.2" in line for line in log)

    venv, pip = fake.calls()[1:]
    assert venv["words"] == ["-I", "-m", "venv", str(folder)]
    words, environ = pip["words"], pip["environ"]
    assert words[:4] == ["-I", "-m", "pip", "install"]
    assert words[words.index("-r") + 1] == str(engine_home.REQUIREMENTS / "deep.txt")
    assert words[-2:] == ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]
    constraint = Path(words[words.index("-c") + 1]).read_text().strip()
    assert constraint == f"torch=={engine_home.torch_version()}+cpu"
    assert environ["HTTPS_PROXY"] == "http://proxy:3128"
    assert environ["PIP_INDEX_URL"] == "https://mirror.example/simple"
    assert "PIP_TARGET" not in environ and "PROJ_LIB" not in environ
    assert environ["TMPDIR"] == str(folder / "tmp") and environ["PIP_USER"] == "0"


def test_another_index_or_none(fake, monkeypatch):
    monkeypatch.setenv("WHETSTONE_TORCH_INDEX", "https://mirror.example/whl/")
    install(fake, "cu126")
    words = fake.calls()[-1]["words"]
    assert words[-1] == "https://mirror.example/whl/cu126"
    constraint = Path(words[words.index("-c") + 1]).read_text()
    assert "+cu126" in constraint
    monkeypatch.setenv("WHETSTONE_TORCH_INDEX", "none")
    install(fake)
    assert "--extra-index-url" not in fake.calls()[-1]["words"]


def test_cancel_kills_all_and_leaves_half_an_engine(fake, home):
    fake.plays(hangs=True)
    watch, caught, begun = Watch(), [], time.monotonic()

    def work():
        try:
            install(fake, progress=watch)
        except Cancelled as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not fake.child and time.monotonic() - begun < 20:
        time.sleep(0.02)
    child, asked = fake.child, time.monotonic()
    watch.stop.set()
    thread.join(10)
    assert time.monotonic() - asked < 1 and caught
    while not gone(child) and time.monotonic() - asked < 20:  # killed, it ends when it next runs
        time.sleep(0.02)
    assert gone(child)
    state = engine_state()
    assert state.code == "half" and "interrupted" in state.sentence
    assert not (Path(state.folder) / "tmp").exists()
    with pytest.raises(WhetstoneError, match="Repair") as error:
        engine_home.ready_engine()
    assert error.value.code == "ENGINE_BROKEN"
    fake.plays(hangs=False)
    install(fake)
    assert engine_state().code == "ready"


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_failed_self_test_is_a_broken_engine(fake):
    bad = {"ok": False, "checks": [{"name": "torch", "ok": False, "detail": "no libtorch"}]}
    said = refused("ENGINE_BROKEN", fake, self_test=lambda python, progress: bad)
    assert "torch: no libtorch" in said and "Repair" in said
    assert engine_state().code == "broken" and "no libtorch" in engine_state().sentence

    def dies(python, progress):
        raise WhetstoneError("ENGINE_BROKEN", "The engine does not start: OSError: WinError 1114.")

    assert "Visual C++" in refused("VCREDIST", fake, self_test=dies)


def test_an_update_replaces_the_old_engine(fake, home):
    install(fake)
    old = Path(engine_state().folder)
    older = old.rename(old.with_name("engine-2.5.0-cu121"))
    write_marker(older, torch="2.5.0", requirements="other", build="cu121")
    state = engine_state()
    assert state.code == "outdated" and "2.5.0" in state.sentence
    with pytest.raises(WhetstoneError, match="Update") as caught:
        engine_home.ready_engine()
    assert caught.value.code == "ENGINE_OLD"
    install(fake)
    assert engine_state().code == "ready" and not older.exists()
    assert [path.name for path in home.iterdir()] == [old.name]


def test_a_failed_update_keeps_the_old_engine_and_says_so(fake, home):
    install(fake)
    old = Path(engine_state().folder)
    older = old.rename(old.with_name("engine-2.5.0-cpu"))
    write_marker(older, torch="2.5.0", requirements="other")
    fake.plays(status=1, says=["ERROR: boom"])
    refused("ENGINE_INSTALL", fake)
    assert older.exists() and engine_state().code == "outdated"


def test_removing_takes_everything(fake, home):
    install(fake)
    (home / "engine-2.5.0-cpu").mkdir()
    (home / "models").mkdir()
    locked = Path(engine_state().folder) / "lib" / "python3.11"
    locked.chmod(0o500)
    installer.remove(Progress(), print)
    assert [path.name for path in home.iterdir()] == ["models"]
    assert engine_state().code == "missing"


def test_an_engine_in_use_is_said(fake, monkeypatch):
    install(fake)

    def held(self, target):
        raise PermissionError(13, "used by another process")

    monkeypatch.setattr(Path, "rename", held)
    with pytest.raises(WhetstoneError, match="in use") as caught:
        installer.remove(Progress(), print)
    assert caught.value.code == "ENGINE_LOCKED"
    assert engine_state().code == "ready"  # it is whole, and goes on


def test_an_old_engine_in_use_does_not_spoil_the_new_one(fake, monkeypatch):
    install(fake)
    old, rename, said = Path(engine_state().folder), Path.rename, []

    def held(self, target):
        if self == old:
            raise PermissionError(13, "used by another process")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", held)
    install(fake, "cu126", log=said)
    assert engine_state().build == "cu126" and engine_state().code == "ready"
    assert old.exists() and any("in use" in line for line in said)


def test_a_command_does_not_outlive_trouble_with_its_output(tmp_path):
    def refuse(line):
        raise OSError("no")

    script = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    seen = []
    with pytest.raises(OSError, match="no"):
        streamed(
            [sys.executable, "-c", script],
            os.environ,
            lambda line: (seen.append(int(line)), refuse(line)),
            lambda: False,
            str(tmp_path),
        )
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


def test_two_installations_do_not_meet(fake, home, monkeypatch):
    install(fake)
    folder = Path(engine_state().folder)
    write_marker(folder, state="installing")
    state = engine_state()
    assert state.code == "half" and "being installed" in state.sentence
    assert "Another QGIS" in refused("ENGINE_LOCKED", fake)
    with pytest.raises(WhetstoneError, match="Another QGIS"):
        installer.remove(Progress(), print)
    with pytest.raises(WhetstoneError, match="when that has ended"):
        engine_home.ready_engine()
    long_ago = time.time() - 60
    os.utime(folder / engine_home.MARKER, (long_ago, long_ago))
    assert "interrupted" in engine_state().sentence
    install(fake)


def test_a_long_self_test_still_counts_as_work(fake, monkeypatch):
    monkeypatch.setattr(installer, "_TOUCH_SECONDS", 0.0)
    fresh = []

    def slow(python, progress):
        folder = Path(python).parents[1]
        os.utime(folder / engine_home.MARKER, (1, 1))
        fresh.append(engine_home.being_made(folder))
        time.sleep(0.01)
        progress.cancelled()
        fresh.append(engine_home.being_made(folder))
        return FINE

    install(fake, self_test=slow)
    assert fresh == [False, True] and engine_state().code == "ready"


def test_too_little_room_is_said_before(fake, home, monkeypatch):
    monkeypatch.setattr(installer, "free_space", lambda folder: 700_000_000)
    said = refused("DISK", fake)
    assert "1.3 GB are needed, 0.7 GB are free" in said and "WHETSTONE_HOME" in said
    assert not list(home.iterdir())


def test_a_folder_that_cannot_be_written_is_said(fake, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WHETSTONE_HOME", str(tmp_path / "file" / "home"))
    refused("POLICY", fake)


RETRIES = (
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError("
    '"<pip._vendor.urllib3.connection.HTTPSConnection object>: Failed to establish a new '
    "connection: [Errno -2] Name or service not known\")': /simple/torch/",
    "ERROR: HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded with url: /s/",
    "ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from none)",
    "ERROR: No matching distribution found for torch==2.13.0",
)


@pytest.mark.parametrize(
    ("code", "told", "lines"),
    [
        ("NET", "pypi.org cannot be reached", RETRIES),
        (
            "PROXY",
            "through to pypi.org",
            [
                "ERROR: HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded "
                "(Caused by ProxyError('Cannot connect to proxy.', OSError('Tunnel connection "
                "failed: 407 Proxy Authentication Required')))"
            ],
        ),
        (
            "SSL",
            "certificate of download.pytorch.org",
            [
                "HTTPSConnectionPool(host='download.pytorch.org', port=443): (Caused by SSLError("
                "SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] self signed')))"
            ],
        ),
        ("DISK", "1.3 GB are needed", ["ERROR: [Errno 28] No space left on device"]),
        ("POLICY", "WinError 5", ["ERROR: Could not install: [WinError 5] Access is denied: 'x'"]),
        ("PLATFORM", "no build of torch==2.13.0", [*RETRIES[2:]]),
        ("CHECKSUM", "damaged", ["ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE FILE"]),
        ("NET", "download.pytorch.org", ["ERROR: HTTP error 503 while getting https://download."
                                         "pytorch.org/whl/cpu/torch.whl"]),
        ("ENGINE_INSTALL", "status 2: ERROR: out of luck", ["ERROR: out of luck", "bye"]),
    ],
)  # fmt: skip
def test_failures_of_pip_in_words(fake, code, told, lines):
    fake.plays(status=2, says=[*SAYS, *lines])
    assert told in refused(code, fake)
    assert engine_state().code == "half"


def test_passwords_of_proxies_are_no_hosts():
    lines = ["could not fetch https://user:secret@mirror.example/simple: timed out"]
    assert "mirror.example cannot" in str(trouble_of_pip(lines, 1, "/f", 1, 1))


def test_a_policy_that_blocks_torch_is_said():
    error = trouble_of_start("C:/x/python.exe", "OSError: [WinError 4551] An Application Control")
    assert error.code == "POLICY"


def test_without_ensurepip_debian_is_told_what_to_install(fake):
    fake.plays(answer={**fake_python.GOOD, "venv": False})
    said = refused("PLATFORM", fake)
    assert "python3-venv" in said and str(fake.path) in said


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": [3, 9, 5]}, "too old, 3.10 or newer"),
        ({"version": [3, 21, 0]}, "too new"),
        ({"bits": 32}, "32-bit"),
        ({"implementation": "PyPy"}, "PyPy, not CPython"),
        ({"https": False}, "lacks ssl or zlib"),
    ],
)
def test_pythons_that_do_not_do(fake, change, told):
    fake.plays(answer={**fake_python.GOOD, **change})
    assert told in refused("PLATFORM", fake)


def test_the_first_python_that_does_is_taken(fake, tmp_path):
    candidates = [str(tmp_path / "none"), str(fake.path)]
    python, verdicts = pythons.find_python(candidates)
    assert python == str(fake.path) and [bool(v.trouble) for v in verdicts] == [True, False]
    assert "cannot be started" in str(verdicts[0])
    with pytest.raises(WhetstoneError, match="there is none"):
        pythons.find_python([])


def test_apples_stub_is_not_started():
    assert pythons.opens_a_dialog("/usr/bin/python3", "darwin")
    assert not pythons.opens_a_dialog("/opt/homebrew/bin/python3.12", "darwin")
    assert not pythons.opens_a_dialog("/usr/bin/python3", "linux")


def test_this_machine_has_a_python():
    python, verdicts = pythons.find_python()
    assert os.path.isfile(python) and not verdicts[-1].trouble


@pytest.mark.parametrize(
    ("platform", "machine", "environ", "told"),
    [
        ("darwin", "x86_64", {}, "Intel"),
        ("linux", "x86_64", {"FLATPAK_ID": "org.qgis.qgis"}, "Flatpak"),
        ("linux", "x86_64", {"SNAP": sys.prefix}, "Snap"),
        ("win32", "x86", {}, "32-bit"),
    ],
)
def test_systems_without_pytorch_are_told_up_front(platform, machine, environ, told):
    with pytest.raises(WhetstoneError, match=told) as caught:
        pythons.refuse_system(platform, machine, environ)
    assert caught.value.code == "PLATFORM" and "external engine" in caught.value.hint


def test_systems_with_pytorch_are_not_refused():
    for platform, machine in (("darwin", "arm64"), ("win32", "AMD64"), ("linux", "aarch64")):
        pythons.refuse_system(platform, machine, {"SNAP": "/snap/code/1"})


def test_the_windows_launcher_is_read(tmp_path):
    script = tmp_path / "py"
    script.write_text(
        "#!/bin/sh\n"
        "echo ' -V:3.12 *        C:\\Python312\\python.exe'\n"
        "echo ' -V:3.9           C:\\Program Files\\Python39\\python.exe'\n"
        "echo 'No more'\n"
    )
    script.chmod(0o755)
    found = pythons.launcher_lists(str(script))
    assert found == ["C:\\Python312\\python.exe", "C:\\Program Files\\Python39\\python.exe"]
