"""Exact conditions, and time and memory of a million rows: python benchmarks/sampling.py."""

from __future__ import annotations

from common import isolated, write_table


def main() -> None:
    rows = [isolated("measure_sampling", "adult", n_rows=n, threads=2) for n in (100_000, 1_000_000)]
    notes = [
        "Adult, nothing declared, epsilon 1; 2 threads; wall seconds of sample(); peak MB of the whole process.",
        "500 asked: rows returned by sample(500, conditions={'income': '>50K', 'age': (60, 75)}); satisfying: "
        "how many of these are as asked.",
    ]
    write_table("sampling", "Sampling", rows, notes)


if __name__ == "__main__":
    main()
