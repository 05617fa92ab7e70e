"""The scores read aloud: what they say about one image, and which of several comes out best.

Rules of thumb, stated in the report together with the numbers they rest on. A verdict never claims
more than its figures can carry.
"""

from __future__ import annotations

from math import isnan, nan
from typing import Mapping, Sequence

from .figures import FIGURES, HQNR_CAVEAT, format_score
from .model import GRADES, Candidate, Finding, Verdict

#: Up to the first number good, up to the second fair, beyond it poor. ERGAS 3: Wald's rule.
LEVELS = {
    "ergas": (3.0, 6.0),
    "sam": (3.0, 6.0),
    "r_ergas": (2.0, 4.0),
    "r_sam": (1.5, 3.0),
    "d_rho": (0.2, 0.4),
}
#: HQNR from here on looks high, so that a contradiction with the other figures must be named.
HIGH_HQNR = 0.9
#: Two images closer than this (relative, ERGAS) are called equal.
TIE = 0.01
#: D_rho has to fall below this share of the plain enlargement's to count as detail.
SOME_DETAIL = 0.9

RULE_WITH_REFERENCE = (
    "The winner has the lowest ERGAS; on equal ERGAS (within 1 %) the lower SAM decides."
)
RULE_WITHOUT_REFERENCE = (
    "Every method is ranked by R-ERGAS (radiometry), by D_rho (detail) and by HQNR; the lowest sum "
    "of the three ranks wins, R-ERGAS decides ties. Plain enlargement is shown but not ranked: it "
    "keeps colours by adding nothing."
)
RULE_JUDGED_WITHOUT = (
    "Judged by rules of thumb: R-ERGAS up to 2 and R-SAM up to 1.5° is good, up to 4 and 3° fair; "
    "D_rho up to 0.2 is good, up to 0.4 fair."
)
RULE_JUDGED_WITH = (
    "Judged by rules of thumb: ERGAS up to 3 and SAM up to 3° is good, up to 6 fair, and always "
    "against plain enlargement where that is known."
)
NO_PROOF = (
    "Without a reference no figure proves that an image is right: compare the crops before "
    "trusting the numbers."
)
_RANKED = ("r_ergas", "d_rho", "hqnr")


def judge(
    scores: Mapping[str, float],
    exp: Mapping[str, float] | None = None,
    reference: bool | None = None,
) -> Verdict:
    """Read the scores of one image; ``exp`` are those of the plain enlargement, if known."""
    if reference is None:
        reference = not isnan(_get(scores, "ergas"))
    return _judge_with(scores, exp or {}) if reference else _judge_without(scores, exp or {})


def judge_all(candidates: Sequence[Candidate], reference: bool) -> Verdict:
    """Name the best of several images by a rule that the report states."""
    ranking = _rank_with(candidates) if reference else _rank_without(candidates)
    if not ranking:
        return Verdict("The scores do not allow a ranking.", "", rule=_rule(reference))
    winner = ranking[0]
    exp = next((c.scores for c in candidates if c.baseline), None)
    single = judge(winner.scores, exp if not winner.baseline else None, reference)
    return Verdict(
        _headline(ranking, reference),
        single.grade,
        single.findings,
        single.cautions,
        f"{_rule(reference)} {single.rule}",
        winner.name,
    )


def grade(key: str, value: float) -> str:
    """good, fair or poor by rule of thumb; "" when there is no rule or no number."""
    if key not in LEVELS or isnan(value):
        return ""
    good, fair = LEVELS[key]
    return GRADES[0] if value <= good else GRADES[1] if value <= fair else GRADES[2]


def _rule(reference: bool) -> str:
    return RULE_WITH_REFERENCE if reference else RULE_WITHOUT_REFERENCE


def _get(scores: Mapping[str, float], key: str) -> float:
    value = scores.get(key, nan)
    return nan if value is None else float(value)


def _worst(grades: Sequence[str]) -> str:
    known = [item for item in grades if item]
    return max(known, key=GRADES.index) if known else ""


def _numbers(scores: Mapping[str, float], *keys: str) -> str:
    parts = [
        f"{FIGURES[key].label} {format_score(key, _get(scores, key))}"
        for key in keys
        if not isnan(_get(scores, key))
    ]
    return ", ".join(parts)


# --- one image, with a reference ------------------------------------------------------------------


def _judge_with(scores: Mapping[str, float], exp: Mapping[str, float]) -> Verdict:
    ergas, plain = _get(scores, "ergas"), _get(exp, "ergas")
    findings = [_accuracy(scores), _gain(ergas, plain), _similarity(scores)]
    kept = tuple(finding for finding in findings if finding is not None)
    level = _worst([finding.grade for finding in kept])
    if isnan(ergas):
        return Verdict("The image could not be scored.", "", kept, rule=RULE_JUDGED_WITH)
    if not isnan(plain) and ergas >= plain:
        headline = "Poor: further from the truth than plain enlargement of the MS."
        level = GRADES[2]
    else:
        headline = {
            "good": "Good: close to the reference.",
            "fair": "Fair: recognisably different from the reference.",
            "poor": "Poor: far from the reference.",
        }[level]
    return Verdict(headline, level, kept, rule=RULE_JUDGED_WITH)


def _accuracy(scores: Mapping[str, float]) -> Finding | None:
    level = _worst([grade(key, _get(scores, key)) for key in ("ergas", "sam")])
    if not level:
        return None
    words = {
        "good": "Errors are small",
        "fair": "Errors are moderate",
        "poor": "Errors are large",
    }[level]
    return Finding(
        "Accuracy", level, ("ergas", "sam"), f"{words} ({_numbers(scores, 'ergas', 'sam')})."
    )


def _gain(ergas: float, plain: float) -> Finding | None:
    if isnan(ergas) or isnan(plain) or plain <= 0:
        return None
    share = 1 - ergas / plain
    level = GRADES[0] if share >= 0.2 else GRADES[1] if share > TIE else GRADES[2]
    against = f"ERGAS {ergas:.3f} against {plain:.3f}"
    if share > TIE:
        text = f"The error is {100 * share:.0f} % below that of plain enlargement ({against})."
    elif share >= -TIE:
        text = f"It is no better than plain enlargement ({against})."
    else:
        text = f"The error is {-100 * share:.0f} % above that of plain enlargement ({against})."
    return Finding("Gain over enlargement", level, ("ergas",), text)


def _similarity(scores: Mapping[str, float]) -> Finding | None:
    numbers = _numbers(scores, "q2n", "scc")
    if not numbers:
        return None
    return Finding("Structure", "", ("q2n", "scc"), f"Agreement of structure: {numbers} (of 1).")


# --- one image, without a reference ---------------------------------------------------------------


def _judge_without(scores: Mapping[str, float], exp: Mapping[str, float]) -> Verdict:
    colour, detail = _colour(scores), _detail(scores, exp)
    kept = tuple(f for f in (colour, detail, _joint(scores)) if f is not None)
    grades = [f.grade if f else "" for f in (colour, detail)]
    cautions = [NO_PROOF]
    if not isnan(_get(scores, "hqnr")):
        cautions.insert(0, _hqnr_caution(_get(scores, "hqnr"), _worst(grades)))
    return Verdict(
        _headline_without(*grades), _worst(grades), kept, tuple(cautions), RULE_JUDGED_WITHOUT
    )


def _colour(scores: Mapping[str, float]) -> Finding | None:
    level = _worst([grade(key, _get(scores, key)) for key in ("r_ergas", "r_sam")])
    if not level:
        return None
    words = {
        "good": "Brought back to the MS resolution, the image agrees closely with the MS",
        "fair": "Brought back to the MS resolution, the image departs somewhat from the MS",
        "poor": "Brought back to the MS resolution, the image departs clearly from the MS",
    }[level]
    numbers = _numbers(scores, "r_ergas", "r_sam")
    return Finding("Colour", level, ("r_ergas", "r_sam"), f"{words} ({numbers}).")


def _detail(scores: Mapping[str, float], exp: Mapping[str, float]) -> Finding | None:
    value, plain = _get(scores, "d_rho"), _get(exp, "d_rho")
    level = grade("d_rho", value)
    if not level:
        return None
    numbers = _numbers(scores, "d_rho")
    if not isnan(plain):
        numbers += f"; plain enlargement {format_score('d_rho', plain)}"
        if value > SOME_DETAIL * plain:
            level = GRADES[2]
    words = {
        "good": "Fine structure follows the PAN closely",
        "fair": "Fine structure follows the PAN in part",
        "poor": "Little of the fine structure of the PAN is found in the image",
    }[level]
    return Finding("Detail", level, ("d_rho",), f"{words} ({numbers}).")


def _joint(scores: Mapping[str, float]) -> Finding | None:
    numbers = _numbers(scores, "hqnr", "d_lambda_k", "d_s")
    if not numbers:
        return None
    return Finding("Joint index", "", ("hqnr",), f"{numbers} – not used for the grade.")


def _hqnr_caution(hqnr: float, level: str) -> str:
    if hqnr >= HIGH_HQNR and level == GRADES[2]:
        return (
            f"HQNR is high ({hqnr:.3f}) while colour or detail is poor: do not rely on HQNR here. "
            "It can be gamed by smooth images."
        )
    return HQNR_CAVEAT


def _headline_without(colour: str, detail: str) -> str:
    if not colour and not detail:
        return "The figures do not allow a verdict."
    colours = {
        "good": "colours are kept",
        "fair": "colours moved a little",
        "poor": "colours have shifted",
        "": "colours could not be judged",
    }[colour]
    details = {
        "good": "the detail of the PAN has arrived",
        "fair": "part of the PAN's detail has arrived",
        "poor": "little of the PAN's detail has arrived",
        "": "detail could not be judged",
    }[detail]
    joint = "but" if (colour == "poor") != (detail == "poor") and colour and detail else "and"
    word = {"good": "Good", "fair": "Fair", "poor": "Weak"}[_worst((colour, detail))]
    use = ""
    if colour == "poor" and detail in ("good", "fair"):
        use = " Fit for looking at, not for measuring."
    return f"{word}: {colours}, {joint} {details}.{use}"


# --- several images -------------------------------------------------------------------------------


def _rank_with(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Best first by ERGAS; among those within ``TIE`` of the best, by SAM."""
    scored = [c for c in candidates if not isnan(_get(c.scores, "ergas"))]
    scored.sort(key=lambda c: _get(c.scores, "ergas"))
    if not scored:
        return []
    limit = _get(scored[0].scores, "ergas") * (1 + TIE)
    near = [c for c in scored if _get(c.scores, "ergas") <= limit]
    near.sort(key=lambda c: _inf_if_nan(_get(c.scores, "sam")))
    return near + scored[len(near) :]


def _rank_without(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Best first by the sum of ranks; plain enlargement is not ranked."""
    totals = rank_sums(candidates)
    ranked = [c for c in candidates if c.name in totals]
    ranked.sort(key=lambda c: (totals[c.name], _inf_if_nan(_get(c.scores, "r_ergas"))))
    return ranked


def rank_sums(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Sum of the ranks by R-ERGAS, D_rho and HQNR; equal values share the mean of their ranks."""
    ranked = [c for c in candidates if not c.baseline]
    ranked = [c for c in ranked if any(not isnan(_get(c.scores, key)) for key in _RANKED)]
    return {
        c.name: sum(_rank(key, c, ranked) for key in _RANKED) if len(ranked) > 1 else 3.0
        for c in ranked
    }


def _rank(key: str, candidate: Candidate, among: Sequence[Candidate]) -> float:
    """1 for the best; NaN counts as worst of all."""
    own, better = _get(candidate.scores, key), FIGURES[key].better
    others = [_get(c.scores, key) for c in among if c is not candidate]
    ahead = sum(better(other, own) for other in others)
    level = sum(not better(other, own) and not better(own, other) for other in others)
    return 1 + ahead + level / 2


def _inf_if_nan(value: float) -> float:
    return float("inf") if isnan(value) else value


def _headline(ranking: Sequence[Candidate], reference: bool) -> str:
    first = ranking[0]
    if reference and first.baseline:
        return f"No method beats plain enlargement ({first.title}) on this scene."
    if len(ranking) == 1:
        return f"{first.title} is the only image that could be ranked."
    second = ranking[1]
    if reference:
        a, b = _get(first.scores, "ergas"), _get(second.scores, "ergas")
        if abs(a - b) <= TIE * max(a, b):
            return (
                f"{first.title} and {second.title} are practically equal (ERGAS {a:.3f} and "
                f"{b:.3f}); {first.title} keeps the better spectral angle."
            )
        return f"{first.title} is closest to the reference, ahead of {second.title}."
    sums = rank_sums(ranking)
    if sums[second.name] - sums[first.name] < 1:
        return f"{first.title} and {second.title} share the lead; neither is clearly better."
    return f"{first.title} balances colour and detail best, ahead of {second.title}."
