"""The other choices of ablation_defaults.py, each a patch of the package for the rest of the process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.mixture import BayesianGaussianMixture

from privsynth.synthesizers import ctgan
from privsynth.training import loop, measure, measured, plan
from privsynth.transforms import continuous, encoder
from privsynth.transforms.cells import Cells

N_MODES = 10  # as CTGAN has
N_POINTS = 20_000  # drawn from the released histogram, to fit the mixture to


def mixture_modes() -> None:
    """Modes as in CTGAN: a Gaussian mixture fitted to the released histogram; a cell is where one of them is likeliest.

    Within a mode, values are as dense as its normal density. Spikes get no cell of their own.
    """
    continuous.unit_columns = lambda *_: {}
    continuous._cells = _modes
    encoder.unit_columns = continuous.unit_columns


def _modes(leaves: Any, atoms: dict[float, float], decimals: int | None, least: float, most: int) -> Cells:
    low, high = leaves.edges[:-1], leaves.edges[1:]
    mass = np.clip(leaves.counts, 0, None)
    for value, count in atoms.items():
        mass[np.clip(np.searchsorted(leaves.edges, value, side="right") - 1, 0, len(mass) - 1)] += max(count, 0.0)
    share = mass / mass.sum() if mass.sum() > 0 else np.full(len(mass), 1 / len(mass))
    rng = np.random.default_rng(0)
    at = rng.choice(len(share), N_POINTS, p=share)
    points = low[at] + rng.random(N_POINTS) * (high - low)[at]
    spread = max(float(points.std()), 1e-9)
    mixture = BayesianGaussianMixture(
        n_components=N_MODES, weight_concentration_prior=1e-3, max_iter=300, random_state=0
    )
    mixture.fit(points[:, None] / spread)
    middle = ((low + high) / 2)[:, None] / spread
    winner = mixture.predict(middle)
    cell = np.concatenate([[0], np.cumsum(np.diff(winner) != 0)])
    centers, widths = mixture.means_[:, 0], np.sqrt(mixture.covariances_[:, 0, 0])
    within = np.exp(-0.5 * ((middle[:, 0] - centers[winner]) / widths[winner]) ** 2) * (high - low)
    total = np.bincount(cell, share)
    inside = np.bincount(cell, within)
    dense = within / inside[cell] if (inside > 0).all() else share / np.maximum(total[cell], 1e-300)
    return Cells(low, high, np.maximum(dense * np.maximum(total[cell], 1e-12), 0), cell, decimals)


def equal_widths() -> None:
    """32 cells of the same width between the discovered bounds; no spikes, no splitting."""
    starts = continuous._grid_edges

    def even(edges: Any, scale: float, grid: bool, high_inside: bool) -> Any:
        ends = starts(edges, scale, grid, high_inside)[[0, -1]]
        cut = np.linspace(*ends, continuous.MAX_CELLS + 1)
        return np.unique(np.rint(cut)) if grid else cut

    continuous._grid_edges = even
    continuous.LEAST_NOISES = 0
    plan.n_cells_of = lambda *_: continuous.MAX_CELLS
    one_round()
    no_atoms()


def no_atoms() -> None:
    """Spikes are not found and get no cell."""
    continuous.MAX_ATOMS = 0


def one_round() -> None:
    """Leaves are counted once, with the whole share of leaves, and never split."""
    first, *later = continuous.ROUNDS
    continuous.ROUNDS = (first,)
    usual = plan.shares_of

    def shares(*arguments: Any, **more: Any) -> dict[str, float]:
        found = usual(*arguments, **more)
        moved = sum(found[label] for label in later if label in found)
        return {label: 1e-9 if label in later else x + moved * (label == first) for label, x in found.items()}

    plan.shares_of = shares


def even_in_cells() -> None:
    """Within a cell of several leaves, values are even from its least to its greatest; spikes stay."""
    usual = continuous._cells

    def even(*arguments: Any) -> Cells:
        cells = usual(*arguments)
        width = cells.high - cells.low
        total = np.bincount(cells.cell, cells.mass)
        broad = np.bincount(cells.cell, width)
        flat = np.where(broad[cells.cell] > 0, width / np.maximum(broad[cells.cell], 1e-300), 1.0) * total[cells.cell]
        return Cells(cells.low, cells.high, flat, cells.cell, cells.decimals)

    continuous._cells = even


def fewer_cells() -> None:
    """16 cells a number at most, whatever the noise."""
    plan.n_cells_of = lambda *_: 16


def whole_pairs() -> None:
    """Pairs are counted over all rows, not by class; the class is in the columns by class alone."""
    usual = measure._pair_table

    def table(codes: Any, layout: Any, pairs: Any, classes: Any, n_classes: int, *rest: Any) -> Any:
        mechanisms, label, *_ = rest
        return usual(codes, layout, pairs, None, 1, mechanisms, label)

    shares = measured._class_shares
    measure._pair_table = table
    measured._class_shares = lambda found, layout: shares(replace(found, pairs=None), layout)  # they tell no class


def few_pairs() -> None:
    """Only as many pairs are measured as there are columns, chosen privately."""

    def pairs(request: Any, signal: float) -> tuple[int, int]:
        columns = request.n_columns - request.split
        n_pairs = columns * (columns - 1) // 2
        return n_pairs, min(n_pairs, columns)

    plan.pairs_of = pairs


def no_class_columns() -> None:
    """Columns by class follow from pairs by class alone."""
    _without(plan.CLASS_COLUMNS)


def _without(label: str) -> None:
    usual = plan.shares_of

    def shares(*arguments: Any, **more: Any) -> dict[str, float]:
        found = usual(*arguments, **more)
        found.pop(label, None)
        return found

    plan.shares_of = shares


def components(number: int) -> None:
    ctgan._N_COMPONENTS = int(number)


def rate(factor: float) -> None:
    ctgan.LEARNING_RATE = loop.LEARNING_RATE * factor


def near(limit: float) -> None:
    """The rate falls from this multiple of the noise floor on."""
    loop._NEAR = limit


def averaged(decay: float) -> None:
    """The fitted weights are an exponential moving average over the steps."""
    usual = loop.Trainer.fit_measured

    def fit(self: Any, **more: Any) -> None:
        shadow = [p.detach().clone() for p in self.generator.parameters()]
        watched: Callable[..., Any] = self.progress

        def progress(*arguments: Any) -> Any:
            with torch.no_grad():
                for mean, weight in zip(shadow, self.generator.parameters(), strict=True):
                    mean.lerp_(weight, 1 - decay)
            return watched(*arguments)

        self.progress = progress
        usual(self, **more)
        self.progress = watched
        with torch.no_grad():
            for mean, weight in zip(shadow, self.generator.parameters(), strict=True):
                weight.copy_(mean)

    loop.Trainer.fit_measured = fit


def column_weight(factor: float) -> None:
    """Counts of columns weigh so many times as much in the loss as those of pairs."""
    usual, squares = measured.MeasuredCritic.__init__, measured.MeasuredCritic._marginal_squares

    def begin(self: Any, measurements: Any, layout: Any, **more: Any) -> None:
        usual(self, measurements, layout, **more)
        free, by_class = float(self._free.sum()), float(self._by_class is not None)
        self._cells += (factor - 1) * free * np.append(np.full(len(self._sizes), by_class), 1.0)

    measured.MeasuredCritic.__init__ = begin
    measured.MeasuredCritic._marginal_squares = lambda self, parts: squares(self, parts) * factor


def strong(share: float) -> None:
    """Noisy counts are no better known than to this share of the rows, those of a class times the root of its share."""
    measured._STRONG = share


def no_choice() -> None:
    """The last generator is kept, whatever it is; its share goes to the other releases."""
    _without(plan.CHOICE)
    ctgan.choose_model = lambda *arguments, **more: len(arguments[1]) - 1


def critic_steps(number: int) -> None:
    """The generator takes a step after so many of the critic's."""
    _play_if(lambda trainer: len(trainer.history.fake_accuracy) % int(number) == 0)


def critic_ahead(accuracy: float) -> None:
    """The generator waits until the critic tells so many of the generated rows (Bie, Kamath and Zhang, TMLR 2023)."""
    _play_if(lambda trainer: trainer.history.fake_accuracy[-1] >= accuracy)


def _play_if(ready: Callable[[Any], bool]) -> None:
    usual = loop.Trainer._play

    def play(self: Any, discriminator: Any, player: Any, weight: float, *rest: Any) -> float:
        return usual(self, discriminator, player, weight, *rest) if ready(self) else weight

    loop.Trainer._play = play
