"""Uniform and normal draws from an AES-256 keystream that only this process has the key of.

AES rather than ChaCha20 for its 128-bit counter: ChaCha20's 32-bit one is spent after 256 GB, which fifty
thousand steps of a large critic need. Speeds: `benchmarks/results/dp_step_time.md`.

Normals are sums of four independent Box-Muller draws, halved (Holohan & Braghin, 2107.10138). With x uniform in
[-1, 1], r = sqrt(-log(x**2)) is the radius; with t = tan(a/2) for an angle a uniform in [-pi, pi],

    r*sin(a) = 2rt/(1 + t**2)        r*cos(a) = 2r/(1 + t**2) - r

which costs one vectorised function of numpy's in place of two.
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

_PAIRS = 12288  # pairs of normals made at once: enough that calls of numpy cost little
_WORDS = 5 * _PAIRS  # 64-bit words of keystream for them: two a pair in double, three in single precision
_TINY = {4: 2.0**-64, 8: 2.0**-128}  # by bytes, below all other squares: in place of log(0)


class Keystream:
    """AES-256 in counter mode over zeros: uniform 64-bit words under a key of the operating system's.

    A forked child draws a key of its own; whoever copies one must make a new one (`SecureNoise` does).
    """

    def __init__(self) -> None:
        self._zeros = memoryview(bytes(8 * _WORDS))
        self._buffer = bytearray(8 * _WORDS + 15)  # update_into wants 15 spare bytes
        self._words = np.frombuffer(self._buffer, dtype=np.uint64, count=_WORDS)
        self._block = np.empty(2 * _PAIRS)
        self._radius = np.empty(_PAIRS)
        self._single = np.empty((3, 3 * _PAIRS), dtype=np.float32)
        self._sum = np.empty(_PAIRS, dtype=np.float32)
        self._rekey()

    def _rekey(self) -> None:
        cipher = Cipher(algorithms.AES(secrets.token_bytes(32)), modes.CTR(secrets.token_bytes(16)))
        self._encryptor = cipher.encryptor()
        self._process = os.getpid()

    def words(self, size: int) -> npt.NDArray[np.uint64]:
        """`size` <= _WORDS uniform words, valid until the next call."""
        if os.getpid() != self._process:  # a forked child must not repeat its parent's noise
            self._rekey()
        self._encryptor.update_into(self._zeros[: 8 * size], self._buffer)
        return self._words[:size]

    def uniforms(self, size: int) -> FloatArray:
        """Uniforms inside (0, 1), never 0 or 1: midpoints of 2**52 cells."""
        out = np.empty(size)
        for start in range(0, size, _WORDS):
            part = out[start : start + _WORDS]
            np.add(self.words(part.size) >> np.uint64(12), 0.5, out=part)
        out *= 2.0**-52
        return out

    def normals(self, size: int, *, scale: float = 1.0) -> Iterator[FloatArray]:
        """Yield `size` float64 normals of std `scale` in blocks, each valid until the next one.

        Of the four draws in each, one is in double precision, which gives the sum its resolution; three are in
        single precision, which halves the cost. Who inverts a sum has to guess those three.
        """
        for start in range(0, size, 2 * _PAIRS):
            n_values = min(2 * _PAIRS, size - start)
            n_pairs = (n_values + 1) // 2
            words = self.words(5 * n_pairs)
            sines, cosines = self._block[:n_pairs], self._block[n_pairs : 2 * n_pairs]
            self._write_doubles(sines, cosines, words[: 2 * n_pairs], scale=scale / 2)
            self._add_singles(sines, cosines, words[2 * n_pairs :], scale=scale / 2)
            yield self._block[:n_values]

    def _write_doubles(self, sines: FloatArray, cosines: FloatArray, words: Any, *, scale: float) -> None:
        """Write pairs of normals of std `scale` from two 64-bit words each."""
        size = sines.size
        radius = self._radius[:size]
        signed = words.view(np.int64)
        np.multiply(signed[:size], 2.0**-63, out=radius)
        _to_radius(radius, scale)
        np.multiply(signed[size:], math.pi * 2.0**-64, out=sines)
        _to_pairs(radius, sines, cosines)

    def _add_singles(self, sines: FloatArray, cosines: FloatArray, words: Any, *, scale: float) -> None:
        """Add three pairs of normals of std `scale` from two 32-bit words each."""
        size = 3 * sines.size
        radius, tangent, cosine = self._single[:, :size]
        signed = words.view(np.int32)
        np.copyto(radius, signed[:size], casting="same_kind")
        radius *= np.float32(2.0**-31)
        _to_radius(radius, scale)
        np.copyto(tangent, signed[size:], casting="same_kind")
        tangent *= np.float32(math.pi * 2.0**-32)
        _to_pairs(radius, tangent, cosine)
        for parts, total in ((tangent, sines), (cosine, cosines)):
            first, second, third = parts.reshape(3, -1)
            both = np.add(first, second, out=self._sum[: sines.size])
            both += third
            total += both


def _to_radius(x: npt.NDArray[Any], scale: float) -> None:
    """Turn uniforms in [-1, 1] into the radius of a pair of normals of std `scale`, in place."""
    np.multiply(x, x, out=x)
    x += x.dtype.type(_TINY[x.itemsize])
    np.log(x, out=x)
    x *= x.dtype.type(-scale * scale)
    np.sqrt(x, out=x)


def _to_pairs(radius: npt.NDArray[Any], tangent: npt.NDArray[Any], cosine: npt.NDArray[Any]) -> None:
    """Turn radii and tangents of half the angles into sines (in `tangent`) and cosines."""
    np.tan(tangent, out=tangent)
    np.multiply(tangent, tangent, out=cosine)
    cosine += 1
    np.divide(radius, cosine, out=cosine)
    cosine += cosine
    tangent *= cosine
    cosine -= radius
