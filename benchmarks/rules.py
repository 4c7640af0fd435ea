"""Time and memory of a run by rule, from the benchmarks that Snakemake kept.

python benchmarks/rules.py [--results results] [--least SECONDS]
"""

import argparse
from pathlib import Path

import pandas as pd
from coherence import as_markdown


def by_rule(folder: Path) -> pd.DataFrame:
    """One row a rule, in the order in which rules last finished a job.

    Args:
        folder: `results/benchmarks`: a table a job, alone or in a folder of its rule.

    Returns:
        Columns rule, jobs, median and largest seconds of a job, its largest memory in MB, and
        processor seconds of all jobs.
    """
    found = []
    for path in folder.rglob("*.tsv"):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        job = pd.read_csv(path, sep="\t", na_values=["-", "NA"]).iloc[-1]
        found.append(
            {
                "rule": rule,
                "ended": path.stat().st_mtime,
                "s": job["s"],
                "mb": job["max_rss"],
                "cpu_s": job["cpu_time"],
            }
        )
    jobs = (
        pd.DataFrame(found)
        .groupby("rule")
        .agg(
            jobs=("s", "size"),
            median_s=("s", "median"),
            largest_s=("s", "max"),
            memory_mb=("mb", "max"),
            cpu_s=("cpu_s", "sum"),
            ended=("ended", "max"),
        )
    )
    table = jobs.sort_values("ended").drop(columns="ended").reset_index()
    return table.assign(jobs=table["jobs"].astype(str))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--least", type=float, default=0, help="leave out rules of quicker jobs")
    args = parser.parse_args()
    table = by_rule(args.results / "benchmarks").round(1)
    print(as_markdown(table[table["largest_s"] >= args.least]))


if __name__ == "__main__":
    main()
