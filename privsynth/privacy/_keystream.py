"""An AES-256 keystream, and the uniforms and normals made from it.

Its operations run in place on blocks of `_BLOCK` pairs: short enough for the second-level cache, long enough
that numpy's price per call (0.5 microseconds, forty calls a block) does not show.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

FloatArray = npt.NDArray[np.float64]

_BLOCK = 12288  # pairs of normals made at once
_WORDS = 5 * _BLOCK  # 64-bit words of keystream at once: a pair takes 2 in double precision, 3 in single
_ENCIPHERED = 8192  # words enciphered by one call: the zeros stay in the cache too


class Keystream:
    """AES-256 in counter mode over zeros: uniform 64-bit words under a key that only this process has.

    AES rather than ChaCha20 for its 128-bit counter: ChaCha20's 32-bit one is spent after 256 GB, which
    fifty thousand steps of a large critic need. Speeds: `benchmarks/results/dp_step_time.md`.
    """

    def __init__(self) -> None:
        self._zeros = memoryview(bytes(8 * _ENCIPHERED))
        self._bytes = memoryview(bytearray(8 * _WORDS + 15))  # update_into wants 15 spare bytes
        self._words = np.frombuffer(self._bytes, dtype=np.int64, count=_WORDS)
        self._block = np.empty(2 * _BLOCK)
        self._single_cosines = np.empty(3 * _BLOCK, dtype=np.float32)
        self._rekey()

    def _rekey(self) -> None:
        cipher = Cipher(algorithms.AES(secrets.token_bytes(32)), modes.CTR(secrets.token_bytes(16)))
        self._encryptor = cipher.encryptor()
        self._process = os.getpid()

    def words(self, size: int) -> npt.NDArray[np.int64]:
        """`size` <= _WORDS uniform words, the caller's to overwrite, valid until the next call."""
        if os.getpid() != self._process:  # a forked child must not repeat its parent's noise
            self._rekey()
        for start in range(0, size, _ENCIPHERED):
            part = self._zeros[: 8 * min(_ENCIPHERED, size - start)]
            self._encryptor.update_into(part, self._bytes[8 * start :])
        return self._words[:size]

    def uniforms(self, size: int) -> FloatArray:
        """Uniforms inside (0, 1), never 0 or 1: midpoints of 2**52 cells."""
        out = np.empty(size)
        for start in range(0, size, _WORDS):
            part = out[start : start + _WORDS]
            np.add(self.words(part.size).view(np.uint64) >> np.uint64(12), 0.5, out=part)
        out *= 2.0**-52
        return out

    def normals(self, size: int, *, scale: float) -> Iterator[FloatArray]:
        """Yield `size` float64 normals of std `scale` in blocks, each valid until the next one.

        Each is the sum of four independent draws of std scale/2 (2107.10138). One draw is in double
        precision, which gives the sum its resolution; three are in single precision, which halves the
        cost. Who inverts a sum has to guess those three. `scale` has to be of float32's range, squared.
        """
        for start in range(0, size, 2 * _BLOCK):
            n_values = min(2 * _BLOCK, size - start)
            n_pairs = (n_values + 1) // 2
            sines, cosines = self._block[:n_pairs], self._block[n_pairs : 2 * n_pairs]
            words = self.words(5 * n_pairs)
            _double_pairs(words[: 2 * n_pairs], scale / 2, sines=sines, cosines=cosines)
            scratch = self._single_cosines[: 3 * n_pairs]
            _add_single_pairs(words[2 * n_pairs :], scale / 2, scratch, sines=sines, cosines=cosines)
            yield self._block[:n_values]


def _double_pairs(words: npt.NDArray[np.int64], scale: float, *, sines: FloatArray, cosines: FloatArray) -> None:
    """Write Box-Muller pairs of std `scale`: 64 bits for the radius, 64 for the angle; `words` are overwritten."""
    first, second = words[: sines.size], words[sines.size :]
    first |= 1  # odd: never 0, and the midpoint of a cell of width 2
    radius = _in_place(first, np.float64)
    radius *= 2.0**-63  # in [-1, 1]; its square is a uniform squared
    radius *= radius
    np.log(radius, out=radius)
    radius *= -(scale**2)
    np.sqrt(radius, out=radius)
    half_angle = _in_place(second, np.float64)
    half_angle *= math.pi * 2.0**-64
    _to_cartesian(radius, half_angle, sines=sines, cosines=cosines)


def _add_single_pairs(
    words: npt.NDArray[np.int64],
    scale: float,
    scratch: npt.NDArray[np.float32],
    *,
    sines: FloatArray,
    cosines: FloatArray,
) -> None:
    """Add three Box-Muller pairs of std `scale`: 32 bits for a radius, 32 for an angle; `words` are overwritten.

    The three are summed in single precision too: that rounds noise, before it meets a gradient.
    """
    first, second = words.view(np.uint32)[: scratch.size], words.view(np.int32)[scratch.size :]
    first |= 1
    radius = _in_place(first, np.float32)
    radius *= 2.0**-32  # in (0, 1]
    np.log(radius, out=radius)
    radius *= -2 * scale**2
    np.sqrt(radius, out=radius)
    half_angle = _in_place(second, np.float32)
    half_angle *= math.pi * 2.0**-32
    _to_cartesian(radius, half_angle, sines=half_angle, cosines=scratch)
    for total, three in ((sines, half_angle.reshape(3, -1)), (cosines, scratch.reshape(3, -1))):
        three[0] += three[1]
        three[0] += three[2]
        total += three[0]


def _in_place(integers: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    """The integers as floats of the same width, in the same memory."""
    floats = integers.view(dtype)
    np.copyto(floats, integers, casting="same_kind")
    return floats


def _to_cartesian(
    radius: npt.NDArray[Any], half_angle: npt.NDArray[Any], *, sines: npt.NDArray[Any], cosines: npt.NDArray[Any]
) -> None:
    """Write r*sin(a) and r*cos(a) for angles a/2; `half_angle` is overwritten and may be `sines`.

    With t = tan(a/2): r*sin(a) = 2rt/(1+t**2) and r*cos(a) = 2r/(1+t**2) - r. numpy's tan is vectorised in
    both precisions, its float64 sin and cos are not, and one tan is cheaper than a sin and a cos.
    """
    tangent = np.tan(half_angle, out=half_angle)
    np.multiply(tangent, tangent, out=cosines)
    cosines += 1.0
    np.divide(radius, cosines, out=cosines)
    cosines += cosines
    np.multiply(cosines, tangent, out=sines)
    cosines -= radius
