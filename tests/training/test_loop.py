"""The loop of the neural critic: it does what was charged, and rows act through noisy gradients alone."""

import numpy as np
import pytest
import torch

from privsynth.nets.generator import Generator
from privsynth.privacy.events import SubsampledGaussian
from privsynth.privacy.mechanisms import Release
from privsynth.privacy.noise import NoNoise
from privsynth.training.conditions import Pool
from privsynth.training.history import silent
from privsynth.training.loop import Settings, Trainer
from privsynth.training.measure import Measurements
from privsynth.training.measured import MeasuredCritic
from privsynth.transforms.layout import Layout

SIZES = [3, 4, 2]
LAYOUT = Layout.of(dict(zip(("a", "b", "kind"), SIZES, strict=True)))
CLIP, BATCH = 0.5, 16


class Tape(NoNoise):
    """No noise; every call is kept, and the gradients of an earlier tape are played back."""

    def __init__(self, earlier=None):
        super().__init__()
        self.earlier, self.masks, self.scales, self.sums, self.given = earlier, [], [], [], []

    def poisson_rows(self, n_rows, *, rate):
        rows = super().poisson_rows(n_rows, rate=rate)
        self.masks.append((n_rows, rate, rows.size))
        return rows

    def add_gaussian(self, values, *, scale):
        self.scales.append(scale)
        self.sums.append(np.array(values, dtype=np.float64))
        given = super().add_gaussian(values, scale=scale)
        if self.earlier is not None:
            given = self.earlier.given[len(self.given)].copy()
        self.given.append(given.copy())
        return given


def make_trainer(**settings):
    """A small generator and critics, the same each time."""
    release = Release(np.repeat(100.0 / np.array(SIZES), SIZES), 5.0)
    critic = MeasuredCritic(Measurements(None, release), LAYOUT, n_rows=100, device=torch.device("cpu"))
    seeds = torch.Generator().manual_seed(0)
    generator = Generator(SIZES, n_classes=1, embedding_dim=4, hidden=(8,), generator=seeds)
    pool = Pool.draw(np.ones(1), n_components=32, embedding_dim=4, generator=seeds)
    chosen = Settings(**{"steps": 2, "max_grad_norm": CLIP, "discriminator_dim": (8,), "batch_size": BATCH, **settings})
    return Trainer(generator, pool, LAYOUT, critic=critic, settings=chosen, seed=0, progress=silent)


def train(codes, event, noise, *, measured=False):
    """A trained generator: its checkpoints, weights and history."""
    trainer = make_trainer()
    trainer.fit_measured()
    checkpoints = trainer.fit_neural(codes, event, noise, private=True, measured=measured)
    states = [*checkpoints, trainer.generator.state_dict()]
    weights = torch.stack([torch.cat([v.reshape(-1) for v in state.values()]) for state in states])
    return weights, trainer.history.to_dict()


def rows_of(cells, n_rows):
    return np.tile(np.array(cells, dtype=np.int64), (n_rows, 1))


def table_of(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, size, n_rows) for size in SIZES], axis=1)


@pytest.mark.parametrize(("rate", "n_rows"), [(0.05, 300), (0.001, 40), (1.0, 20)])
def test_masks_noise_and_steps_are_those_that_were_charged(rate, n_rows):
    event, noise = SubsampledGaussian(1.7, rate, 25), Tape()
    train(table_of(n_rows), event, noise)
    assert [(n, q) for n, q, _ in noise.masks] == [(n_rows, rate)] * 25
    assert noise.scales == pytest.approx([1.7 * CLIP] * 25)
    if rate == 0.001:
        assert 0 in {size for _, _, size in noise.masks}


@pytest.mark.parametrize("measured", [True, False])
def test_rows_act_through_the_noisy_gradients_alone(measured):
    """With the gradients of one table played back, any other table gives the same weights, history and checkpoints."""
    event, tape = SubsampledGaussian(1.0, 0.2, 300), Tape()
    one = train(rows_of([0, 0, 0], 80), event, tape, measured=measured)
    for other in (rows_of([2, 3, 1], 200), table_of(0)):
        again = Tape(earlier=tape)
        weights, history = train(other, event, again, measured=measured)
        assert torch.equal(weights, one[0])
        assert history == one[1]
        assert len(again.given) == 300
    unplayed, _ = train(rows_of([2, 3, 1], 80), event, Tape(), measured=measured)
    assert not torch.equal(unplayed, one[0])  # the twin: not played back, the rows do act


@pytest.mark.parametrize("kind", ["ordinary", "only one of a class"])
def test_one_row_moves_each_sum_by_the_bound_at_most(kind):
    """Also where it is the only one of its class: drawn given its class, it would be in a sample many times."""
    event, tape = SubsampledGaussian(1.0, 0.3, 30), Tape()
    rows = np.vstack([rows_of([0, 0, 0], 40), rows_of([1, 2, 0], 41)])
    train(rows, event, tape)
    more = np.vstack([rows, [[2, 1, 1]] if kind == "only one of a class" else [[1, 2, 0]]])
    again = Tape(earlier=tape)
    train(more, event, again)
    moved = [float(np.linalg.norm(a - b)) for a, b in zip(tape.sums, again.sums, strict=True)]
    assert max(moved) <= CLIP * (1 + 1e-6)
    assert max(moved) > 0.1 * CLIP
    drawn = sum(m > 1e-6 for m in moved)
    assert drawn == sum(a[2] != b[2] for a, b in zip(tape.masks, again.masks, strict=True))
    assert 1 <= drawn <= 25  # false alarm: the masks have a public seed


def test_the_generator_learns_to_pass():
    """The signs: against a critic that learned from rows of one kind, the generator makes more of them."""
    shares = []
    for n_steps in (1, 600):
        trainer = make_trainer(batch_size=64, max_grad_norm=1.0, adversarial_rate=5e-3)
        event = SubsampledGaussian(0.0, 1.0, n_steps)
        trainer.fit_neural(rows_of([0, 0, 0], 64), event, NoNoise(), private=True, measured=False)
        shares.append(float(trainer.probabilities().detach()[:, 0].mean()))
    assert shares[1] > 0.6 > shares[0]
