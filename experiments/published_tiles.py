"""The six published tiles (arXiv:2402.06184) on one sheet.

    python experiments/published_tiles.py [SIDE]

Trains every tile at SIDE x SIDE pixels (default 256, minutes a tile on two cores; finished tiles
are kept in outputs/) and writes experiments/pictures/published_tiles.png.
"""

import sys
from pathlib import Path

from PIL import Image

import fractaljax as fj
from fractaljax.view.image import save_image

CONDITIONS = ("linear", "relu", "single", "minibatch", "tanh", "offset")
ROOT = Path(__file__).parents[1]
GAP = 12  # pixels between two tiles


def main(side: int = 256) -> None:
    sheet = Image.new("RGB", (3 * side + 2 * GAP, 2 * side + GAP), "white")
    for i, condition in enumerate(CONDITIONS):
        spec, window = fj.load(ROOT / f"configs/paper/{condition}.yaml", only="tile")
        place = ROOT / "outputs" / f"published_{side}" / condition
        field = fj.scan(spec, window.resized(side), store=place)
        save_image(field, place / "image.png")
        corner = (i % 3 * (side + GAP), i // 3 * (side + GAP))
        sheet.paste(Image.open(place / "image.png"), corner)
        print(f"{condition}: {100 * (field['measure'] < 0).mean():.1f} % converged", flush=True)
    sheet.save(ROOT / "experiments" / "pictures" / "published_tiles.png")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
