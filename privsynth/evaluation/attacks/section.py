"""All attacks on one synthetic table, and what of it goes into the headline."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from privsynth.evaluation.attacks.attack import Attack
from privsynth.evaluation.attacks.copies import copies, distance_scores
from privsynth.evaluation.attacks.inference import attribute_inference
from privsynth.evaluation.attacks.linkability import linkability
from privsynth.evaluation.attacks.membership import membership_inference
from privsynth.evaluation.attacks.shadow import FitSample, shadow_membership
from privsynth.evaluation.attacks.singling_out import singling_out
from privsynth.evaluation.detection import tell_apart
from privsynth.evaluation.score import Block, Score
from privsynth.evaluation.space import at_most

_TARGETS = 1_000
_MAX_SYNTHETIC = 100_000
_MAX_REFERENCE = 20_000
_N_SECRETS = 5
_MAX_COMPARED = 10_000
_ANOTHER, _SURE = 0.55, 2.0  # ROC AUC between real table and holdout; half widths of its interval above guessing
FEWEST_HOLDOUT = 20
NO_HOLDOUT = (
    f"No attacks: they need a control, rows that were not learned. Pass a holdout of at least {FEWEST_HOLDOUT} rows."
)


def privacy_section(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame,
    *,
    target: Hashable | None,
    fit_sample: FitSample | None,
    rng: np.random.Generator,
) -> tuple[list[Score], list[Block], list[str]]:
    """Attack the rows behind a synthetic table.

    Parameters
    ----------
    real, synthetic, holdout : DataFrames
        With the same columns.
    target : column name, optional
        The first secret of attribute inference; four other columns are drawn at random.
    fit_sample : callable, optional
        Adds shadow models; see `shadow_membership`.

    Returns
    -------
    headline, blocks, notes : lists
    """
    columns = list(real.columns)
    synthetic, holdout = synthetic[columns], holdout[columns]
    released = at_most(synthetic, _MAX_SYNTHETIC, rng)
    members, outsiders = at_most(real, _TARGETS, rng), at_most(holdout, _TARGETS, rng)
    order, half = rng.permutation(len(holdout)), len(holdout) // 2
    reference = holdout.iloc[order[half : half + _MAX_REFERENCE]]
    others = [name for name in columns if name != target]
    n_others = min(_N_SECRETS - (target is not None), len(others))
    secrets = ([] if target is None else [target]) + [
        others[i] for i in sorted(rng.choice(len(others), size=n_others, replace=False))
    ]
    with threadpool_limits(limits=1):
        found: list[Attack | None] = [
            membership_inference(members, holdout.iloc[order[:half]], released, reference, rng=rng),
            *singling_out(real, holdout, synthetic, rng=rng),
            linkability(members, outsiders, released, rng=rng),
            attribute_inference(members, outsiders, released, secrets=secrets, rng=rng),
            *copies(real, holdout, synthetic, rng=rng),
        ]
        aids, aid_notes = distance_scores(members, outsiders, released, rng=rng)
    difference = _difference(real, holdout, rng)
    attacks = [
        dataclasses.replace(attack, is_judged=not difference, notes=(*attack.notes, *difference))
        for attack in found
        if attack is not None
    ]
    if fit_sample is not None:  # judged all the same: whether a row was learned is a coin's toss, on both sides
        attacks.insert(1, shadow_membership(real, holdout, fit_sample=fit_sample, rng=rng))
    blocks = [attack.block() for attack in attacks]
    blocks.append(
        Block(
            "Distances (debugging aids)",
            "How near synthetic rows come to learned rows, and to rows that were not learned.",
            "Look closer when learned rows are clearly nearer. Equal distances are no proof of privacy: these figures "
            "miss leaks of single rows. Judge by the attacks, and by the certificate.",
            aids,
            notes=aid_notes,
        )
    )
    headline = [attack.score() for attack in attacks if attack.attack.trials and attack.control.trials]
    return headline, blocks, difference


def _difference(real: pd.DataFrame, holdout: pd.DataFrame, rng: np.random.Generator) -> list[str]:
    """Say why the holdout is no control, where a model can tell its rows from those of the real table."""
    tables = [at_most(frame, _MAX_COMPARED, rng) for frame in (real, holdout)]
    for _ in range(2):  # two half widths are four deviations, and two splits must agree: chance hardly ever gets there
        value, (low, _high), telling = tell_apart(tables[0], tables[1], rng)
        if value is None or low is None or value < _ANOTHER or value - _SURE * (value - low) < 0.5:
            return []
    by = f", mostly by {telling[0][0]!r}" if telling else ""
    return [
        "Attacks are not judged: the holdout differs from the real table (a model tells their rows apart with ROC "
        f"AUC {value:.2f}{by}), so what looks learned may be the difference; and the references of "
        "other scores are too easy to reach. Set the holdout aside at random, before fitting."
    ]
