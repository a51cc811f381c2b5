import pytest
import torch
from torch import nn

from privsynth.errors import ParameterError
from privsynth.nets.blocks import seeded_linear
from privsynth.nets.discriminator import Discriminator


def make(seed=0, **options):
    return Discriminator(7, generator=torch.Generator().manual_seed(seed), **options)


def test_one_logit_a_row_and_rows_do_not_mix():
    net, rows = make(), torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    logits = net(rows)
    assert logits.shape == (5,)
    for i in range(5):
        torch.testing.assert_close(net(rows[i : i + 1])[0], logits[i])


def test_no_rows():
    assert make()(torch.empty(0, 7)).shape == (0,)


def test_same_seed_same_weights_and_the_global_generator_is_untouched():
    before = torch.get_rng_state()
    one, same, other = make(3), make(3), make(4)
    assert torch.equal(torch.get_rng_state(), before)
    for a, b, c in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


@pytest.mark.parametrize("hidden", [(), (4,), (64, 32), (8, 8, 8)])
def test_hidden_widths(hidden):
    net = make(hidden=hidden)
    assert [layer.out_features for layer in net.linear_layers()] == [*hidden, 1]
    held = [p for layer in net.linear_layers() for p in layer.parameters()]
    assert len(held) == len(list(net.parameters()))


def test_traced_forward_is_forward():
    net, rows = make(), torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    logits, passes = net.traced_forward(rows)
    torch.testing.assert_close(logits, net(rows))
    for one in passes:
        torch.testing.assert_close(one.layer(one.inputs), one.outputs)
    assert not passes[0].inputs.requires_grad


def test_seeded_linear_spreads_like_torch():
    layer = seeded_linear(100, 500, torch.Generator().manual_seed(0))
    default = nn.Linear(100, 500)
    for ours, theirs in ((layer.weight, default.weight), (layer.bias, default.bias)):
        assert ours.abs().max() <= 0.1
        assert 0.85 < ours.std() / theirs.std() < 1.15


def test_bad_widths_are_named():
    with pytest.raises(ParameterError, match="hidden"):
        make(hidden=(0,))
