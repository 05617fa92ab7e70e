"""Downloads, against a server on this machine that answers as the Hugging Face Hub does."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from plain import filled
from whetstone.engine import library
from whetstone.engine.cards import Card
from whetstone.engine.deep.models import download_model, find_model, load_model
from whetstone.engine.deep.weights import save_model
from whetstone.engine.errors import Cancelled, WhetstoneError
from whetstone.engine.types import Progress

constants = pytest.importorskip("huggingface_hub.constants")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ADDRESS = f"hf:someone/models@{COMMIT}/ssdiff/tiny.safetensors"
ROOT = f"/someone/models/resolve/{COMMIT}/ssdiff"


class Hub(ThreadingHTTPServer):
    """Files by path. Weights are on another path, as large files are, behind a redirect."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, str]] = []  # method, path, Range
        self.break_after: list[int] = []  # per GET of weights: bytes until the connection breaks
        self.status = 0
        self.silent = threading.Event()
        self.slow = 0.0  # seconds per 100 kB of weights

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Clients that go away are part of the tests."""


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        hub, path = self.server, self.path.partition("?")[0]
        hub.seen.append((self.command, path, self.headers.get("Range", "")))
        while hub.silent.is_set():
            time.sleep(0.02)
        stored = path.startswith("/storage/")
        data = hub.files.get(path.removeprefix("/storage"))
        if hub.status or data is None:
            known = path.startswith("/someone/models/resolve/")
            kind = "EntryNotFound" if known else "RepoNotFound"
            self.send_response(hub.status or (404 if known else 401))
            if not hub.status:
                self.send_header("X-Error-Code", kind)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        etag = hashlib.sha256(data).hexdigest()
        if not stored and path.endswith(".safetensors"):
            self.send_response(302)
            self.send_header("Location", f"{hub.url}/storage{path}")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Etag", f'"{etag}"')
            self.send_header("X-Linked-Size", str(len(data)))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "HEAD":
            return
        stop = start + hub.break_after.pop(0) if stored and hub.break_after else len(data)
        for at in range(start, stop, 100_000):
            self.wfile.write(data[at : min(at + 100_000, stop)])
            time.sleep(hub.slow if stored else 0)
        if stop < len(data):
            self.close_connection = True


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights and card of a small model."""
    path = tmp_path_factory.mktemp("published") / "tiny.safetensors"
    parameters = {"bands": 4, "ratio": 4, "width": 32, "share_resample": True}
    save_model(path, filled(4), Card("tiny", "ssdiff", parameters, 4, 4))
    return path.read_bytes(), path.with_suffix(".json").read_bytes()


@pytest.fixture
def server(files, tmp_path, monkeypatch):
    server = Hub()
    server.files = {f"{ROOT}/tiny.safetensors": files[0], f"{ROOT}/tiny.json": files[1]}
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", server.url + "/")
    yield server
    server.silent.clear()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    monkeypatch.setenv("WHETSTONE_MODELS", str(folder))
    # Read when the library is imported: no look at the token of whoever runs the tests, and no
    # further requests and files for its own statistics.
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(library, "BUNDLED", tmp_path / "bundled")
    return folder


@pytest.fixture
def hasty(monkeypatch):
    """The library waits a second before it tries again; not here."""
    from huggingface_hub import file_download

    monkeypatch.setattr(file_download, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)


@pytest.fixture
def listed(monkeypatch, tmp_path, files):
    """The model, in the catalogue under a name of its own."""

    def list_it(**change):
        row = {
            "repo": "someone/models",
            "revision": COMMIT,
            "file": "ssdiff/tiny.safetensors",
            "card": "ssdiff/tiny.json",
            "sha256": hashlib.sha256(files[0]).hexdigest(),
        }
        path = tmp_path / "catalogue.json"
        path.write_text(json.dumps({"models": {"listed": {**row, **change}}}))
        monkeypatch.setattr(library, "CATALOGUE", path)

    return list_it


class Watch(Progress):
    def __init__(self, stop_at=2.0):
        self.stop_at, self.fractions, self.told = stop_at, [0.0], []

    def update(self, fraction, text=""):
        self.fractions.append(fraction)

    def message(self, text):
        self.told.append(text)

    def cancelled(self):
        return self.fractions[-1] >= self.stop_at


def refused(code, name, home, progress=None):
    with pytest.raises(WhetstoneError) as caught:
        download_model(name, progress or Progress())
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert not home.exists() or not list(home.iterdir())
    return str(caught.value)


def kept(home):
    """The beginnings of downloads that wait for the next try; nothing else may be there."""
    assert all(path.name == f".tiny-{COMMIT[:12]}.part" for path in home.iterdir())
    return list(home.iterdir())


def starts(server):
    """Where the transfers of weights began that did not begin at 0."""
    return [int(r[6:-1]) for _, path, r in server.seen if path.startswith("/storage") and r]


def test_a_model_is_downloaded_by_its_address(server, home, files):
    watch = Watch()
    model = download_model(ADDRESS, watch)
    assert (model.name, model.where) == ("tiny", "user")
    assert sorted(p.name for p in home.iterdir()) == ["tiny.json", "tiny.safetensors"]
    assert (home / "tiny.safetensors").read_bytes() == files[0]
    assert watch.fractions == sorted(watch.fractions) and watch.fractions[-1] == 1.0
    assert load_model("tiny").card == model.card
    assert {path for _, path, _ in server.seen} == {
        f"{ROOT}/tiny.json",
        f"{ROOT}/tiny.safetensors",
        f"/storage{ROOT}/tiny.safetensors",
    }


def test_a_model_is_downloaded_by_its_name_when_it_is_needed(server, home, listed):
    listed()
    model = find_model("listed")
    assert model.path == home / "listed.safetensors"
    calls = len(server.seen)
    assert find_model("listed") == model
    watch = Watch()
    assert download_model("listed", watch) == model
    assert len(server.seen) == calls
    assert "already" in watch.told[0]


def test_a_damaged_copy_is_replaced(server, home, listed, files):
    listed()
    path = download_model("listed", Progress()).path
    path.write_bytes(b"damaged")
    download_model("listed", Progress())
    assert path.read_bytes() == files[0]


def test_another_model_of_that_name_is_kept(server, home):
    path = home / "tiny.safetensors"
    home.mkdir()
    save_model(path, filled(3), Card("tiny", "ssdiff", {"bands": 3}, 3, 4))
    before = path.read_bytes()
    with pytest.raises(WhetstoneError, match="another model of the same name"):
        download_model(ADDRESS, Progress())
    assert path.read_bytes() == before
    assert sorted(p.name for p in home.iterdir()) == ["tiny.json", "tiny.safetensors"]


def test_a_wrong_hash_is_refused(server, home, listed, files):
    data = bytearray(files[0])
    data[-1] ^= 1
    server.files[f"{ROOT}/tiny.safetensors"] = bytes(data)
    said = refused("HUB_HASH", ADDRESS, home)
    found = hashlib.sha256(data).hexdigest()
    assert f"from someone/models@0123456 has the SHA-256 {found[:12]}" in said
    listed()
    refused("HUB_HASH", "listed", home)


def test_a_card_with_another_hash_than_the_catalogue_is_refused(server, home, listed, files):
    listed(sha256="f" * 64)
    assert "it must be ffffffffffff" in refused("HUB_HASH", "listed", home)
    card = json.loads(files[1])
    server.files[f"{ROOT}/tiny.json"] = json.dumps({**card, "sha256": ""}).encode()
    assert "has the SHA-256 none" in refused("HUB_HASH", ADDRESS, home)


def test_what_cannot_be_loaded_is_not_kept(server, home, files):
    card = json.loads(files[1])
    card["bands"] = card["parameters"]["bands"] = 8
    server.files[f"{ROOT}/tiny.json"] = json.dumps(card).encode()
    said = refused("MODEL_INVALID", ADDRESS, home)
    assert "'someone/models@0123456/ssdiff/tiny.safetensors': the tensor lr_up.conv.weight" in said
    server.files[f"{ROOT}/tiny.json"] = b"<html>"
    assert "someone/models@0123456/ssdiff/tiny.json' is not JSON" in refused(
        "MODEL_CARD", ADDRESS, home
    )


@pytest.mark.parametrize("gone", ["tiny.json", "tiny.safetensors"])
def test_a_missing_file_is_told(server, home, gone):
    del server.files[f"{ROOT}/{gone}"]
    said = refused("HUB_NOT_FOUND", ADDRESS, home)
    assert f"has no ssdiff/{gone} of someone/models@0123456" in said


def test_a_missing_repository_is_told(server, home):
    said = refused("HUB_NOT_FOUND", f"hf:nobody/none@{COMMIT}/x.safetensors", home)
    assert "status 401" in said


def test_a_server_in_trouble_is_told(server, home):
    server.status = 503
    assert "status 503" in refused("HUB_ERROR", ADDRESS, home)


def test_a_server_that_is_no_hub_is_told(server, home, monkeypatch):
    monkeypatch.setattr(Answer, "send_header", without_commit(Answer.send_header))
    assert "x-repo-commit" in refused("HUB_UNREACHABLE", ADDRESS, home).lower()


def without_commit(send):
    return lambda self, key, value: send(self, key, value) if key != "X-Repo-Commit" else None


def test_without_a_server_it_is_said_what_to_do(home, monkeypatch):
    idle = Hub()
    idle.server_close()
    monkeypatch.setenv("HF_ENDPOINT", idle.url)
    start = time.monotonic()
    said = refused("HUB_UNREACHABLE", ADDRESS, home)
    assert f"could not be downloaded from {idle.url}: " in said
    assert "put tiny.safetensors and tiny.json into the model folder by hand" in said
    assert time.monotonic() - start < 5


def test_a_broken_connection_goes_on_where_it_was(server, home, files, hasty):
    server.break_after = [2_000_000, 1_500_000]
    download_model(ADDRESS, Progress())
    assert (home / "tiny.safetensors").read_bytes() == files[0]
    first, second = starts(server)
    assert 1_900_000 < first <= 2_000_000 and 3_300_000 < second <= 3_500_000


def test_a_body_that_is_cut_off_for_good_is_refused(server, home, hasty):
    server.break_after = [1000] + [0] * 20
    with pytest.raises(WhetstoneError, match=r"tiny\.safetensors") as caught:
        download_model(ADDRESS, Progress())
    assert caught.value.code == "HUB_UNREACHABLE"
    kept(home)


def test_the_next_try_goes_on_where_the_connection_broke(server, home, files, hasty):
    server.break_after = [2_000_000] + [0] * 20
    with pytest.raises(WhetstoneError):
        download_model(ADDRESS, Progress())
    (part,) = kept(home)
    size, server.break_after = part.stat().st_size, []
    assert part.read_bytes() == files[0][:size] and size > 1_900_000
    server.seen.clear()
    watch = Watch()
    download_model(ADDRESS, watch)
    assert starts(server) == [size]
    assert (home / "tiny.safetensors").read_bytes() == files[0]
    assert sorted(path.name for path in home.iterdir()) == ["tiny.json", "tiny.safetensors"]
    assert watch.fractions == sorted(watch.fractions)


def test_the_next_try_goes_on_where_a_cancel_came(server, home, files, hasty):
    server.slow = 0.02
    with pytest.raises(Cancelled):
        download_model(ADDRESS, Watch(stop_at=0.2))
    (part,) = kept(home)
    size = part.stat().st_size
    server.slow = 0.0
    server.seen.clear()
    download_model(ADDRESS, Progress())
    assert starts(server) == [size] and 0 < size < len(files[0])
    assert (home / "tiny.safetensors").read_bytes() == files[0]


def test_a_beginning_of_something_else_is_not_kept_for_ever(server, home, files):
    home.mkdir()
    (home / f".tiny-{COMMIT[:12]}.part").write_bytes(b"something else" * 100)
    refused("HUB_HASH", ADDRESS, home)
    download_model(ADDRESS, Progress())
    assert (home / "tiny.safetensors").read_bytes() == files[0]


def test_a_beginning_that_is_too_long_is_begun_anew(server, home, files):
    home.mkdir()
    (home / f".tiny-{COMMIT[:12]}.part").write_bytes(files[0] + b"more")
    download_model(ADDRESS, Progress())
    assert (home / "tiny.safetensors").read_bytes() == files[0] and not starts(server)


def test_a_download_can_be_cancelled(server, home):
    with pytest.raises(Cancelled):
        download_model(ADDRESS, Watch(stop_at=0.05))
    kept(home)


def test_a_silent_server_does_not_hold_up_a_cancel(server, home):
    server.silent.set()
    start = time.monotonic()
    with pytest.raises(Cancelled):
        download_model(ADDRESS, Watch(stop_at=0.0))
    assert time.monotonic() - start < 1
    assert not list(home.iterdir())


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:7], COMMIT.upper()])
def test_only_a_commit_is_a_revision(revision, home):
    said = refused("HUB_REVISION", f"hf:someone/models@{revision}/x.safetensors", home)
    assert f"{revision!r} is not a commit" in said


@pytest.mark.parametrize(
    "name",
    [
        "hf:",
        "hf:models/x.safetensors",
        f"hf:models@{COMMIT}/x.safetensors",
        f"hf:someone/models@{COMMIT}/x.pt",
        f"hf:someone/models@{COMMIT}/.safetensors",
        f"hf:someone/models@{COMMIT}/../x.safetensors",
        f"hf:someone/models@{COMMIT}/a\\b.safetensors",
    ],
)
def test_an_address_that_is_none_is_refused(name, home):
    assert "hf:OWNER/REPO@COMMIT/FILE.safetensors" in refused("HUB_ADDRESS", name, home)


def test_names_that_cannot_be_downloaded_are_refused(home, listed):
    listed()
    said = refused("MODEL_UNKNOWN", "liste", home)
    assert "Did you mean listed? There are: listed." in said
    home.mkdir()
    (home / "mine.safetensors").write_bytes(b"")
    with pytest.raises(WhetstoneError, match="on this machine already"):
        download_model("mine", Progress())


def test_a_folder_that_cannot_be_written_is_told(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WHETSTONE_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(WhetstoneError, match="WHETSTONE_MODELS") as caught:
        download_model(ADDRESS, Progress())
    assert caught.value.code == "MODEL_WRITE"


def test_the_catalogue_that_is_shipped_is_sound():
    assert all(len(model.sha256) == 64 for model in library.catalogue().values())
