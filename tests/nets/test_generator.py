"""The generator against a slow softmax, span by span."""

import numpy as np
import pytest
import torch

from privsynth.nets.generator import Generator

SIZES = [2, 1, 5]


def make(seed=0, sizes=SIZES, hidden=(8, 8, 4), n_classes=3):
    generator = torch.Generator().manual_seed(seed)
    return Generator(sizes, n_classes=n_classes, embedding_dim=6, hidden=hidden, generator=generator)


def inputs(n=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 6, generator=generator), torch.randint(0, 3, (n,), generator=generator)


def slow_rows(net, z, classes):
    """Return cell probabilities with loops: layers by hand, logits bounded to 40, a softmax a span."""
    rows = []
    for latent, number in zip(z.double().numpy(), classes.tolist(), strict=True):
        x = np.concatenate([latent, np.eye(net.n_classes)[number]])
        for layer in net.layers:
            y = np.maximum(layer.weight.detach().double().numpy() @ x + layer.bias.detach().double().numpy(), 0)
            x = x + y if len(x) == len(y) else y
        logits = net.head.weight.detach().double().numpy() @ x + net.head.bias.detach().double().numpy()
        logits = 40 * np.tanh(logits / 40)
        row, start = [], 0
        for size in SIZES:
            part = np.exp(logits[start : start + size] - logits[start : start + size].max())
            row += list(part / part.sum())
            start += size
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("hidden", [(8, 8, 4), (5,), (9, 9)])
def test_rows_are_softmaxes_by_span(hidden):
    net = make(hidden=hidden)
    z, classes = inputs()
    rows = net(z, classes).detach().numpy()
    np.testing.assert_allclose(rows, slow_rows(net, z, classes), rtol=1e-4, atol=1e-6)
    for start, stop in ((0, 2), (2, 3), (3, 8)):
        np.testing.assert_allclose(rows[:, start:stop].sum(axis=1), 1, rtol=1e-5)


def test_huge_logits_neither_overflow_nor_reach_zero():
    net = make()
    with torch.no_grad():
        net.head.bias.copy_(torch.tensor([1e6, -1e6, 0.0, 1e6, 1e6, -1e6, 0.0, 5.0]))
    rows = net(*inputs())
    assert torch.isfinite(rows).all()
    assert (rows > 0).all()
    assert rows.sum().item() == pytest.approx(3 * 7, rel=1e-5)


def test_the_class_matters_and_rows_do_not_mix():
    net = make()
    z, _ = inputs()
    rows = [net(z, torch.full((7,), number)) for number in range(3)]
    assert not torch.allclose(rows[0], rows[1])
    torch.testing.assert_close(net(z[2:3], torch.tensor([1]))[0], rows[1][2])


def test_same_seed_same_weights_and_the_global_generator_is_untouched():
    before = torch.get_rng_state()
    one, same, other = make(3), make(3), make(4)
    assert torch.equal(torch.get_rng_state(), before)
    for a, b, c in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_start_from_gives_the_marginals():
    marginals = torch.tensor([0.3, 0.7, 1.0, 0.5, 0.25, 0.15, 0.1, 0.0])
    net = make()
    net.start_from(marginals)
    with torch.no_grad():
        net.head.weight.zero_()  # what the bias alone says
    rows = net(*inputs()).detach()
    torch.testing.assert_close(rows, marginals.expand(7, -1), atol=1e-2, rtol=0)  # tanh bends log 1e-6 a little


def test_state_dict_holds_weights_only():
    assert set(make().state_dict()) == {
        *(f"layers.{i}.{part}" for i in range(3) for part in ("weight", "bias")),
        "head.weight",
        "head.bias",
    }
