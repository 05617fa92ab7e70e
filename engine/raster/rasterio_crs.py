"""What two CRS have in common and how to call them, through ``rasterio.crs``."""

from __future__ import annotations

from rasterio.crs import CRS
from rasterio.errors import CRSError

from . import rules
from .rasterio_quiet import quiet


class RasterioCrs:
    """The part of the backend that knows CRS."""

    def same_crs(self, a: str, b: str) -> bool:
        """Whether two CRS (WKT or "EPSG:n") mean the same (axis order and names ignored)."""
        one, two = _crs(a), _crs(b)
        with quiet():
            if one == two:
                return True
            return _plain(one) == _plain(two) or _code(one) == _code(two) != ""

    def crs_wkt(self, crs: str) -> str:
        """WKT2 of a CRS given as WKT or as "EPSG:n"; raises ``CRS_INVALID``."""
        return wkt_of(_crs(crs))

    def crs_label(self, crs: str) -> str:
        """A CRS in a few words: "EPSG:32633", or its name when it has no code."""
        if not crs:
            return "unknown"
        known = _crs(crs)
        with quiet():
            return _code(known) or rules.wkt_name(crs)

    def crs_unit(self, crs: str) -> str:
        """Unit of the CRS axes for people: "m", "degree", ..., "" when unknown."""
        if not crs:
            return ""
        known = _crs(crs)
        with quiet():
            try:
                name = known.units_factor[0] if known.is_geographic else known.linear_units
            except (CRSError, ValueError):
                return ""
        return rules.unit_label(name or "")


def _crs(crs: str) -> CRS:
    with quiet():
        try:
            if not crs:
                raise CRSError("empty")
            return CRS.from_user_input(crs)
        except (CRSError, ValueError):
            raise rules.unknown_crs(crs) from None


def wkt_of(crs: CRS | None) -> str:
    """WKT2 of a CRS object, "" of none."""
    return crs.to_wkt(version="WKT2_2019") if crs else ""


def _code(crs: CRS) -> str:
    """ "EPSG:n" of a CRS, by its own word or by what it is equal to; "" without one."""
    try:
        found = crs.to_authority(confidence_threshold=70)
    except (CRSError, ValueError):
        return ""
    return ":".join(found) if found else ""


def _plain(crs: CRS) -> CRS:
    """The CRS without its axes, which only ESRI's WKT leaves out; itself where that has no word."""
    try:
        return CRS.from_wkt(crs.to_wkt(version="WKT1_ESRI"))
    except (CRSError, ValueError):
        return crs
