"""CTGAN: the conditional generator, fitted by a measured critic and a DP-SGD critic under one budget."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch

from privsynth import bundle
from privsynth._checks import check_choice, check_int, check_real, parameter_error
from privsynth._progress import ProgressBar
from privsynth._random import as_generator, torch_seed
from privsynth.nets.generator import Generator
from privsynth.privacy.budget import Budget
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.schema import Schema
from privsynth.synthesizers.releasing import Releasing, Rows
from privsynth.synthesizers.stored import read_generator
from privsynth.synthesizers.watching import monitor_of, warn_of
from privsynth.training.choice import choose_model
from privsynth.training.conditions import Pool
from privsynth.training.history import History
from privsynth.training.loop import LEARNING_RATE, Settings, Trainer, fix_class
from privsynth.training.measured import MeasuredCritic
from privsynth.training.mixture import Mixture
from privsynth.training.monitor import Monitor
from privsynth.training.plan import ROUNDING, Plan
from privsynth.training.refine import refine, release_partitions
from privsynth.training.releases import Releases
from privsynth.training.shares import CHOICE, TRAINING
from privsynth.training.tables import Tables
from privsynth.training.threads import few_threads
from privsynth.transforms.cells import IntArray
from privsynth.transforms.reshape import Reshape
from privsynth.transforms.simplex import project_to_simplex

_N_COMPONENTS = 1024
_GENTLE = 0.1  # of the rate, from weights that are good already (benchmarks/warm_start.py)


class CTGAN(Releasing):
    """Conditional tabular GAN with a differential-privacy guarantee for everything that leaves `fit`.

    A generator with mode-specific normalization (Xu et al. 2019) is fitted by a *measured critic*, low-order
    tables of the rows released once through the Gaussian mechanism, and, where budget and rows suffice, by a
    *neural critic* trained by DP-SGD (Abadi et al. 2016) through Opacus. Both share (`epsilon`, `delta`).

    Parameters
    ----------
    epsilon : float or None, default 1.0
        Total privacy budget, everything included. None switches privacy off, with a warning.
    delta : float, optional
        Total delta; 1e-5, or a share of the ledger's in proportion to `epsilon`.
    condition_columns : list of str, optional
        Columns you will condition on: what goes with them is measured more exactly. Any column can be
        conditioned on all the same.
    target : str, optional
        The column to be predicted from the others, such as a fraud label: every pair of columns is measured
        in each of its classes. Defaults to the first condition column.
    schema : Schema, mapping or path, optional
        What is public about the columns; the rest is discovered privately.
    critic : {"auto", "both", "measured", "neural"}, default "auto"
        "auto" is the measured critic alone, which beat both together at every size and epsilon that was measured
        (docs/method.md); "both" gives DP-SGD a share of the budget by its noise; "measured" and "neural" run one
        alone ("neural" is a classic DP-SGD GAN).
    steps : int, optional
        Most steps of the measured critic; it stops at the noise floor. By default 3000, or 1500 without privacy,
        where nothing else keeps it from learning the accidents of a small table.
    discriminator_steps : int, default 100
        DP-SGD steps of the neural critic.
    batch_size : int, default 512
        Expected Poisson batch of real rows in a DP-SGD step.
    embedding_dim : int, default 64
        Length of a latent.
    generator_dim, discriminator_dim : tuple of int, default (256, 256) and (64, 32)
        Widths of the hidden layers.
    max_grad_norm : float, default 1.0
        L2 bound on one row's gradient.
    device : str, default "auto"
        "cpu", "cuda", or "auto" for CUDA where there is one.
    verbose : bool, default True
        Progress bars, on terminals and in notebooks.
    random_state : None, int or numpy Generator
        Seeds weights and latents; never the privacy noise, so that two fits differ.

    Attributes
    ----------
    certificate_ : Certificate
        Every touch of the rows, its noise and the total (epsilon, delta).
    ledger_ : Ledger
        The budget that was spent from.
    schema_ : Schema
        All columns as they were taken.
    history_ : History
        Measured loss by step (1 is the noise floor), stages, and alarms.
    plan_ : Plan
        Which critics ran, and why.
    releases_ : Releases or None
        The noisy tables of pairs that were learned from; None without privacy.
    persons_ : Persons or None
        What was released of the persons, where the schema names a privacy unit.

    Examples
    --------
    >>> from privsynth.datasets import make_transactions
    >>> table = make_transactions(6000, fraud_rate=0.1, random_state=0)
    >>> model = CTGAN(epsilon=1.0, target="is_fraud", steps=20, random_state=0).fit(table)
    >>> table = model.sample(5, conditions={"is_fraud": True})
    >>> len(table), bool(table["is_fraud"].all()), round(model.certificate_.epsilon, 3)
    (5, True, 1.0)
    """

    def __init__(
        self,
        epsilon: float | None = 1.0,
        *,
        delta: float | None = None,
        condition_columns: list[str] | None = None,
        target: str | None = None,
        schema: Any = None,
        critic: str = "auto",
        steps: int | None = None,
        discriminator_steps: int = 100,
        batch_size: int = 512,
        embedding_dim: int = 64,
        generator_dim: tuple[int, ...] = (256, 256),
        discriminator_dim: tuple[int, ...] = (64, 32),
        max_grad_norm: float = 1.0,
        device: str = "auto",
        verbose: bool = True,
        random_state: Any = None,
    ) -> None:
        self.epsilon = epsilon
        self.delta = delta
        self.condition_columns = condition_columns
        self.target = target
        self.schema = schema
        self.critic = critic
        self.steps = steps
        self.discriminator_steps = discriminator_steps
        self.batch_size = batch_size
        self.embedding_dim = embedding_dim
        self.generator_dim = generator_dim
        self.discriminator_dim = discriminator_dim
        self.max_grad_norm = max_grad_norm
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def _check_parameters(self) -> None:
        if self.epsilon is not None:
            remedy = "Use 0.1 to 10, or epsilon=None for no privacy at all."
            check_real("CTGAN", "epsilon", self.epsilon, low=0, low_open=True, high=30, remedy=remedy)
        if self.delta is not None:
            remedy = "Use a value well below 1/rows, such as 1e-5."
            check_real("CTGAN", "delta", self.delta, low=0, low_open=True, high=1, high_open=True, remedy=remedy)
        check_choice("CTGAN", "critic", self.critic, ("auto", "both", "measured", "neural"))
        if self.steps is not None:
            check_int("CTGAN", "steps", self.steps, low=1)
        check_int("CTGAN", "discriminator_steps", self.discriminator_steps, low=1)
        check_int("CTGAN", "batch_size", self.batch_size, low=1)
        check_int("CTGAN", "embedding_dim", self.embedding_dim, low=1)
        for name in ("generator_dim", "discriminator_dim"):
            widths = getattr(self, name)
            if not isinstance(widths, (tuple, list)) or not widths:
                raise parameter_error("CTGAN", name, "a tuple of widths such as (256, 256)", widths)
            for width in widths:
                check_int("CTGAN", name, width, low=1)
        check_real("CTGAN", "max_grad_norm", self.max_grad_norm, low=0, low_open=True, high=1e6)
        if not isinstance(self.device, str) or self.device.split(":")[0] not in ("auto", "cpu", "cuda"):
            raise parameter_error("CTGAN", "device", "'auto', 'cpu' or 'cuda'", self.device)
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise parameter_error("CTGAN", "device", "'cpu' here: no CUDA device was found", self.device)
        as_generator(self.random_state, "CTGAN")

    def _check_columns(self, schema: Schema) -> None:
        """Refuse targets and condition columns that are not there, and DP-SGD on several rows of a person."""
        if schema.privacy_unit is not None and schema.max_rows_per_unit != 1 and self.critic in ("neural", "both"):
            raise parameter_error(
                "CTGAN", "critic", f"'auto' or 'measured' with the privacy unit {schema.privacy_unit!r}", self.critic,
                "DP-SGD samples rows, which protects no person with several; or learn from one row of each "
                "(max_rows_per_unit=1).",
            )  # fmt: skip
        self._roles.check(schema)

    def _learn(
        self, frame: pd.DataFrame, schema: Schema, undeclared: set[str], budget: Budget, mechanisms: Mechanisms
    ) -> dict[str, Any]:
        """Spend the budget: rows per person, row count, encoder, measured tables, partitions, DP-SGD, final choice."""
        rng = as_generator(self.random_state, "CTGAN")
        dtypes = {str(name): str(dtype) for name, dtype in frame.dtypes.items()}
        cells = None if self._start is None else self._start.encoder_
        tables, plan, codes = self._measure(frame, schema, undeclared, budget, mechanisms, settled=cells)
        learned = self._train(tables, plan, dtypes, rng, Rows(codes, mechanisms))
        if budget.is_private:
            mechanisms.settle_rounding(ROUNDING, epsilon=budget.epsilon or math.inf)
        return learned

    @contextlib.contextmanager
    def _training(
        self, tables: Tables, plan: Plan, dtypes: Mapping[str, str], rng: np.random.Generator
    ) -> Iterator[tuple[Trainer, Monitor]]:
        """Set up what fits a generator to releases, with the progress bar around it."""
        encoder, n_rows = tables.encoder, tables.n_rows
        device = torch.device(self._device())
        critic = MeasuredCritic(
            tables.measurements, encoder.layout, n_rows=n_rows, device=device, seed=int(rng.integers(2**31))
        )
        seeds = torch.Generator().manual_seed(torch_seed(rng))
        generator = Generator(
            [span.size for span in encoder.layout.spans],
            n_classes=len(critic.class_shares),
            embedding_dim=self.embedding_dim,
            hidden=tuple(self.generator_dim),
            generator=seeds,
        )
        if self._start is None:
            marginals = [project_to_simplex(encoder.one_way.values[s.slice]) for s in encoder.layout.spans]
            generator.start_from(torch.as_tensor(np.concatenate(marginals), dtype=torch.float32))
            pool = Pool.draw(
                critic.class_shares, n_components=_N_COMPONENTS, embedding_dim=self.embedding_dim, generator=seeds
            )
        else:
            generator.load_state_dict(self._start.generator_.state_dict())
            pool = Pool(self._start.pool_.latents, self._start.pool_.classes, critic.class_shares)
        with ProgressBar(self.verbose, left="left at most") as progress, few_threads(encoder.layout.width):
            monitor = monitor_of(progress, self._callbacks, encoder, Reshape(tables.schema), dtypes)
            trainer = Trainer(
                generator.to(device),
                pool.to(device),
                encoder.layout,
                critic=critic,
                settings=self._settings(plan, n_rows),
                seed=torch_seed(rng),
                progress=monitor.on_step,
                on_checkpoint=lambda stage, done: monitor.on_checkpoint(stage, done, trainer.mixture),
            )
            yield trainer, monitor

    def _train(
        self,
        tables: Tables,
        plan: Plan,
        dtypes: Mapping[str, str],
        rng: np.random.Generator,
        rows: Rows | None,
    ) -> dict[str, Any]:
        """Fit a generator to releases; with `rows`, release what was set aside for later on the way."""
        with self._training(tables, plan, dtypes, rng) as (trainer, monitor):
            if plan.measured:
                trainer.fit_measured()
                partitions = tables.partitions
                if rows is not None and not monitor.stopped:
                    partitions = release_partitions(trainer, rows.codes, plan, rows.mechanisms, rng)
                if partitions is not None and not monitor.stopped:
                    refine(trainer, partitions)
            if plan.neural and rows is not None and not monitor.stopped:
                self._train_neural(trainer, rows.codes, plan, rows.mechanisms, rng)
        warn_of(trainer, tables)
        layout, noisy = tables.encoder.layout, tables.encoder.one_way.scale > 0
        return {
            "schema_": tables.schema, "persons_": tables.persons, "encoder_": tables.encoder, "plan_": plan,
            "history_": trainer.history, "generator_": trainer.generator.cpu(),
            "pool_": trainer.pool.to(torch.device("cpu")), "_split": tables.measurements.split,
            "releases_": Releases.of(tables.measurements, layout) if noisy else None,
        }  # fmt: skip

    def _train_neural(
        self, trainer: Trainer, codes: IntArray, plan: Plan, mechanisms: Mechanisms, rng: np.random.Generator
    ) -> None:
        """Run DP-SGD and keep the privately chosen generator."""
        before = {name: value.clone() for name, value in trainer.generator.state_dict().items()}
        event = mechanisms.train(TRAINING, clip_norm=self.max_grad_norm)
        checkpoints = trainer.fit_neural(
            codes, event, mechanisms.noise, private=mechanisms.private, measured=plan.measured
        )
        if not mechanisms.allows(CHOICE):
            return
        samples = []
        for weights in (before, *checkpoints):
            trainer.generator.load_state_dict(weights)
            samples.append(trainer.mixture().draw(min(50_000, max(5_000, plan.n_rows)), rng))
        best = choose_model(
            codes, samples, trainer.layout, n_rows=plan.n_rows, mechanisms=mechanisms, label=CHOICE, rng=rng
        )
        trainer.generator.load_state_dict((before, *checkpoints)[best])

    def _settings(self, plan: Plan, n_rows: int) -> Settings:
        return Settings(
            learning_rate=LEARNING_RATE if self._start is None else _GENTLE * LEARNING_RATE,
            steps=self.steps,
            batch_size=max(1, round(plan.sampling_rate * n_rows)),
            max_grad_norm=self.max_grad_norm,
            discriminator_dim=tuple(self.discriminator_dim),
        )

    def _device(self) -> str:
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    def _mixture_of(self) -> Mixture:
        layout = self.encoder_.layout
        with torch.no_grad():
            raw = self.generator_(self.pool_.latents, self.pool_.classes)
            fixed = fix_class(raw, self.pool_.classes, layout, self._split)
        return Mixture(self.pool_.weights, fixed.numpy().astype(np.float64), layout)

    def _model_to_dict(self) -> tuple[dict[str, Any], bundle.Arrays]:
        tensors = {f"generator.{name}": value.numpy() for name, value in self.generator_.state_dict().items()}
        history = self.history_.to_dict()
        releases, counts = (None, {}) if self.releases_ is None else self.releases_.to_parts()
        tensors |= counts
        tensors["latents"] = self.pool_.latents.numpy()
        tensors["classes"] = self.pool_.classes.numpy()
        model = {
            "split": self._split,
            "shares": self.pool_.shares.tolist(),
            "plan": {
                k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in asdict(self.plan_).items()
            },
            "releases": releases,
            "history": {name: history[name] for name in ("measured_loss", "fake_accuracy")},
            "training": {name: history[name] for name in ("stages", "alarms")},
        }
        return model, tensors

    def _model_from_dict(self, data: dict[str, Any], tensors: bundle.Arrays) -> None:
        layout = self.encoder_.layout
        self._split = data["split"]
        shares = np.asarray(data["shares"], dtype=np.float64)
        if self._split is not None and not 0 <= self._split < len(layout.spans):
            raise ValueError("the splitting column does not exist")
        if len(shares) != (1 if self._split is None else layout.spans[self._split].size) or (shares < 0).any():
            raise ValueError("shares of classes do not fit the layout")
        self.plan_ = Plan(**data["plan"])
        self.history_ = History.from_dict({**data["history"], **data.get("training", {})})
        self.releases_ = Releases.from_parts(data.get("releases"), tensors, layout, self._split, self.certificate_)
        self.generator_, self.pool_ = read_generator(
            tensors, layout, shares, embedding_dim=self.embedding_dim, hidden=tuple(self.generator_dim)
        )
