"""The documentation: `make docs`, then open docs/_build/html/index.html."""

import importlib
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import pages  # noqa: E402

import fractaljax  # noqa: E402

project, author = "fractaljax", "the fractaljax authors"
version = release = fractaljax.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
nitpicky = True
suppress_warnings = ["toc.empty_glob"]  # pages of devices are there or not
default_role = "literal"  # docstrings write `code` with single backticks
myst_heading_anchors = 3
myst_enable_extensions = ["attrs_inline", "colon_fence"]
nb_execution_mode = "off"  # the notebook is kept with its outputs; tests/test_tour.py runs it
nb_merge_streams = True
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
html_theme = "furo"
html_title = f"fractaljax {version}"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["fractaljax.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#a3195b", "color-brand-content": "#a3195b"},
    "dark_css_variables": {"color-brand-primary": "#ff8a5c", "color-brand-content": "#ff8a5c"},
    "top_of_page_buttons": [],
}

pages.write(HERE / "generated")


def setup(app: Any) -> None:
    app.connect("missing-reference", resolved)


def resolved(app: Any, env: Any, node: Any, text: Any) -> Any:
    """A type in a signature by any of its names: a link where it is public, plain text where it
    exists all the same (of another package, or not public), else a broken reference."""
    del app
    target, name = node["reftarget"], node["reftarget"].rsplit(".", 1)[-1]
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    if name in fractaljax.__all__ and target != f"fractaljax.{name}":
        where = (env, node["refdoc"], env.app.builder, node["reftype"], f"fractaljax.{name}")
        return domain.resolve_xref(*where, node, text)
    return text if exists(target) else None


def exists(target: str) -> bool:
    """Whether there is an object of this name, of whatever package, or among Python's own."""
    parts = target.split(".")
    for place in ("builtins", "typing", "collections.abc", "numpy", "fractaljax.types"):
        if len(parts) == 1 and hasattr(importlib.import_module(place), target):
            return True
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part, None)
        return found is not None
    return False
