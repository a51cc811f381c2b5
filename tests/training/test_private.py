"""The closed-form private step against Opacus's hooks, a per-row loop, and faulty twins."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus import GradSampleModule
from opacus.accountants import RDPAccountant
from opacus.optimizers import DPOptimizer

from privsynth.errors import ParameterError, PrivacyError
from privsynth.nets.discriminator import Discriminator
from privsynth.privacy.noise import NoNoise, SecureNoise
from privsynth.training.batches import poisson_batches
from privsynth.training.private import (
    ClosedFormDPOptimizer,
    clip_rows_,
    logistic_loss,
    private_adam,
    private_step,
    row_gradients,
)
from tests.privacy.test_noise import has_gaussian_noise

SHAPES = [(1, (), 3), (5, (4,), 8), (30, (64, 32), 16), (12, (9, 7, 5), 33)]
hooks_warnings = pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")


def make_net(n_features, hidden=(8, 4), seed=0):
    return Discriminator(n_features, generator=torch.Generator().manual_seed(seed), hidden=hidden)


def make_rows(n_rows, n_features, seed=0):
    return 2 * torch.randn(n_rows, n_features, generator=torch.Generator().manual_seed(seed))


def clipped_sum(net, rows, *, n_real, max_grad_norm):
    """The optimizer's clipped sum over `rows`, one flat vector."""
    optimizer = make_optimizer(net, max_grad_norm=max_grad_norm)
    _, parts = row_gradients(net, rows, loss=lambda logits: logistic_loss(logits, n_real=n_real))
    optimizer.record(parts)
    optimizer.clip_and_accumulate()
    return torch.cat([p.summed_grad.reshape(-1) for p in net.parameters()])


def per_row_sum(net, rows, *, n_real, max_grad_norm):
    """The slow oracle: one backward pass a row, clipped, summed."""
    total = 0.0
    for i, row in enumerate(rows):
        loss = logistic_loss(net(row[None]), n_real=int(i < n_real))
        grads = torch.autograd.grad(loss, list(net.parameters()))
        flat = torch.cat([g.reshape(-1) for g in grads])
        total = total + flat * min(1.0, max_grad_norm / float(flat.norm()))
    return total


def make_optimizer(net, *, noise=None, noise_multiplier=0.0, max_grad_norm=1.0, batch_size=8):
    return private_adam(
        net,
        noise=noise or NoNoise(),
        noise_multiplier=noise_multiplier,
        max_grad_norm=max_grad_norm,
        batch_size=batch_size,
    )


def flat_parameters(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def hooks_engine(net, *, max_grad_norm, batch_size):
    wrapped = GradSampleModule(copy.deepcopy(net), loss_reduction="sum")
    adam = torch.optim.Adam(wrapped.parameters(), lr=1e-3, betas=(0.5, 0.9))
    return wrapped, DPOptimizer(
        adam, noise_multiplier=0.0, max_grad_norm=max_grad_norm, expected_batch_size=2 * batch_size
    )


@hooks_warnings
@pytest.mark.parametrize(("n_features", "hidden", "n_rows"), SHAPES)
@pytest.mark.parametrize("max_grad_norm", [0.1, 1.0, 100.0])
def test_clipped_sum_equals_opacus_hooks_and_the_loop(n_features, hidden, n_rows, max_grad_norm):
    net, rows = make_net(n_features, hidden), make_rows(n_rows, n_features)
    n_real = n_rows // 2
    ours = clipped_sum(net, rows, n_real=n_real, max_grad_norm=max_grad_norm)
    loop = per_row_sum(net, rows, n_real=n_real, max_grad_norm=max_grad_norm)
    wrapped, theirs = hooks_engine(net, max_grad_norm=max_grad_norm, batch_size=n_rows)
    logistic_loss(wrapped(rows), n_real=n_real).backward()
    theirs.clip_and_accumulate()
    opacus = torch.cat([p.summed_grad.reshape(-1) for p in wrapped.parameters()])
    size = float(loop.norm())
    assert float((ours - opacus).norm()) <= 1e-5 * size
    assert float((ours - loop).norm()) <= 1e-5 * size


@hooks_warnings
def test_adam_steps_equal_opacus():
    net, batch_size = make_net(10, (16, 8)), 8
    wrapped, theirs = hooks_engine(net, max_grad_norm=0.5, batch_size=batch_size)
    ours = make_optimizer(net, max_grad_norm=0.5, batch_size=batch_size)
    start = flat_parameters(net)
    for step in range(5):
        real, fake = make_rows(6 + step, 10, seed=step), make_rows(batch_size, 10, seed=100 + step)
        private_step(net, ours, real=real, fake=fake)
        theirs.zero_grad()
        logistic_loss(wrapped(torch.cat([real, fake])), n_real=len(real)).backward()
        theirs.step()
    moved = float((flat_parameters(net) - start).norm())
    assert float((flat_parameters(net) - flat_parameters(wrapped)).norm()) <= 1e-3 * moved


def test_infinite_norm_and_no_noise_is_the_ordinary_step():
    net = make_net(6)
    plain = copy.deepcopy(net)
    ours = make_optimizer(net, max_grad_norm=math.inf, noise=SecureNoise())
    adam = torch.optim.Adam(plain.parameters(), lr=1e-3, betas=(0.5, 0.9))
    for step in range(3):
        real, fake = make_rows(8, 6, seed=step), make_rows(8, 6, seed=50 + step)
        private_step(net, ours, real=real, fake=fake)
        adam.zero_grad()
        (logistic_loss(plain(torch.cat([real, fake])), n_real=8) / 16).backward()
        adam.step()
    torch.testing.assert_close(flat_parameters(net), flat_parameters(plain), rtol=1e-4, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_rows=st.integers(0, 6),
    hidden=st.sampled_from([(), (3,), (5, 4)]),
    size=st.sampled_from([1e-3, 1.0, 1e4]),
    max_grad_norm=st.sampled_from([0.01, 1.0, 10.0]),
)
def test_one_row_moves_the_sum_by_at_most_c(seed, n_rows, hidden, size, max_grad_norm):
    net = make_net(4, hidden, seed=seed).double()
    rows = size * make_rows(n_rows + 1, 4, seed=seed).double()
    many = clipped_sum(net, rows, n_real=n_rows + 1, max_grad_norm=max_grad_norm)
    few = clipped_sum(net, rows[:-1], n_real=n_rows, max_grad_norm=max_grad_norm)
    assert float((many - few).norm()) <= max_grad_norm
    moved = rows.clone()
    moved[-1] *= -3.0  # replacing is removing and adding
    other = clipped_sum(net, moved, n_real=n_rows + 1, max_grad_norm=max_grad_norm)
    assert float((many - other).norm()) <= 2 * max_grad_norm


def test_without_clipping_one_row_moves_the_sum_by_more():
    net, rows = make_net(4).double(), 1e3 * make_rows(5, 4).double()
    many = clipped_sum(net, rows, n_real=5, max_grad_norm=math.inf)
    few = clipped_sum(net, rows[:-1], n_real=4, max_grad_norm=math.inf)
    assert float((many - few).norm()) > 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
def test_a_row_of_no_finite_norm_is_dropped(bad):
    net, rows = make_net(4), make_rows(5, 4)
    good = clipped_sum(net, rows, n_real=5, max_grad_norm=1.0)
    spoiled = torch.cat([torch.full((1, 4), bad), rows])
    ours = clipped_sum(net, spoiled, n_real=6, max_grad_norm=1.0)
    assert torch.isfinite(ours).all()
    assert float((ours - good).norm()) <= 1.0


def released_noise(noise, noise_multiplier):
    """Noise in the gradients that reach Adam, in units of max_grad_norm * noise_multiplier / divisor."""
    net, real, fake = make_net(50, (40, 10)), make_rows(5, 50), make_rows(8, 50, seed=1)
    clean = copy.deepcopy(net)
    draws = []
    for multiplier, module in ((noise_multiplier, net), (0.0, clean)):
        optimizer = make_optimizer(module, noise=noise, noise_multiplier=multiplier, max_grad_norm=0.3)
        private_step(module, optimizer, real=real, fake=fake)
        draws.append(torch.cat([p.grad.reshape(-1) for p in module.parameters()]).double())
    return ((draws[0] - draws[1]) * 16 / 0.3).numpy()


class HalfNoise(SecureNoise):
    def add_gaussian(self, values, *, scale):
        return super().add_gaussian(values, scale=scale / 2)


def test_noise_in_the_step_has_its_declared_scale():
    assert has_gaussian_noise(released_noise(SecureNoise(), 1.7), 1.7)
    assert not has_gaussian_noise(released_noise(HalfNoise(), 1.7), 1.7)
    assert not has_gaussian_noise(released_noise(NoNoise(), 1.7), 1.7)


def test_empty_batch_still_steps_with_noise_and_counts():
    net = make_net(4)
    optimizer, accountant = make_optimizer(net, noise=SecureNoise(), noise_multiplier=2.0), RDPAccountant()
    optimizer.attach_step_hook(accountant.get_optimizer_hook_fn(sample_rate=0.1))
    twin = copy.deepcopy(net)
    fake = make_rows(8, 4)
    private_step(net, optimizer, real=fake[:0], fake=fake)
    private_step(twin, make_optimizer(twin), real=fake[:0], fake=fake)
    assert accountant.history == [(2.0, 0.1, 1)]
    noisy, clean = (torch.cat([p.grad.reshape(-1) for p in module.parameters()]) for module in (net, twin))
    assert (noisy != clean).all()
    assert not torch.equal(flat_parameters(net), flat_parameters(make_net(4)))


def test_accountant_sees_every_step_and_no_other():
    net, source, rows = make_net(4), SecureNoise(), make_rows(100, 4)
    optimizer, accountant = make_optimizer(net, noise=source, noise_multiplier=1.3), RDPAccountant()
    optimizer.attach_step_hook(accountant.get_optimizer_hook_fn(sample_rate=0.005))
    sizes = []
    for batch in poisson_batches(source, n_rows=100, rate=0.005, steps=40):
        private_step(net, optimizer, real=rows[torch.from_numpy(batch)], fake=make_rows(8, 4))
        sizes.append(len(batch))
    assert accountant.history == [(1.3, 0.005, 40)]
    assert 0 in sizes  # false alarm: (1 - .995**100)**40 = 7e-17


def test_gradient_holds_reals_and_fakes_and_no_more():
    net, real, fake = make_net(4), make_rows(5, 4), make_rows(8, 4, seed=1)
    reals = clipped_sum(net, real, n_real=5, max_grad_norm=1.0)
    fakes = clipped_sum(net, fake, n_real=0, max_grad_norm=1.0)
    optimizer = make_optimizer(net)
    private_step(net, optimizer, real=real, fake=fake)
    grad = torch.cat([p.grad.reshape(-1) for p in net.parameters()])
    torch.testing.assert_close(grad, (reals + fakes) / 16)
    assert min(float(reals.norm()), float(fakes.norm())) > 0.1


def test_step_tells_reals_from_fakes():
    net = make_net(4)
    optimizer = private_adam(
        net, noise=NoNoise(), noise_multiplier=0.0, max_grad_norm=1.0, batch_size=32, learning_rate=0.01
    )
    real, fake = make_rows(32, 4) + 3.0, make_rows(32, 4, seed=1) - 3.0
    for _ in range(50):
        logits = private_step(net, optimizer, real=real, fake=fake)
    assert logits.shape == (32,)
    assert not logits.requires_grad
    assert float(net(real).mean().detach()) > 0 > float(logits.mean())


def test_divisor_is_public():
    """The same clipped sum gives the same gradient whatever the number of rows it came from."""
    net, rows, fake = make_net(4), make_rows(6, 4), make_rows(8, 4, seed=1)
    grads = []
    for n_real in (3, 6):
        optimizer = make_optimizer(net)
        optimizer.zero_grad()
        _, parts = row_gradients(
            net, torch.cat([rows[:n_real], fake]), loss=lambda z, n=n_real: logistic_loss(z, n_real=n)
        )
        optimizer.record(parts)
        optimizer.pre_step()
        grads.append(torch.cat([p.grad.reshape(-1) for p in net.parameters()]))
    extra = clipped_sum(net, rows[3:], n_real=3, max_grad_norm=1.0)
    torch.testing.assert_close(grads[1] - grads[0], extra / 16)


def test_skipped_steps_make_one_batch():
    net, rows = make_net(4), make_rows(10, 4)
    optimizer, accountant = make_optimizer(net, batch_size=5), RDPAccountant()
    optimizer.attach_step_hook(accountant.get_optimizer_hook_fn(sample_rate=0.1))
    whole = clipped_sum(net, rows, n_real=10, max_grad_norm=1.0)
    optimizer.zero_grad()
    for part, skip in ((rows[:4], True), (rows[4:], False)):
        optimizer.zero_grad()
        _, parts = row_gradients(net, part, loss=lambda z: logistic_loss(z, n_real=len(z)))
        optimizer.record(parts)
        optimizer.signal_skip_step(skip)
        optimizer.step()
    grad = torch.cat([p.grad.reshape(-1) for p in net.parameters()])
    torch.testing.assert_close(grad, whole / 10)
    assert accountant.history == [(0.0, 0.1, 1)]


def test_misuse_is_refused():
    net, rows = make_net(4), make_rows(8, 4)
    optimizer = make_optimizer(net)
    _, parts = row_gradients(net, rows, loss=lambda logits: logistic_loss(logits, n_real=8))
    with pytest.raises(PrivacyError, match="No rows were recorded"):
        optimizer.step()
    with pytest.raises(PrivacyError, match="parameters"):
        optimizer.record(parts[:-1])
    with pytest.raises(PrivacyError, match="parameters"):
        optimizer.record([*parts, parts[0]])
    optimizer.record(parts)
    with pytest.raises(PrivacyError, match="twice"):
        optimizer.record(parts)
    with pytest.raises(PrivacyError, match="8 fake rows"):
        private_step(net, optimizer, real=rows, fake=rows[:3])
    with pytest.raises(ParameterError, match="max_grad_norm"):
        make_optimizer(net, noise_multiplier=1.0, max_grad_norm=math.inf)
    with pytest.raises(ParameterError, match="noise_multiplier"):
        make_optimizer(net, noise_multiplier=-1.0)


def test_reduced_precision_products_are_refused():
    net, rows = make_net(4), make_rows(8, 4)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(PrivacyError, match="float32"):
            clipped_sum(net, rows, n_real=8, max_grad_norm=1.0)
    finally:
        torch.set_float32_matmul_precision(before)


def test_clipping_keeps_small_rows_as_they_are():
    net, rows = make_net(4), make_rows(8, 4)
    _, parts = row_gradients(net, rows, loss=lambda logits: logistic_loss(logits, n_real=8))
    before = [part.output_grads.clone() for part in parts]
    for grads, part in zip(before, clip_rows_(parts, max_grad_norm=1e6), strict=True):
        assert torch.equal(grads, part.output_grads)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_step_on_cuda():
    nets = [make_net(4), make_net(4).cuda()]
    for net in nets:
        device = next(net.parameters()).device
        optimizer = make_optimizer(net)
        real, fake = make_rows(5, 4).to(device), make_rows(8, 4, seed=1).to(device)
        private_step(net, optimizer, real=real, fake=fake)
    torch.testing.assert_close(flat_parameters(nets[0]), flat_parameters(nets[1]).cpu())


def test_poisson_batches_gives_every_step_a_batch():
    batches = list(poisson_batches(NoNoise(), n_rows=3, rate=0.1, steps=50))
    assert len(batches) == 50
    assert any(batch.size == 0 for batch in batches)
    assert all(isinstance(batch, np.ndarray) for batch in batches)


def test_optimizer_is_an_opacus_optimizer():
    assert isinstance(make_optimizer(make_net(3)), DPOptimizer)
    assert issubclass(ClosedFormDPOptimizer, DPOptimizer)
