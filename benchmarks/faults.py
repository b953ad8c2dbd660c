"""Does anything get lost when something goes wrong?

    python benchmarks/faults.py [--kills 100] [--seed 20261126]

Runs the long form of `tests/faults`: real commands of every verb that trains (scan, zoom, sweep,
search, transfer, grow) are killed at random moments, run into full disks, read-only and vanishing
folders, damaged files, jumping clocks, each other, data that are no numbers, and too little memory.
After each fault the same command goes on, and what it ends with is compared, bit for bit, with a
run that nothing disturbed. `lost` counts tiles, runs, members and files that were finished and are
gone or were made again; `wrong` counts arrays and files that differ. Ten thousand bad configs and
command lines must each end in one line with exit code 2, and nothing written.

RESULT (two cores of an AMD EPYC (Zen 4, virtual), 27 November 2026, group by group by `--only`,
seed 20261126): the table "Faults" in README.md; 16,968 injected, none lost, none wrong. Groups took
1 (creation) to 24 minutes (disk), with other work beside them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GROUPS = sorted((ROOT / "tests" / "faults").glob("test_*.py"))
COLUMNS = ("injected", "lost", "wrong")


def run(group: Path, environment: dict[str, str]) -> int:
    """One group of faults in processes of its own, short form and long; the exit code."""
    words = [sys.executable, "-m", "pytest", "-q", "-m", "long or not long", str(group)]
    return subprocess.run(words, cwd=ROOT, env=environment).returncode


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100, help="over all verbs (default: 100)")
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--only", default="", help="groups whose name holds this")
    arguments = parser.parse_args()
    place = Path(tempfile.mkdtemp())
    environment = os.environ | {
        "FRACTALJAX_FAULTS_KILLS": str(arguments.kills),
        "FRACTALJAX_FAULTS_SEED": str(arguments.seed),
        "FRACTALJAX_FAULTS": str(place / "tally.jsonl"),
    }
    failed = []
    for group in GROUPS:
        if arguments.only in group.stem:
            print(f"{group.stem} ...", flush=True)
            if run(group, environment):
                failed.append(group.stem)
    lines = (place / "tally.jsonl").read_text().splitlines()
    table(list(map(json.loads, lines)), arguments.seed)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return len(failed) > 0


def table(lines: list[dict], seed: int) -> None:
    """A row a fault, and their sum."""
    found: dict[str, Counter] = {}
    where: dict[str, dict[str, None]] = {}
    for line in lines:
        for fault in (line["fault"], "all"):
            counts = found.setdefault(fault, Counter())
            counts.update({name: line[name] for name in COLUMNS})
            counts["survived"] += line["injected"] * (line["lost"] == line["wrong"] == 0)
            where.setdefault(fault, {})[line["where"]] = None
    print(f"\nseed {seed}\n| fault | where | injected | survived | lost | wrong |")
    print("|---|---|---|---|---|---|")
    for fault in [*(name for name in found if name != "all"), "all"]:
        places = ", ".join(where[fault]) if fault != "all" else ""
        counts = found[fault]
        numbers = (counts[name] for name in ("injected", "survived", "lost", "wrong"))
        print(f"| {fault} | {places} | {' | '.join(f'{n:,}' for n in numbers)} |")


if __name__ == "__main__":
    sys.exit(main())
