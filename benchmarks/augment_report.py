"""Tables and plots of augment.py's lines: python benchmarks/augment_report.py writes results/augment.md and two plots.

A difference is paired by seed and draw, averaged over the draws of a seed, and its interval is Student's t at 95 %
over the seeds. Where the rows of the seeds are splits of
one table, its variance is that of Nadeau and Bengio (2003): 1/seeds + test rows / training rows, for 1/seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from augment import COSTS, STORE
from augment_arms import CLASSIFIERS
from augment_tables import LABELS
from common import RESULTS, records, write_table
from scipy import stats

PLAIN = "no resampling"
RIVALS = ("class weights", "SMOTE", "SMOTE, twice the cases", "SMOTENC", "SMOTENC, twice the cases")
OURS = ("privsynth, ε 1", "privsynth, ε 3", "privsynth, ε 10", "privsynth, no privacy")
BOTH = "all rows of both teams"
SIMPLE = (PLAIN, "random oversampling", *RIVALS)
Frame = pd.DataFrame


def load() -> Frame:
    """Return a row a trained classifier; ways without a generator are shown in both regimes."""
    lines = records(STORE)
    frame = pd.DataFrame(lines)
    frame["draw"] = frame["draw"].fillna(0) if "draw" in frame else 0
    own = frame[frame["regime"] == "own"]
    sizes = own[["table", "positives", "seed", "draw"]].drop_duplicates()
    shared = frame[frame["arm"].isin(SIMPLE)].merge(sizes).assign(regime="own")
    every = pd.concat([frame, shared], ignore_index=True)
    every["table"] = pd.Categorical(every["table"], categories=list(LABELS))
    every["regime"] = pd.Categorical(every["regime"], categories=["lent", "own"])
    return every.sort_values(["regime", "table", "positives"], kind="stable").astype({"table": str, "regime": str})


def interval(differences: np.ndarray, share: float) -> tuple[float, float]:
    """Return the mean and the half width of its interval; infinite for a single seed."""
    n = len(differences)
    if n < 2:
        return float(np.mean(differences)), float("inf")
    spread = np.std(differences, ddof=1) * np.sqrt(1 / n + share)
    return float(np.mean(differences)), float(stats.t.ppf(0.975, n - 1) * spread)


def compare(cell: Frame, arm: str, other: str, measure: str = "ap") -> tuple[float, float]:
    """Return by how much an arm is ahead of another over the seeds that both have."""
    wide = cell.pivot_table(index=["seed", "draw"], columns="arm", values=measure)[[arm, other]].dropna()
    of_seeds = (wide[arm] - wide[other]).groupby("seed").mean()  # draws of one seed share generator and test rows
    return interval(of_seeds.to_numpy(), float(cell["share"].max()))


def best_rival(cell: Frame) -> str:
    """Return the best of class weights and SMOTE by its mean over the seeds, chosen after the fact in their favour."""
    return str(cell[cell["arm"].isin(RIVALS)].groupby("arm")["ap"].mean().idxmax())


def cells(frame: Frame) -> dict[tuple[str, str, int, str], Frame]:
    """Return the rows of each table, regime, number of cases and classifier; "best" is each arm's better one."""
    found = {}
    for (regime, table, positives), group in frame.groupby(["regime", "table", "positives"], sort=False):
        means = group.groupby(["arm", "classifier"])["ap"].mean().unstack()
        better = means.dropna(how="all").idxmax(axis=1)
        for name in CLASSIFIERS:
            found[regime, table, int(positives), name] = group[group["classifier"] == name]
        chosen = group["classifier"] == group["arm"].map(better).fillna(CLASSIFIERS[0])
        found[regime, table, int(positives), "best"] = group[chosen]
    return found


def signed(found: tuple[float, float]) -> str:
    mean, half = found
    return f"{mean:+.3f}" if np.isinf(half) else f"{mean:+.3f} ± {half:.3f}"


def arm_rows(cell: Frame) -> list[dict[str, Any]]:
    """Return a row an arm: means, and the differences to no resampling and to the best of class weights and SMOTE."""
    rival, rows = best_rival(cell), []
    for arm, lines in cell.groupby("arm", sort=False):
        row: dict[str, Any] = {"way to train": f"*{arm}*" if arm == rival else arm, "runs": len(lines)}
        if lines["ap"].isna().all():
            rows.append({**row, "average precision": str(lines["failed"].iloc[0])[:60]})
            continue
        row |= {"cases": f"{lines['cases'].mean():.0f}", "average precision": f"{lines['ap'].mean():.3f}"}
        row["to no resampling"] = "" if arm == PLAIN else signed(compare(cell, arm, PLAIN))
        row["to the best of class weights and SMOTE"] = "" if arm == rival else signed(compare(cell, arm, rival))
        row["recall at 1 % false positives"] = f"{lines['recall'].mean():.3f}"
        rows.append(row)
    return rows


def summary(every: dict[tuple[str, str, int, str], Frame], name: str) -> list[dict[str, Any]]:
    """Return a row a table and number of cases: average precision of the main ways, with one classifier."""
    rows = []
    ran = [arm for arm in OURS if any(arm in set(cell["arm"]) for cell in every.values())]
    for (regime, table, positives, classifier), cell in every.items():
        if classifier != name:
            continue
        means, rival = cell.groupby("arm")["ap"].mean(), best_rival(cell)
        row: dict[str, Any] = {"generator of": "another team" if regime == "lent" else "the same rows"}
        row |= {"table": table, "cases": positives, PLAIN: f"{means[PLAIN]:.3f}"}
        row["best of class weights and SMOTE"] = f"{means[rival]:.3f}"
        for arm in ran:
            row[arm] = f"{means[arm]:.3f}, {signed(compare(cell, arm, rival))}" if arm in means else ""
        row[BOTH] = f"{means[BOTH]:.3f}" if BOTH in means else ""
        rows.append(row)
    return rows


def losses(every: dict[tuple[str, str, int, str], Frame]) -> list[dict[str, Any]]:
    """Return where the default is more than 1 % of average precision behind the best of class weights and SMOTE."""
    rows = []
    for (regime, table, positives, classifier), cell in every.items():
        if classifier == "best":
            continue
        rival = best_rival(cell)
        means = cell.groupby("arm")["ap"].mean()
        for arm in OURS:
            if arm not in means:
                continue
            behind = {other: compare(cell, arm, other) for other in (PLAIN, rival)}
            shares = {other: mean / means[other] for other, (mean, _) in behind.items()}
            if min(shares.values()) >= -0.01:
                continue
            rows.append(
                {
                    "generator of": "another team" if regime == "lent" else "the same rows",
                    "table": table,
                    "cases": positives,
                    "classifier": classifier,
                    "generator": arm,
                    "to no resampling": f"{signed(behind[PLAIN])} ({shares[PLAIN]:+.0%})",
                    "to the best of class weights and SMOTE": f"{signed(behind[rival])} ({shares[rival]:+.0%})",
                    "that best": rival,
                }
            )
    return rows


def plot_precision(every: dict[tuple[str, str, int, str], Frame]) -> None:
    """Write results/augment.svg: what each way gains over no resampling, with intervals, generators of another team."""
    pyplot = _pyplot()
    kept = [key for key in every if key[0] == "lent" and key[3] == "best"]
    figure, panels = pyplot.subplots(2, 4, figsize=(11, 5), sharey=True)
    panels.flat[-1].set_axis_off()
    for axes, key in zip(panels.flat, kept, strict=False):
        cell = every[key]
        ran = [arm for arm in OURS if arm in set(cell["arm"])]
        names = ["best of class weights, SMOTE", *ran, BOTH]
        arms = [best_rival(cell), *ran, BOTH]
        for place, arm in enumerate(arms):
            if arm not in set(cell["arm"]):
                continue
            mean, half = compare(cell, arm, PLAIN)
            colour = "#4477aa" if arm in OURS else "#888888"
            axes.errorbar(mean, -place, xerr=0 if np.isinf(half) else half, fmt="o", color=colour, capsize=3)
        axes.axvline(0, color="#cc3311", linewidth=1)
        axes.set_yticks([-place for place in range(len(arms))], names, fontsize=7)
        axes.set_title(f"{key[1]}, {key[2]} cases", fontsize=8)
        axes.tick_params(axis="x", labelsize=7)
    figure.supxlabel("average precision above no resampling, the better classifier of each; 95 % intervals", fontsize=8)
    _save(figure, "augment")


def plot_costs(frame: Frame) -> None:
    """Write results/augment_cost.svg: expected cost against the ratio of costs, no resampling = 1."""
    pyplot = _pyplot()
    lent = frame[(frame["regime"] == "lent") & (frame["classifier"] == CLASSIFIERS[0])].dropna(subset=["ap"])
    kept = list(lent.groupby(["table", "positives"], sort=False).groups)
    figure, panels = pyplot.subplots(2, 4, figsize=(11, 5), sharey=True)
    panels.flat[-1].set_axis_off()
    for axes, key in zip(panels.flat, kept, strict=False):
        cell = lent[(lent["table"] == key[0]) & (lent["positives"] == key[1])]
        base = _costs(cell, PLAIN)
        for arm, style in (
            ("class weights", "--"),
            ("SMOTE, twice the cases", ":"),
            ("privsynth, ε 1", "-"),
            ("privsynth, ε 3", "-"),
            (BOTH, "-."),
        ):
            if arm in set(cell["arm"]):
                axes.plot(COSTS, _costs(cell, arm) / base, style, label=arm)
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_title(f"{key[0]}, {key[1]} cases", fontsize=8)
        axes.tick_params(labelsize=7)
    panels.flat[-1].legend(*panels.flat[0].get_legend_handles_labels(), fontsize=8, loc="center")
    figure.supylabel("expected cost, no resampling = 1", fontsize=8)
    figure.supxlabel("cost of a missed case, in false alarms (boosting, best threshold for each)", fontsize=8)
    _save(figure, "augment_cost")


def _costs(cell: Frame, arm: str) -> np.ndarray:
    return np.mean(np.stack(cell.loc[cell["arm"] == arm, "costs"].to_list()), axis=0)


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "privsynth"
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, name: str) -> None:
    figure.tight_layout()
    figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None})


def main() -> None:
    frame = load()
    every = cells(frame)
    notes = [
        "Average precision on real test rows, of the better of two classifiers for each way to train; of privsynth "
        "also the difference to the best of class weights and SMOTE. Intervals at 95 % over paired seeds.",
        "Transactions: simulated, 1 % fraud, drift .5, trained on January and February, tested on 50,000 rows of "
        "March; the other team has 150,000 rows. Cardio: positives thinned to 10 %, the other team has some 24,000 "
        "rows. Stroke: the other team has 2,812 rows, 137 of them cases, and 62 cases are tested on.",
        "privsynth is its sampler with default settings: up to 200 synthetic cases beside the real ones.",
        "*All rows of both teams* is what nobody may do: the bound.",
    ]
    more = {"Where the default loses more than 1 %": losses(every)}
    for (regime, table, positives, classifier), cell in every.items():
        if classifier != "best":
            of = "another team" if regime == "lent" else "the same rows"
            more[f"{table}, {positives} cases, generator of {of}: {classifier}"] = arm_rows(cell)
    write_table("augment", "Adding synthetic cases to few labelled ones", summary(every, "best"), notes, more=more)
    plot_precision(every)
    plot_costs(frame)


if __name__ == "__main__":
    main()
