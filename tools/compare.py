#!/usr/bin/env python
"""
Put evaluated runs side by side: a table of the differences from the first one, and compare.html.

    python tools/compare.py output/r50/evaluation output/r50_balanced/evaluation --output compare.html

With predictions.parquet beside each metrics.json the differences' intervals are those of a paired bootstrap over the
images that both have; else they come from the intervals in the files.
"""

import argparse
import logging
import sys
from pathlib import Path

from kfashion_d2 import evaluation, visualization


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="folder of evaluate.py, metrics.json or predictions.parquet; first: base"
    )
    parser.add_argument("--names", nargs="+", metavar="NAME", help="what to call them (default: their folders)")
    parser.add_argument("--output", default="compare.html", metavar="FILE", help="the page (default: compare.html)")
    parser.add_argument("--no-report", action="store_true", help="only print the table")
    parser.add_argument("--groups", action="store_true", help="print what is measured of each group, too")
    parser.add_argument(
        "--bootstrap", type=int, default=500, metavar="N", help="replicates; 0: the runs' own intervals (default: 500)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    parser.add_argument("--language", choices=("en", "ko"), default="en", help="the page opens in (default: en)")
    args = parser.parse_args()
    if args.names and len(args.names) != len(args.runs):
        parser.error(f"--names: {len(args.names)} names for {len(args.runs)} runs")
    if args.bootstrap < 0:
        parser.error("--bootstrap: 0 or more")
    return args


def main():
    args = parse_args()
    from kfashion_d2.evaluation.results.comparison import name_runs

    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        runs = [evaluation.load_run(path) for path in args.runs]
        for run, name in zip(runs, args.names or [], strict=False):
            run.name = name
        name_runs(runs)
        comparison = evaluation.compare_runs(runs, replicates=args.bootstrap, seed=args.seed)
        print(evaluation.comparison_table(comparison, groups=args.groups))
        if not args.no_report:
            Path(args.output).parent.mkdir(parents=True, exist_ok=True)
            visualization.write_comparison_report(args.output, comparison, language=args.language)
            print(f"\nSee {args.output}")
    except (ValueError, OSError) as error:
        sys.exit(f"compare.py: error: {error}")


if __name__ == "__main__":
    main()
