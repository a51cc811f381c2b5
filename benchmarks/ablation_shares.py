"""Other shares of the budget: python benchmarks/ablation_shares.py [--seeds 4] [--tables ...] [--choices ...].

Whole fits, nothing declared. One share is halved or doubled, all others keep their proportions. The fits of a seed draw
the same noise, in units of its scale, so these fits are measurements and nothing that could be published. Rows
in results/ablation_shares.jsonl are kept.
"""

from __future__ import annotations

import warnings

from ablation_weights import seed_noise
from common import RESULTS, records, run_once, wanted_fits, write_table
from paired import paired_lines
from tables import cases

from privsynth.training import plan

WHOLE = "columns by class 20"
LOOKS = (plan.LEVELS, plan.RARER)
CHOICES: dict[str, dict[str, float]] = {  # what each share is multiplied by; columns by class by 2 if nothing is said
    WHOLE: {},
    "levels twice": dict.fromkeys(LOOKS, 2.0),
    "levels half": dict.fromkeys(LOOKS, 0.5),
    "atoms half": {plan.VALUES: 0.5},
    "leaves twice": dict.fromkeys(plan.ROUNDS, 2.0),
    "leaves half": dict.fromkeys(plan.ROUNDS, 0.5),
    "1-way counts half": {plan.ONE_WAY: 0.5},
    "columns by class 40": {plan.CLASS_COLUMNS: 4.0},
    "columns by class 10 (default)": {plan.CLASS_COLUMNS: 1.0},
    "partitions twice": {plan.PARTITIONS: 2.0},
    "partitions half": {plan.PARTITIONS: 0.5},
}
CASES = [
    ("adult", 1.0), ("stroke", 1.0), ("transactions 10k", 1.0), ("adult", 0.3), ("stroke", 0.3), ("stroke", 3.0),
    ("transactions 10k", 0.3), ("transactions 10k", 3.0), ("cardio", 1.0), ("adult", 10.0), ("transactions 100k", 1.0),
]  # fmt: skip
STORE = RESULTS / "ablation_shares.jsonl"
MEASURES = ("TVD1", "TVD2", "TSTR", "AP")


def measure_shares(name: str, *, epsilon: float, seed: int, factors: dict[str, float]) -> dict[str, float]:
    """Fit and score once, with noise of a public seed; in a process of its own, so the patches end with it."""
    import torch

    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd, train_synthetic_test_real

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    seed_noise(seed)
    usual = plan.shares_of

    def others(request: plan.Request, training: float, *, signal: float) -> dict[str, float]:
        found = usual(request, training, signal=signal)
        return {label: share * ({plan.CLASS_COLUMNS: 2.0} | factors).get(label, 1.0) for label, share in found.items()}

    plan.shares_of = others
    train, test, target = cases(name)
    model = CTGAN(epsilon, target=target, verbose=False, random_state=seed).fit(train)
    synthetic = model.sample(len(train), random_state=1)
    scores = train_synthetic_test_real(train, synthetic, target=target, holdout=test).scores
    return {
        "TVD1": marginal_tvd(train, synthetic).mean,
        "TVD2": marginal_tvd(train, synthetic, order=2).mean,
        "TSTR": scores[0].value,
        "AP": next(score.value for score in scores if score.name == "Average precision"),
    }


def main() -> None:
    for seed, name, epsilon, label in wanted_fits(__doc__, CASES, CHOICES, seeds=4):
        key = {"table": name, "epsilon": epsilon, "choice": label, "seed": seed}
        settings = {"epsilon": epsilon, "seed": seed, "factors": CHOICES[label]}
        run_once(STORE, key, "measure_shares", name, module="ablation_shares", **settings)
    report()


def report() -> None:
    """Write means, and differences from those of the first choice at the same seed."""
    lines = paired_lines(records(STORE), CASES, CHOICES, first=WHOLE, measures=MEASURES)
    write_table(
        "ablation_shares", "Other shares of the budget", lines,
        ["Whole fits, nothing declared: means of the first, and of the others mean differences from it at the same "
         "seed, with their standard errors. All have the same total epsilon.",
         "TSTR is ROC AUC of gradient boosting on real rows, AP its average precision."],
    )  # fmt: skip


if __name__ == "__main__":
    main()
