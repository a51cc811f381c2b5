"""Attacks on the rows behind a synthetic table: each with its rate, a control and guessing."""

from privsynth.evaluation.attacks.attack import Attack
from privsynth.evaluation.attacks.copies import copies
from privsynth.evaluation.attacks.inference import attribute_inference
from privsynth.evaluation.attacks.linkability import linkability
from privsynth.evaluation.attacks.membership import membership_inference
from privsynth.evaluation.attacks.shadow import shadow_membership
from privsynth.evaluation.attacks.singling_out import singling_out

__all__ = [
    "Attack",
    "attribute_inference",
    "copies",
    "linkability",
    "membership_inference",
    "shadow_membership",
    "singling_out",
]
