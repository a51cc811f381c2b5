"""A certificate as a page to print and file: A4, black on white, no script, nothing fetched.

Nothing is taken over from the dict but the numbers that a certificate consists of. Words, sums and the verdict are
made anew from these, so a page cannot say what its list does not give.
"""

from __future__ import annotations

import math
from typing import Any

from privsynth.privacy.certificate import Certificate
from privsynth.report.environment import digits, environment

_PARAMETERS = {"eta": "η", "count": "picks", "noise_multiplier": "σ", "sampling_rate": "q", "steps": "T"}
_COSTS = {"epsilon": "ε", "mu": "μ", "delta": "δ"}


def render_certificate(certificate: dict[str, Any], *, source: str = "") -> str:
    """Return the page as text.

    Parameters
    ----------
    certificate : dict
        ``model.certificate_.to_dict()``, or what its JSON loads to.
    source : str, optional
        What the certificate came from, such as the name of the model file; printed on top.

    Returns
    -------
    str
        A complete HTML document.

    Raises
    ------
    PrivacyError
        If the listed events cost more than is stated: there is no page for a claim that does not hold.
    """
    held = read_anew(certificate)
    page = environment().get_template("certificate.html.j2")
    return page.render(**held, source=source, digits=digits)


def read_anew(certificate: dict[str, Any]) -> dict[str, Any]:
    """Return what a page shows of a certificate, made from its numbers only.

    ``facts``, the ``rows`` of its list, the total ``again``, and as ``parties`` the facts of each party whose release
    was learned from, or ``facts`` alone.

    Raises
    ------
    PrivacyError
        If the claim does not hold.
    """
    read = Certificate.from_dict(certificate)
    read.verify()
    facts, again = read.to_dict(), read.recompute()
    otherwise = "composed numerically" if read.private else "not bounded"
    parties = facts.get("parties", [facts])
    several = len(parties) > 1
    rows = [
        _row({**charge, "label": f"party {number}, {charge['label']}" if several else charge["label"]}, otherwise)
        for number, party in enumerate(parties, start=1)
        for charge in party["charges"]
    ]
    return {"facts": facts, "rows": rows, "again": digits(again) if math.isfinite(again) else None, "parties": parties}


def _row(charge: dict[str, Any], otherwise: str) -> dict[str, str]:
    """Return a charge as the cells of its row; `otherwise` stands for a cost that has no number of its own."""
    share, ran = charge["share_of_mu_squared"], charge["sensitivity"] > 0
    shown = {k: v for k, v in charge["event"].items() if k in _PARAMETERS and (k, v) != ("count", 1)}
    [(measure, cost)] = charge["cost"].items() or [("", 0.0)]
    return {
        "label": charge["label"],
        "read": charge["read"],
        "mechanism": charge["mechanism"],
        "sensitivity": digits(charge["sensitivity"]) if ran else "",
        "noise": digits(charge["scale"]) if ran else "",
        "parameters": ", ".join(_equation(_PARAMETERS[name], value) for name, value in shown.items()),
        "cost": _equation(_COSTS[measure], cost) if measure else otherwise,
        "share": "" if share is None else f"{share:.1%}",
    }


def _equation(name: str, value: float) -> str:
    """Return a name and its value, not to be broken at the end of a line."""
    return f"{name} = {digits(value)}".replace(" ", "\N{NO-BREAK SPACE}")
