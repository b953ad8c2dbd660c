"""What a picture says about itself: enough to train it again and to colour it the same."""

import importlib.metadata
import json

from fractaljax import config
from fractaljax.field import Field

PARAMETERS = "fractaljax"  # keyword of the settings, YAML as in a config file
PICTURE = "fractaljax-picture"  # keyword of what was shown and how, JSON


def texts(field: Field, reading: str, cmap: str, stretch: str) -> dict[str, str]:
    """Keyword -> text, for the text chunks of a PNG."""
    try:
        version = importlib.metadata.version("fractaljax")
    except importlib.metadata.PackageNotFoundError:
        version = "(not installed)"  # run from a checkout
    shown = {"reading": reading, "cmap": cmap, "stretch": stretch}
    return {
        "Software": f"fractaljax {version}",
        PARAMETERS: config.dump(field.spec, field.window),
        PICTURE: json.dumps(shown),
    }
