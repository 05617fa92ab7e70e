"""What pip and torch say when they fail, as errors that a user can act on."""

from __future__ import annotations

import re

from ..engine import WhetstoneError
from .translation import tr

_DISK = re.compile(
    r"No space left on device|Errno 28\b|WinError 112\b|not enough space|Errno 122\b"
)
_PROXY = re.compile(
    r"ProxyError|Cannot connect to proxy|Proxy Authentication Required|Tunnel connection failed"
    r"|Missing dependencies for SOCKS",
    re.I,
)
_SSL = re.compile(
    r"SSLError|CERTIFICATE_VERIFY_FAILED|SSLCertVerif|certificate verify failed", re.I
)
_NET = re.compile(
    r"NewConnectionError|Name or service not known|name resolution|getaddrinfo failed"
    r"|nodename nor servname|ConnectTimeout|ReadTimeout|timed out|Connection refused"
    r"|Max retries exceeded|Network is unreachable|Connection aborted|ConnectionReset"
    r"|Connection broken|RemoteDisconnected|IncompleteRead|HTTP error \d{3}|NameResolutionError"
    r"|\b[45]\d\d (?:Client|Server) Error",
    re.I,
)
_POLICY = re.compile(
    r"WinError (?:5|225|1260|4551)\b|Access is denied|blocked by|group policy|Application Control"
    r"|contains a virus|Permission denied|Operation not permitted",
    re.I,
)
_LIBRARY = re.compile(r"WinError (?:126|127|1114)\b|DLL load failed", re.I)
_NO_BUILD = re.compile(
    r"No matching distribution found for (\S+)|is not a supported wheel"
    r"|Could not find a version that satisfies the requirement (\S+)"
)
_HOSTS = (
    re.compile(r"host='([^']+)'"),
    re.compile(r"https?://(?:[^/@\s]+@)?([^/\s'\":]+)"),
)


def trouble_of_pip(
    lines: list[str], status: int, folder: str, needed: int, free: int
) -> WhetstoneError:
    """Why an installation stopped, from its last lines. The order matters: a full disk or a proxy
    also shows as a network error, and a network error as a package that does not exist."""
    text = "\n".join(lines[-60:])
    if _DISK.search(text):
        return disk_trouble(folder, needed, free)
    host = host_in(text)
    if _PROXY.search(text):
        return WhetstoneError(
            "PROXY",
            tr("The proxy does not let pip through to {}.").format(host),
            tr("Check Settings > Options > Network, then try again; finished files are kept."),
        )
    if _SSL.search(text):
        return WhetstoneError(
            "SSL",
            tr("The certificate of {} is not trusted.").format(host),
            tr(
                "If your network inspects traffic, add its certificate in Settings > Options > "
                "Authentication, then try again."
            ),
        )
    if _NET.search(text):
        return WhetstoneError(
            "NET",
            tr("{} cannot be reached.").format(host),
            tr("Check the connection and try again; finished files are kept."),
        )
    if "DO NOT MATCH THE HASHES" in text:
        return WhetstoneError(
            "CHECKSUM",
            tr("A package was damaged on its way, or changed."),
            tr("Try again; if it stays so, do not trust this network."),
        )
    if _POLICY.search(text):
        return WhetstoneError(
            "POLICY",
            tr("A security policy or missing rights block the installation: {}").format(
                last(lines)
            ),
            tr("Ask for an exception for this folder: {}").format(folder),
        )
    missing = _NO_BUILD.search(text)
    if missing:
        name = missing[1] or missing[2] or tr("a package")
        return WhetstoneError(
            "PLATFORM",
            tr("There is no build of {} for this system and Python, where pip looks.").format(name),
            tr("Choose another build, use an external engine (path), or a classical method."),
        )
    return WhetstoneError(
        "ENGINE_INSTALL",
        tr("pip stopped with status {}: {}").format(status, last(lines)),
        tr("Copy diagnostics copies the log; Repair tries again."),
    )


def disk_trouble(folder: str, needed: int, free: int) -> WhetstoneError:
    """Too little room, with the numbers."""
    return WhetstoneError(
        "DISK",
        tr("The disk of {} is too full: {} GB are needed, {} GB are free.").format(
            folder, gigabytes(needed), gigabytes(free)
        ),
        tr("Make room, or set WHETSTONE_HOME to a folder on another disk."),
    )


def trouble_of_start(python: str, reason: str, managed: bool = True) -> WhetstoneError:
    """Why the self-test of an engine failed, from what it said last."""
    reason = reason.strip().replace(tr("The engine does not start: {}.").partition("{}")[0], "")
    if _LIBRARY.search(reason):
        return WhetstoneError(
            "VCREDIST",
            tr("Windows cannot load PyTorch: {}").format(reason),
            tr("Install the Microsoft Visual C++ runtime, then restart QGIS."),
        )
    if _POLICY.search(reason):
        return WhetstoneError(
            "POLICY",
            tr("A security policy blocks {}: {}").format(python, reason),
            tr("Ask for an exception for this folder."),
        )
    return WhetstoneError(
        "ENGINE_BROKEN",
        tr("The engine at {} does not start: {}").format(python, reason),
        tr("Press Repair; the full log is copied by Copy diagnostics.")
        if managed
        else tr("Choose another Python, or clear the field to use the managed engine."),
    )


def host_in(text: str) -> str:
    """The host that was spoken to last."""
    for pattern in _HOSTS:
        found = pattern.findall(text)
        if found:
            return found[-1]
    return tr("the package index")


def last(lines: list[str]) -> str:
    """The line that tells most: pip's last error, else the last one."""
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if line.upper().startswith("ERROR")]
    return (errors or said or [tr("no message")])[-1]


def gigabytes(size: int) -> str:
    """Bytes as people say them: one decimal, at least 0.1."""
    return f"{max(size / 1e9, 0.1 if size else 0):.1f}"
