"""All experiments of growing networks, and their tables in experiments/README.md.

    python experiments/growth.py                       # half an hour on two cores
    python experiments/growth.py ladder rules          # some of them
    python experiments/growth.py --seeds 4             # a first look

Every experiment is a config of configs/growth; results lie in outputs/growth and are gone on with.
"""

import argparse
from pathlib import Path

import tables

import fractaljax as fj
from fractaljax.cli.grow import tell
from fractaljax.families import growth, growth_report

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs" / "growth"
NAMES = (
    "ladder", "cliff_rescue", "patched_density", "dual_rates", "strategies", "rules", "indefinite",
    "scales", "validation", "lenient",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--seeds", type=int, help="of every arm (default: those of the config)")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "growth")
    asked = parser.parse_args()
    for name in asked.names or NAMES:
        out = asked.out / name
        words = [f"seeds={asked.seeds}"] if asked.seeds else []
        told = fj.grow(CONFIGS / f"{name}.yaml", words, out=out)
        tell(out)
        text = growth_report.markdown(told, growth.rows(told.experiment, out))
        head, _, body = text.partition("\n\n")
        tables.write(name, f"`fractaljax grow configs/growth/{name}.yaml`: {body.rstrip()}")
        print(head, out)


if __name__ == "__main__":
    main()
