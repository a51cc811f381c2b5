"""The keystream's normals, each kind of draw alone, and its words."""

import numpy as np
import pytest

from privsynth.privacy._keystream import _ENCIPHERED, Keystream, _add_single_pairs, _double_pairs
from tests.privacy.test_noise import has_gaussian_noise

PAIRS = 50_000


def double_draws(words, scale):
    sines, cosines = np.empty((2, words.size // 2))
    _double_pairs(words, scale, sines=sines, cosines=cosines)
    return sines, cosines


def single_draws(words, scale):
    sines, cosines = np.zeros((2, words.size // 3))
    scratch = np.empty(words.size, dtype=np.float32)
    _add_single_pairs(words, scale, scratch, sines=sines, cosines=cosines)
    return sines, cosines


@pytest.mark.parametrize(("draws", "n_words", "std"), [(double_draws, 2, 1.0), (single_draws, 3, np.sqrt(3))])
def test_each_kind_of_draw_is_gaussian(draws, n_words, std):
    for part in draws(Keystream().words(n_words * 10_000).copy(), 2.0):
        assert has_gaussian_noise(part, 2.0 * std)
        assert not has_gaussian_noise(1.1 * part, 2.0 * std)


def test_double_draws_are_box_muller_of_their_words():
    words = np.random.default_rng(0).integers(-(2**63), 2**63, size=2 * PAIRS, dtype=np.int64)
    uniform = np.abs((words[:PAIRS] | 1) / 2.0**63)
    radius, angle = np.sqrt(-2 * np.log(uniform)), words[PAIRS:] * (np.pi * 2.0**-63)
    sines, cosines = double_draws(words, 1.0)
    np.testing.assert_allclose(sines, radius * np.sin(angle), rtol=0, atol=1e-14)
    np.testing.assert_allclose(cosines, radius * np.cos(angle), rtol=0, atol=1e-14)


def test_single_draws_are_three_box_mullers_of_their_words():
    words = np.random.default_rng(0).integers(-(2**63), 2**63, size=3 * PAIRS, dtype=np.int64)
    uniform = (words.view(np.uint32)[: 3 * PAIRS] | 1) / 2.0**32
    radius, angle = np.sqrt(-2 * np.log(uniform)), words.view(np.int32)[3 * PAIRS :] * (np.pi * 2.0**-31)
    sines, cosines = single_draws(words, 1.0)
    np.testing.assert_allclose(sines, (radius * np.sin(angle)).reshape(3, -1).sum(axis=0), rtol=0, atol=1e-3)
    np.testing.assert_allclose(cosines, (radius * np.cos(angle)).reshape(3, -1).sum(axis=0), rtol=0, atol=1e-3)


@pytest.mark.parametrize("draws", [double_draws, single_draws])
@pytest.mark.parametrize("word", [0, -1, 1, 2**63 - 1, -(2**63), 2**62, 2**31, -(2**31), 2**32 - 1])
def test_no_word_makes_a_draw_that_is_not_finite(draws, word):
    for first, second in ((word, word), (word, 0), (0, word), (word, -1)):
        words = np.repeat(np.array([first, second], dtype=np.int64), 6)
        assert all(np.isfinite(part).all() for part in draws(words, 1.0))


def test_words_do_not_repeat_between_enciphered_parts_or_calls():
    keystream = Keystream()
    first = keystream.words(2 * _ENCIPHERED + 5).copy()
    both = np.concatenate([first, keystream.words(2 * _ENCIPHERED + 5)])
    assert np.unique(both).size == both.size  # false alarm: 2**29 pairs / 2**64 = 3e-11
