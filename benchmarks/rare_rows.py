"""What the rarer class's synthetic rows teach, and what the other rows: python benchmarks/rare_rows.py.

A table's TSTR may come from rows of the rarer class that resemble the real ones, from the others, or from neither.
Of each fit (as peers.py makes them, and keeps them in --work) the rows of the rarer class are changed before gradient
boosting learns from the table:

* real: the training rows of that class take their place, so that the score is what the other rows allow;
* shuffled: each of their columns is shuffled among them, so that columns are kept and relations are not;
* unknowing: each of their columns is drawn from that column of the whole synthetic table, so that nothing is known.

No private table could be made so: this reads real rows. Lines of results/rare_rows.jsonl are not run again.
"""

from __future__ import annotations

import argparse
import functools
import warnings

import numpy as np
import pandas as pd
from common import RESULTS, keep_once, records, write_table
from peers import DELTA, EPSILONS, GIGABYTES, PRIVATE, TARGETS, add_places, fit, table

STORE = RESULTS / "rare_rows.jsonl"
TABLES = ["transactions 10k", "stroke"]
SYNTHESIZERS = ["privsynth", "dpmm MST", "dpmm PrivBayes", "SmartNoise MST"]
CHANGES = ["as it is", "real", "shuffled", "unknowing"]
DRAWS = 3  # of what is random, of which the mean is kept


def change(synthetic: pd.DataFrame, train: pd.DataFrame, target: str, how: str, draw: int) -> pd.DataFrame:
    """Return the synthetic table with other rows of the rarer class."""
    rare = train[target].value_counts().idxmin()
    mine = (synthetic[target].astype(str) == str(rare)).to_numpy()
    if how == "real":
        real = train[train[target] == rare]
        if mine.any():  # a peer may write the class in another type
            real = real.assign(**{target: synthetic.loc[mine, target].iloc[0]})
        return pd.concat([synthetic[~mine], real], ignore_index=True)
    chooser, changed = np.random.default_rng(draw), synthetic.copy()
    for name in changed.columns.drop(target) if how != "as it is" else ():
        own = synthetic[name][mine]
        source = own.sample(frac=1, random_state=chooser) if how == "shuffled" else None
        other = synthetic[name].sample(len(own), replace=True, random_state=chooser) if source is None else source
        rest = synthetic[name][~mine]
        changed[name] = pd.concat([rest, pd.Series(other.array, index=own.index)]).reindex(changed.index)
    return changed


def score(train: pd.DataFrame, test: pd.DataFrame, synthetic: pd.DataFrame, target: str, how: str) -> float:
    """Return the TSTR of gradient boosting on the changed table."""
    from privsynth.evaluation import train_synthetic_test_real

    found = []
    for draw in range(DRAWS if how in ("shuffled", "unknowing") else 1):
        changed = change(synthetic, train, target, how, draw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.append(train_synthetic_test_real(train, changed, target=target, holdout=test).scores[0].value)
    return float(np.mean(found))


def run(name: str, where: str, epsilon: str, seed: int, options: argparse.Namespace) -> dict[str, float | str]:
    """Fit, unless the rows are there, and score the table as it is and changed."""
    path, train, test = table(where, options.work)
    out = options.work / f"{name}.{where}.{epsilon.replace('.', '_')}.{seed}.parquet".replace(" ", "_")
    job = {
        "name": name, "train": str(path), "out": str(out), "target": TARGETS[where], "delta": DELTA, "seed": seed,
        "limit": options.limit, "epsilon": float(epsilon), "gigabytes": GIGABYTES,
        "python": str(options.peers / "dpmm" / "bin" / "python"),
    }  # fmt: skip
    found = {} if out.exists() else fit(name, job, options)
    if "error" in found:
        return {"error": found["error"]}
    synthetic = pd.read_parquet(out)[list(train)]
    return {how: score(train, test, synthetic, TARGETS[where], how) for how in CHANGES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES[:1])
    parser.add_argument("--epsilons", nargs="+", choices=EPSILONS[:-1], default=["0.3", "1"])
    parser.add_argument("--only", nargs="+", choices=[*PRIVATE], default=SYNTHESIZERS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add_places(parser, "privsynth-peers")
    parser.add_argument("--write", action="store_true", help="run nothing, write the table")
    options = parser.parse_args()
    options.work.mkdir(exist_ok=True)
    for where in options.tables if not options.write else ():
        for epsilon in options.epsilons:
            for name in options.only:
                for seed in options.seeds:
                    key = {"table": where, "epsilon": epsilon, "synthesizer": name, "seed": seed}
                    keep_once(STORE, key, functools.partial(run, name, where, epsilon, seed, options))
    report()


def report() -> None:
    """Write medians over seeds, and from where to where they are."""
    rows, lines = records(STORE), []
    groups = {(row["table"], row["epsilon"], row["synthesizer"]): None for row in rows if "error" not in row}
    order = sorted(groups, key=lambda g: (TABLES.index(g[0]), EPSILONS.index(g[1]), list(PRIVATE).index(g[2])))
    for where, epsilon, name in order:
        asked = {"table": where, "epsilon": epsilon, "synthesizer": name}
        runs = [row for row in rows if all(row[k] == v for k, v in asked.items()) and "error" not in row]
        line: dict[str, str] = {**asked, "fits": str(len(runs))}
        for how in CHANGES:
            values = [row[how] for row in runs]
            line[how] = f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
        lines.append(line)
    write_table(
        "rare_rows", "What the rarer class's synthetic rows teach", lines,
        ["TSTR of gradient boosting, medians over seeds, and from where to where they are. As it is: the synthetic "
         "table. Else its rows of the rarer class are changed. Real: they are the real training rows, so this is what "
         "the other rows allow. Shuffled: each of their columns shuffled among them. Unknowing: their columns drawn "
         "from those of the whole synthetic table, each on its own.",
         "The rows with real ones among them are not private."],
    )  # fmt: skip


if __name__ == "__main__":
    main()
