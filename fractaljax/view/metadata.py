"""What a picture says about itself: enough to train it again and to colour it the same."""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

from fractaljax import config
from fractaljax.field import Field
from fractaljax.view import colours, gradients

PARAMETERS = "fractaljax"  # keyword of the settings, YAML as in a config file
PICTURE = "fractaljax-picture"  # keyword of what was shown and how, JSON


def texts(field: Field, reading: str, cmap: str, stretch: str, **more: Any) -> dict[str, str]:
    """Keyword -> text, for the text chunks of a PNG.

    Args:
        field, reading, cmap, stretch: what is shown, and how. A gradient file goes in by its
            colours and its bare name: it may be gone tomorrow.
        more: what else was chosen; None is left out.
    """
    shown = {"reading": reading, "cmap": cmap, "stretch": stretch}
    if gradients.is_file(cmap.removesuffix("_r")):
        shown |= {"cmap": gradients.listed(colours.table(cmap)), "gradient": Path(cmap).name}
    shown |= {name: value for name, value in more.items() if value is not None}
    return {
        "Software": f"fractaljax {version()}",
        PARAMETERS: config.dump(field.spec, field.window),
        PICTURE: json.dumps(shown),
    }


def version() -> str:
    """Of this package."""
    try:
        return importlib.metadata.version("fractaljax")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"  # run from a checkout
