"""Audit what is installed: attack it, and print what the attacks proved beside what certificates claim.

Two attacks. One run of DP-SGD on canaries goes through the code that trains the neural critic. Many whole fits of a
small table, with and without a row that no other resembles, go through `CTGAN.fit`; they are told apart by the
released 1-way counts in the model. docs/howto-audit.md says what they can see and what they cannot.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from privsynth._checks import check_int, check_real
from privsynth._progress import ProgressBar
from privsynth._random import as_generator
from privsynth.errors import ParameterError, PrivsynthWarning
from privsynth.evaluation.audit import Audit, AuditReport, Progress, no_progress
from privsynth.evaluation.canaries import DPSGD, audit_dp_sgd
from privsynth.evaluation.membership import Fitted, audit_membership
from privsynth.privacy.accountant import calibrate_noise_multiplier, gdp_mu, total_mu
from privsynth.privacy.certificate import Certificate
from privsynth.privacy.events import SubsampledGaussian
from privsynth.schema import Boolean, Categorical, Schema
from privsynth.synthesizers import CTGAN
from privsynth.training.plan import MARGIN, ROUNDING_SHARE, SIZE_SHARE

_N_COLUMNS, _N_ROWS = 16, 40
_LEVELS = ("usual", "rare")
_SCHEMA = Schema(
    {
        f"column {i}": Boolean(nullable=False) if i % 4 == 3 else Categorical(_LEVELS, nullable=False)
        for i in range(_N_COLUMNS)
    }
)
_MAX_EPSILON = 30.0
_LEAST_MU = 0.03  # below it, a table as small as this one is refused


def audit(
    epsilon: float = 4.0,
    *,
    delta: float = 1e-5,
    certificate: Certificate | None = None,
    runs: int = 300,
    canaries: int = 10_000,
    sampling_rate: float = 1.0,
    steps: int = 10,
    confidence: float = 0.95,
    random_state: Any = None,
    verbose: bool = False,
) -> AuditReport:
    """Audit DP-SGD and whole fits, at a budget or at what a certificate states.

    Parameters
    ----------
    epsilon, delta : float
        The budget that each of the audited mechanisms is calibrated for.
    certificate : Certificate, optional
        Take delta, the DP-SGD parameters and the mu of everything else from here instead. What the model holds
        is not looked at: an audit is of code, and needs tables that it may change.
    runs : int
        Fits with the row, and as many without it.
    canaries : int
        Canaries of the DP-SGD run.
    sampling_rate, steps : float, int
        Of the DP-SGD run, where there is no certificate.
    confidence : float
        Of each bound by itself.
    random_state : None, int or numpy Generator
        Who is in; never the noise.
    verbose : bool
        Progress bars, on terminals and in notebooks.

    Returns
    -------
    AuditReport
        Lower bounds, claims and what to expect of right code.

    Examples
    --------
    >>> report = audit(runs=20, canaries=1000, confidence=0.9999999, random_state=0)
    >>> [bound.quantity for bound in report.audits[0].bounds], report.is_exceeded
    (['epsilon at delta=1e-05', 'mu of Gaussian DP'], False)
    """
    rng = as_generator(random_state, "audit")
    check_real("audit", "epsilon", epsilon, low=0.0, low_open=True, high=_MAX_EPSILON)
    check_real("audit", "delta", delta, low=0.0, low_open=True, high=1.0, high_open=True)
    check_real("audit", "sampling_rate", sampling_rate, low=0.0, low_open=True, high=1.0)
    check_int("audit", "steps", steps, low=1)
    check_int("audit", "runs", runs, low=20)
    check_int("audit", "canaries", canaries, low=100)
    check_real("audit", "confidence", confidence, low=0.5, high=1.0, high_open=True)
    notes: tuple[str, ...] = ()
    if certificate is None:
        sigma = calibrate_noise_multiplier([], sampling_rate=sampling_rate, steps=steps, epsilon=epsilon, delta=delta)
        trained: DPSGD | None = DPSGD(sigma, sampling_rate, steps)
        fitted: float | None = epsilon
    else:
        trained, fitted, delta = _stated(certificate)
        notes = _notes(trained, fitted)
    audits: list[Audit] = []
    with ProgressBar(verbose) as progress:
        if trained is not None:
            audits.append(
                audit_dp_sgd(trained, delta=delta, canaries=canaries, confidence=confidence, rng=rng, progress=progress)
            )
        if fitted is not None:
            audits.append(audit_fits(fitted, delta, runs=runs, confidence=confidence, rng=rng, progress=progress))
    statement = "" if certificate is None else certificate.statement()
    return AuditReport(tuple(audits), confidence, statement, notes)


def _stated(certificate: Certificate) -> tuple[DPSGD | None, float | None, float]:
    """Return a certificate's DP-SGD, the epsilon of a fit whose counts have the mu of all the rest, and delta."""
    if not math.isfinite(certificate.epsilon):
        raise ParameterError("The model is not private: it claims nothing that an audit could refute.")
    certificate.verify()
    events = [charge.event for charge in certificate.charges]
    steps = [e for e in events if isinstance(e, SubsampledGaussian)]
    trained = DPSGD(steps[0].noise_multiplier, steps[0].sampling_rate, steps[0].steps) if steps else None
    mu, delta = total_mu(events), certificate.delta
    if mu < _LEAST_MU:
        return trained, None, delta
    if mu >= _mu_of_fit(_MAX_EPSILON, delta):
        return trained, _MAX_EPSILON, delta
    low = 1e-3
    return trained, float(brentq(lambda epsilon: _mu_of_fit(epsilon, delta) - mu, low, _MAX_EPSILON)), delta


def _notes(trained: DPSGD | None, fitted: float | None) -> tuple[str, ...]:
    """Say what a model's audit leaves out, and what it stands for."""
    notes = ["The model's rows are not needed: noise is audited on canaries and on a small made-up table."]
    if trained is None:
        notes.append("None of its critics was trained by DP-SGD, so that is not audited.")
    else:
        notes.append("DP-SGD is audited with the model's parameters, and its claim is that of these steps alone.")
    if fitted is None:
        notes.append(f"The mu of all else is below {_LEAST_MU}: no audit of some hundred fits would see any of it.")
    else:
        notes.append(
            f"Fits are audited at epsilon={fitted:.4g}, where their counts have the mu of all that the certificate "
            "lists but DP-SGD."
        )
    return tuple(notes)


def _mu_of_fit(epsilon: float, delta: float) -> float:
    """Return the mu that a fit without discoveries and DP-SGD has for its counts (`training.shares`)."""
    return gdp_mu(epsilon * (1 - MARGIN - SIZE_SHARE), delta * (1 - ROUNDING_SHARE))


def audit_fits(
    epsilon: float,
    delta: float,
    *,
    runs: int,
    confidence: float = 0.95,
    rng: np.random.Generator,
    progress: Progress = no_progress,
) -> Audit:
    """Audit `CTGAN.fit` on `worst_case` tables (`privsynth.evaluation.membership.audit_membership`)."""
    return audit_membership(
        lambda member: _fit_once(epsilon, delta, member),
        runs=runs,
        effect=_effect(epsilon, delta),
        confidence=confidence,
        rng=rng,
        progress=progress,
    )


def worst_case(member: bool) -> pd.DataFrame:
    """Return the audited table: rows that are all alike, and perhaps one that has its own cell in every column."""
    n_rows = _N_ROWS + member
    rare = np.arange(n_rows) == _N_ROWS
    columns = {
        name: rare if isinstance(column, Boolean) else pd.Categorical(np.where(rare, *_LEVELS[::-1]), _LEVELS)
        for name, column in _SCHEMA.items()
    }
    return pd.DataFrame(columns)


def _fit(epsilon: float, delta: float, member: bool) -> CTGAN:
    """Fit the table by the public interface, with networks as small as they can be: none of their size matters here."""
    model = CTGAN(
        epsilon, delta=delta, schema=_SCHEMA, critic="measured", steps=1, embedding_dim=1, generator_dim=(1,),
        device="cpu", verbose=False, random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrivsynthWarning)  # that so small a table says little
        return model.fit(worst_case(member))


def _fit_once(epsilon: float, delta: float, member: bool) -> Fitted:
    """Fit, and weigh the released counts of the row's own cells: zero without it, one each with it."""
    model = _fit(epsilon, delta, member)
    release = model.encoder_.one_way
    spans = model.encoder_.layout.spans
    own = [span.start + 1 for span in spans]  # the second level, or True
    statistic = release.values[own].sum() / (release.scale * math.sqrt(len(own)))
    return Fitted(float(statistic), model.certificate_)


def _effect(epsilon: float, delta: float) -> float:
    """Return by how many deviations the row moves the statistic, from the stated noise of a fit that is not counted."""
    release = _fit(epsilon, delta, False).encoder_.one_way
    return math.sqrt(_N_COLUMNS) / release.scale
