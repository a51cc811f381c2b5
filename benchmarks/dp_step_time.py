"""What a private critic step costs: ms per step, ours against an ordinary step and Opacus's own engines.

    python benchmarks/dp_step_time.py

All engines take turns in one process, so that a busy machine slows all of them; medians are reported.
Writes `benchmarks/results/dp_step_time.md`.
"""

import argparse
import os
import platform
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

from privsynth.nets.discriminator import Discriminator
from privsynth.privacy.noise import NoiseSource, SecureNoise
from privsynth.training.private import logistic_loss, private_adam, private_step

BATCH, N_FEATURES, SIGMA, CLIP = 512, 300, 1.0, 1.0
RESULT = Path(__file__).parent / "results" / "dp_step_time.md"


class Zeros(SecureNoise):
    """To see clipping without noise: zeros in place of the noise, at the same sigma."""

    def add_gaussian(self, values, *, scale):
        return np.array(values)


def make_net(hidden):
    return Discriminator(N_FEATURES, generator=torch.Generator().manual_seed(0), hidden=hidden)


def make_adam(module, *, fused=None):
    return torch.optim.Adam(module.parameters(), lr=1e-3, betas=(0.5, 0.9), fused=fused)


def plain_engine(fused):
    def build(hidden, real, fake):
        net = make_net(hidden)
        adam = make_adam(net, fused=fused)

        def step():
            adam.zero_grad()
            (logistic_loss(net(torch.cat([real, fake])), n_real=BATCH) / (2 * BATCH)).backward()
            adam.step()

        return step

    return build


def private_engine(noise: NoiseSource):
    def build(hidden, real, fake):
        net = make_net(hidden)
        optimizer = private_adam(net, noise=noise, noise_multiplier=SIGMA, max_grad_norm=CLIP, batch_size=BATCH)
        return lambda: private_step(net, optimizer, real=real, fake=fake)

    return build


def dp_options():
    return {"noise_multiplier": SIGMA, "max_grad_norm": CLIP, "expected_batch_size": 2 * BATCH}


def ghost_engine(hidden, real, fake):
    net = GradSampleModuleFastGradientClipping(make_net(hidden), max_grad_norm=CLIP, use_ghost_clipping=True)
    optimizer = DPOptimizerFastGradientClipping(make_adam(net), **dp_options())
    criterion = DPLossFastGradientClipping(net, optimizer, torch.nn.BCEWithLogitsLoss())
    rows = torch.cat([real, fake])
    labels = torch.cat([torch.ones(BATCH, 1), torch.zeros(BATCH, 1)])

    def step():
        optimizer.zero_grad()
        criterion(net(rows).unsqueeze(1), labels).backward()
        optimizer.step()

    return step


def hooks_engine(hidden, real, fake):
    net = GradSampleModule(make_net(hidden), loss_reduction="sum")
    optimizer = DPOptimizer(make_adam(net), **dp_options())
    rows = torch.cat([real, fake])

    def step():
        optimizer.zero_grad()
        logistic_loss(net(rows), n_real=BATCH).backward()
        optimizer.step()

    return step


PLAIN = "plain (no privacy; fused Adam, as ours)"
ENGINES = {  # name -> (builder, measured once in so many rounds)
    PLAIN: (plain_engine(True), 1),
    "plain, Adam not fused": (plain_engine(None), 1),
    "privsynth (clip + noise)": (private_engine(SecureNoise()), 1),
    "privsynth, noise left out": (private_engine(Zeros()), 1),
    "Opacus ghost clipping": (ghost_engine, 5),
    "Opacus hooks": (hooks_engine, 20),
}


def timed(step):
    start = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - start)


def measure(hidden, *, rounds):
    """Median ms per step of every engine, which take turns."""
    generator = torch.Generator().manual_seed(1)
    real, fake = (torch.randn(BATCH, N_FEATURES, generator=generator) for _ in range(2))
    steps = {name: build(hidden, real, fake) for name, (build, _) in ENGINES.items()}
    times = {name: [] for name in ENGINES}
    for step in steps.values():
        step()
    for turn in range(rounds):
        for name, (_, every) in ENGINES.items():
            if turn % every == 0:
                times[name].append(timed(steps[name]))
    return {name: statistics.median(values) for name, values in times.items()}


def noise_sources(n_draws):
    """Ways to make `n_draws` float64 values for gradients, each the sum of four normals halved."""

    def ziggurat(bits):
        rng = np.random.Generator(bits(np.random.SeedSequence(pool_size=8)))
        return lambda: rng.standard_normal((4, n_draws)).sum(axis=0) / 2

    def keystream(algorithm, mode):
        cipher = Cipher(algorithm, mode).encryptor()
        zeros, out = bytes(32 * n_draws), bytearray(32 * n_draws + 15)
        return lambda: cipher.update_into(zeros, out)

    source = SecureNoise()
    return {
        "AES-256-CTR + Box-Muller, grid (SecureNoise)": lambda: source.gaussian(n_draws, scale=1.0),
        "- of which the AES-256-CTR keystream": keystream(algorithms.AES(os.urandom(32)), modes.CTR(os.urandom(16))),
        "(a ChaCha20 keystream instead)": keystream(algorithms.ChaCha20(os.urandom(32), os.urandom(16)), None),
        "numpy SFC64, ziggurat": ziggurat(np.random.SFC64),
        "numpy PCG64DXSM, ziggurat": ziggurat(np.random.PCG64DXSM),
        "numpy Philox, ziggurat": ziggurat(np.random.Philox),
    }


def measure_noise(*, rounds):
    n_draws = sum(p.numel() for p in make_net((256, 256)).parameters())
    sources = noise_sources(n_draws)
    times = {name: [] for name in sources}
    for _ in range(rounds):
        for name, make in sources.items():
            times[name].append(timed(make))
    return n_draws, {name: statistics.median(values) for name, values in times.items()}


def render(step_times, noise_times, n_draws):
    lines = [
        "# What a private critic step costs",
        "",
        "Milliseconds per step, median, engines taking turns in one process; "
        f"{BATCH} real + {BATCH} fake rows, {N_FEATURES} features. Ratio to the "
        "first in brackets: a plain step with the same fused Adam; the bar is 1.5. `fit` uses one torch thread for "
        "tables of up to 1000 features, torch's default above. The noise is always drawn on one thread, so its "
        "share grows with torch's threads.",
        f"{os.cpu_count()} cores ({platform.machine()}), torch {torch.__version__}, load average "
        f"{os.getloadavg()[0]:.1f} when written. `python benchmarks/dp_step_time.py`",
        "",
        "| hidden | torch threads | " + " | ".join(ENGINES) + " |",
        "|---" * (2 + len(ENGINES)) + "|",
    ]
    for (hidden, threads), times in step_times.items():
        plain = times[PLAIN]
        cells = [f"{ms:.2f} ({ms / plain:.2f})" for ms in times.values()]
        lines.append(f"| {'-'.join(map(str, hidden))} | {threads} | " + " | ".join(cells) + " |")
    lines += ["", f"Noise alone, {n_draws:,} values, one thread:", "", "| source | ms |", "|---|---|"]
    lines += [f"| {name} | {ms:.2f} |" for name, ms in noise_times.items()]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
    step_times = {}
    for threads in options.threads:
        torch.set_num_threads(threads)
        for hidden in ((64, 32), (256, 256)):
            step_times[hidden, threads] = measure(hidden, rounds=options.rounds)
    n_draws, noise_times = measure_noise(rounds=15)
    text = render(step_times, noise_times, n_draws)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
