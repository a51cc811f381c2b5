"""The certificate: what was done to private rows, what it costs, and what it does not cover."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from privsynth._checks import check_real
from privsynth.errors import PrivacyError
from privsynth.privacy.accountant import epsilon_of, total_delta, total_mu
from privsynth.privacy.composition import compose, cost_of, mechanism_in_words, share_of, what_was_read
from privsynth.privacy.events import (
    BoundedRange,
    Failure,
    Gaussian,
    NonPrivate,
    PureDP,
    SubsampledGaussian,
    event_from_dict,
    event_to_dict,
)
from privsynth.privacy.mechanisms import Charge, Mechanisms
from privsynth.privacy.unit import ONE_ROW, Unit

NOT_COVERED = (
    "names, order and data types of the columns, and everything declared in the schema, are taken as public",
    "tables of fewer than two rows are refused, so the guarantee is for tables of two rows and more",
    "how long fit takes and how much memory it uses",
    "reports that read the real table, such as privsynth evaluate",
    "gradients, their noise, Poisson masks and private choices are floating-point: attacks on rounding are mitigated, "
    "not proven impossible",
)

_MOST_PARTIES, _MOST_STARTS = 100, 8
_MOST_CHARGES, _MOST_RUNS = 1000, 4  # each run of DP-SGD takes a quarter of a second to account for


@dataclass(frozen=True)
class Certificate:
    """The privacy statement of one fit; holds releases' parameters only, nothing of the rows.

    Parameters
    ----------
    epsilon : float
        Total epsilon at `delta`, recomputable from `charges`; infinite without privacy.
    delta : float
        Total delta.
    charges : tuple of Charge
        Every touch of private rows, in order.
    noise : str
        Where the noise came from.
    versions : dict
        The packages that drew and accounted for it.
    private : bool
        Whether noise was drawn at all, from a secure source.
    unit : Unit
        Who is protected as a whole: one row, or one person.
    parties : tuple of Certificate
        Of a model fitted to the releases of several parties: theirs, each for its own rows. There are no charges
        then, for nothing was read beside; epsilon and delta are the largest of a party.
    start : Certificate, optional
        That of the model whose weights the fit started from; it is about other rows.
    """

    epsilon: float
    delta: float
    charges: tuple[Charge, ...]
    noise: str
    versions: dict[str, str]
    private: bool = True
    unit: Unit = ONE_ROW
    parties: tuple[Certificate, ...] = ()
    start: Certificate | None = None

    @classmethod
    def together(cls, parties: Sequence[Certificate]) -> Certificate:
        """Write the certificate of what is computed from the releases of several parties, and nothing else."""
        largest = max((party.unit for party in parties), key=lambda unit: unit.rows)
        return cls(
            epsilon=max(party.epsilon for party in parties),
            delta=max(party.delta for party in parties),
            charges=(),
            noise="; ".join(dict.fromkeys(party.noise for party in parties)),
            versions=dict(parties[0].versions),
            private=all(party.private for party in parties),
            unit=Unit(largest.column, largest.rows, any(party.unit.chosen for party in parties)),
            parties=tuple(parties),
        )

    @classmethod
    def of(cls, mechanisms: Mechanisms, *, delta: float) -> Certificate:
        """Write the certificate of everything that `mechanisms` charged."""
        private = mechanisms.private and mechanisms.noise.secure
        packages = ("privsynth", "opacus", "opendp", "cryptography", "scipy", "numpy", "torch")
        return cls(
            epsilon=epsilon_of(mechanisms.events, delta=delta),
            delta=delta,
            charges=mechanisms.charges,
            noise=mechanisms.noise.description if mechanisms.private else "none",
            versions={name: version(name) for name in packages},
            private=private,
            unit=mechanisms.unit,
        )

    def recompute(self) -> float:
        """Return epsilon once more, from the listed charges alone."""
        if self.parties:
            return max(party.recompute() for party in self.parties)
        events = [charge.event for charge in self.charges]
        return epsilon_of(events if self.private else [NonPrivate(), *events], delta=self.delta)

    def verify(self) -> None:
        """Raise `PrivacyError` unless the listed charges cost what is stated, for the unit that is stated.

        It finds a claim that its own list contradicts. A list from which a charge is missing, or whose numbers are
        made up consistently, it cannot tell from an honest one: that is a matter of who signed the file.
        """
        if not 0 < self.delta < 1:
            raise PrivacyError(f"The certificate states delta={self.delta:.4g}: there is none such. Do not trust it.")
        self._verify_parties()
        if self.start is not None:
            self.start.verify()
        for charge in self.charges:
            if self._is_understated(charge):
                raise PrivacyError(
                    f"The certificate states that a person has up to {self.unit.rows} rows, but {charge.label!r} is "
                    "calibrated for fewer. Do not trust this model's claim."
                )
            if self.private and not _is_consistent(charge):
                raise PrivacyError(
                    f"The certificate states {charge.event} for {charge.label[:60]!r}, but noise of {charge.scale:.4g} "
                    f"for a sensitivity of {charge.sensitivity:.4g} does not cost that. Do not trust its claim."
                )
        try:
            again = self.recompute()
        except (ArithmeticError, ValueError) as error:  # absurd numbers in a file
            raise PrivacyError(
                f"The listed events cannot be added up ({error}). Do not trust this model's claim."
            ) from error
        if math.isinf(again) and math.isinf(self.epsilon):
            return
        if math.isinf(self.epsilon) or not again <= self.epsilon * 1.001 + 1e-9:
            raise PrivacyError(
                f"The certificate states epsilon={self.epsilon:.4g}, but its listed events cost {again:.4g} "
                f"at delta={self.delta:.2g}. Do not trust this model's claim."
            )

    def _verify_parties(self) -> None:
        """Raise unless the claim is no more than those of all parties hold."""
        for party in self.parties:
            party.verify()
        if self.parties and (
            self.charges
            or any(party.parties or party.unit.column != self.unit.column for party in self.parties)
            or self.delta < max(party.delta for party in self.parties)
            or self.unit.rows < max(party.unit.rows for party in self.parties)
            or self.private > all(party.private for party in self.parties)
        ):
            raise PrivacyError("The certificate claims more than its parties' do together. Do not trust it.")

    def lists(self, scale: float, *labels: str, once: bool = False) -> bool:
        """Whether noise of this standard deviation was drawn for one of `labels`, by all parties together."""
        if not self.parties:
            scales = [charge.scale for charge in self.charges if charge.label in labels]
            return scales == [scale] if once else scale in scales
        return any(math.isclose(total, scale) for total in map(self._scale_together, labels))

    def _scale_together(self, label: str) -> float:
        """Return the standard deviation of the sum of all parties' noise for a label; NaN where one has none."""
        each = [[charge.scale for charge in party.charges if charge.label == label] for party in self.parties]
        return math.hypot(*(scales[0] for scales in each)) if all(len(s) == 1 for s in each) else math.nan

    def _is_understated(self, charge: Charge) -> bool:
        """Whether a charge cannot be for persons: a row moves every release by one at least, so a person by m."""
        if isinstance(charge.event, SubsampledGaussian):
            return self.unit.rows > 1
        ran = isinstance(charge.event, (Gaussian, BoundedRange)) and charge.sensitivity > 0
        return (ran or charge.label == "size") and charge.sensitivity < self.unit.rows * (1 - 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict; infinite epsilon is None."""
        mu = total_mu(charge.event for charge in self.charges)
        return {
            "statement": self.statement(),
            "epsilon": None if math.isinf(self.epsilon) else self.epsilon,
            "delta": self.delta,
            "private": self.private,
            "unit": self.unit.text,
            "privacy_unit": self.unit.to_dict(),
            "failure_delta": total_delta(charge.event for charge in self.charges),
            "charges": [self._charge_to_dict(charge, mu) for charge in self.charges],
            "composition": self._composition(),
            "noise": self.noise,
            "accountant": self.accountant,
            "versions": dict(self.versions),
            "not_covered": list(self.not_covered),
            **({"parties": [party.to_dict() for party in self.parties]} if self.parties else {}),
            **({} if self.start is None else {"start": self.start.to_dict()}),
        }

    def _composition(self) -> dict[str, Any] | None:
        """Return how the total comes about; None where nothing adds up to one."""
        if self.parties or not self.private:
            return None
        return compose(self.charges, epsilon=self.epsilon, delta=self.delta)

    def _charge_to_dict(self, charge: Charge, mu: float) -> dict[str, Any]:
        """Return a charge with its cost and with words for both; `from_dict` reads the numbers only."""
        return {
            **asdict(charge),
            "event": event_to_dict(charge.event),
            "read": what_was_read(charge.label),
            "mechanism": mechanism_in_words(charge, private=self.private),
            "cost": cost_of(charge.event) if self.private else {},
            "share_of_mu_squared": share_of(charge.event, mu) if self.private else None,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Certificate:
        """Read `to_dict` back; words and sums are not read but written anew."""
        runs = sum(c["event"]["kind"] == SubsampledGaussian.__name__ for c in data["charges"])
        if len(data["charges"]) > _MOST_CHARGES or runs > _MOST_RUNS:
            raise PrivacyError(f"The certificate lists {len(data['charges'])} charges: more than any fit makes.")
        charges = tuple(
            Charge(
                label=_line(c["label"]),
                event=event_from_dict(c["event"]),
                sensitivity=_size(c, "sensitivity"),
                scale=_size(c, "scale"),
                n_values=int(c["n_values"]),
            )
            for c in data["charges"]
        )
        epsilon = math.inf if data["epsilon"] is None else _size(data, "epsilon")
        delta = check_real("Certificate", "delta", data["delta"], low=0, low_open=True, high=1, high_open=True)
        versions = {_line(k): _line(v) for k, v in data["versions"].items()}
        unit = Unit.from_dict(data.get("privacy_unit"))
        parties = [cls.from_dict(party) for party in data.get("parties", ())[: _MOST_PARTIES + 1]]
        runs = sum(isinstance(c.event, SubsampledGaussian) for party in parties for c in party.charges)
        odd = any(party.parties or party.start for party in parties)
        if len(parties) > _MOST_PARTIES or runs or odd:
            raise PrivacyError(
                f"The certificate lists more than {_MOST_PARTIES} parties, or some that release no tables."
            )
        noise, private = _line(data["noise"]), bool(data["private"])
        start = None if data.get("start") is None else cls.from_dict(data["start"])
        if start is not None and start.n_starts >= _MOST_STARTS:
            raise PrivacyError(f"The certificate lists more than {_MOST_STARTS} models that it started from.")
        return cls(epsilon, delta, charges, noise, versions, private, unit, tuple(parties), start)

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """Read a certificate that came as JSON, from anybody.

        Raises
        ------
        PrivacyError
            When it is none. Whether it is true is for `verify`.
        """
        try:
            return cls.from_dict(json.loads(text))
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise PrivacyError(
                f"This is no privsynth certificate ({type(error).__name__}: {error}). Get a fresh copy."
            ) from error

    @property
    def accountant(self) -> str:
        """What composed the listed events, in words; `versions` has the packages."""
        if any(isinstance(charge.event, SubsampledGaussian) for charge in self.charges):
            return "Gaussian differential privacy, and Opacus's PRV accountant for the DP-SGD steps (upper bound)"
        return "Gaussian differential privacy, in closed form"

    @property
    def not_covered(self) -> tuple[str, ...]:
        """What the guarantee leaves out, a sentence each."""
        return (*NOT_COVERED, *self._own_unit, *self._between_parties, *self._of_start)

    @property
    def _of_start(self) -> tuple[str, ...]:
        """Who answers for the rows behind the weights that the fit started from."""
        if self.start is None:
            return ()
        if not self.start.private:
            return ("the rows of the table behind the model that the fit started from: they are taken as public",)
        return (
            "the rows of the table behind the model that the fit started from: for these its own certificate holds, "
            f"({self.start.epsilon:.4g}, {self.start.delta:.2g}); who has rows in both tables adds the two up",
        )

    @property
    def n_starts(self) -> int:
        """How many models came before, each the start of the next."""
        return 0 if self.start is None else 1 + self.start.n_starts

    @property
    def _own_unit(self) -> tuple[str, ...]:
        if self.unit.column is None:
            return ("a person with several rows is protected row by row, not as a whole",)
        several = (
            f"a person with several values of {self.unit.column!r}, or with rows that have none, counts as several"
        )
        return (several,)

    @property
    def _between_parties(self) -> tuple[str, ...]:
        """What parties that do not know of each other's rows cannot promise."""
        if not self.parties:
            return ()
        epsilon, delta = (sum(getattr(party, name) for party in self.parties) for name in ("epsilon", "delta"))
        return (
            f"a person with rows at several parties: their epsilons and deltas add up, to {epsilon:.4g} and "
            f"{delta:.2g} for one who is in all",
            "a party that releases false counts: the model is as good as the worst of them",
        )

    def statement(self) -> str:
        """Return the guarantee in one sentence."""
        if math.isinf(self.epsilon):
            return "NOT private: exact statistics of the rows are in this model."
        if self.parties:
            each = ", ".join(f"({p.epsilon:.4g}, {p.delta:.2g})" for p in self.parties)
            return (
                f"Differential privacy for {self.unit.text} at one of {len(self.parties)} parties, by its own release: "
                f"{each}. It covers everything saved with this model and every row sampled from it."
            )
        return (
            f"({self.epsilon:.4g}, {self.delta:.2g})-differential privacy for {self.unit.text}, "
            "covering everything saved with this model and every row sampled from it."
            + (" It started from a model of other rows." if self.start else "")
        )

    def __str__(self) -> str:
        """Return the certificate as plain text, a line a charge."""
        if self.parties:
            told = [f"Party {number}: {party}" for number, party in enumerate(self.parties, start=1)]
            beside = [f"  - {line}" for line in self._between_parties]
            return "\n\n".join([self.statement(), *told, "\n".join(["Between parties, not covered:", *beside])])
        lines = [
            self.statement(),
            "",
            f"  {'mechanism':<28}{'parameters':<52}{'sensitivity':>12}{'noise':>10}",
        ]
        for charge in self.charges:
            event = event_to_dict(charge.event)
            kind = event.pop("kind")
            parameters = kind + " " + ", ".join(f"{k}={v:.6g}" for k, v in event.items())
            numbers = f"{charge.sensitivity:>12.4g}{charge.scale:>10.4g}" if charge.sensitivity else ""
            lines.append(f"  {charge.label:<28}{parameters:<52}{numbers}")
        steps = [c for c in self.charges if isinstance(c.event, SubsampledGaussian)]
        lines += ["", "Neural critic: " + ("DP-SGD as listed" if steps else "not trained")]
        if self.unit.column is not None:
            how = "chosen from the released rows per person" if self.unit.chosen else "as declared"
            lines.append(f"Rows learned from: at most {self.unit.rows} of each {self.unit.column!r}, {how}")
        lines += [
            f"Accountant: {self.accountant}",
            f"Noise: {self.noise}",
            "Not covered:",
            *(f"  - {line}" for line in self.not_covered),
        ]
        return "\n".join(lines)


def _size(data: dict[str, Any], name: str) -> float:
    """Read a finite number >= 0: a NaN would compare as within any bound."""
    return check_real("Certificate", name, data[name], low=0, high=1e300)


def _line(value: Any) -> str:
    """Read text for a terminal: line ends and escapes could make a claim look verified."""
    text = str(value)
    if not text.isprintable():
        raise ValueError(f"{text!r} is no line of text")
    return text


def _is_consistent(charge: Charge) -> bool:
    """Whether a charge costs what its own noise and sensitivity say; those that did not run have neither."""
    event, sensitivity, scale = charge.event, charge.sensitivity, charge.scale
    if not all(math.isfinite(v) and v >= 0 for v in (sensitivity, scale)):
        return False
    if sensitivity == 0 or isinstance(event, (Failure, NonPrivate)):
        return True
    if scale == 0:
        return False
    if isinstance(event, SubsampledGaussian):
        return math.isclose(event.noise_multiplier * sensitivity, scale, rel_tol=1e-6)
    cost = {Gaussian: "mu", PureDP: "epsilon", BoundedRange: "eta"}[type(event)]
    twice = 2.0 if isinstance(event, BoundedRange) else 1.0
    return math.isclose(getattr(event, cost) * scale, twice * sensitivity, rel_tol=1e-6)
