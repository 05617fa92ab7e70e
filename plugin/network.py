"""QGIS's proxy and extra certificates, as the variables that pip and the Hub's library read.

Reads settings and the certificate store: main thread only. Nothing is set in QGIS's own
environment; the variables are handed to child processes.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from qgis.core import QgsApplication, QgsNetworkAccessManager, QgsSettings
from qgis.PyQt.QtNetwork import QNetworkProxy

from .engine_home import data_folder

_STORES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
CERTIFICATES = "certificates.pem"


def network_environment() -> dict[str, str]:
    """Variables about proxies and certificates; empty where QGIS has no settings of its own."""
    return {**proxy_variables(), **certificate_variables()}


def proxy_variables() -> dict[str, str]:
    """The proxy in Settings > Options > Network.

    Without one there, or with the system's, nothing is said: pip asks the system by itself.
    """
    settings = QgsSettings()
    if not settings.value("proxy/proxyEnabled", False, type=bool):
        return {}
    proxy = QgsNetworkAccessManager.instance().fallbackProxy()
    schemes = {
        QNetworkProxy.ProxyType.HttpProxy: "http",
        QNetworkProxy.ProxyType.HttpCachingProxy: "http",
        QNetworkProxy.ProxyType.Socks5Proxy: "socks5h",
    }
    scheme = schemes.get(proxy.type())
    if scheme is None or not proxy.hostName():
        return {}
    user = quote(proxy.user(), safe="")
    if proxy.password():
        user += ":" + quote(proxy.password(), safe="")
    address = f"{scheme}://{user}{'@' if user else ''}{proxy.hostName()}"
    address += f":{proxy.port()}" if proxy.port() else ""
    # Both spellings: which one counts differs between libraries, and one may be set already.
    names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    found = dict.fromkeys(names, address)
    without = [host for host in _hosts_without(settings) if host]
    if without:
        found.update(dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(without)))
    return found


def _hosts_without(settings: QgsSettings) -> list[str]:
    """QGIS lists beginnings of addresses, the variable lists hosts."""
    listed = settings.value("proxy/noProxyUrls", []) or []
    listed = [listed] if isinstance(listed, str) else listed
    return [str(url).split("://")[-1].split("/")[0].strip() for url in listed]


def certificate_variables() -> dict[str, str]:
    """All trusted certificates in one file, when the user has added any in QGIS."""
    manager = QgsApplication.authManager()
    if manager is None or manager.isDisabled():
        return {}
    if not manager.databaseCAs() and not manager.extraFileCAs():
        return {}
    text = bytes(manager.trustedCaCertsPemText())
    if not text:
        return {}
    path = Path(data_folder()) / CERTIFICATES
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    except OSError:
        return {}
    return dict.fromkeys(_STORES, str(path))
