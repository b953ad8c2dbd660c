"""Pages that are made of what is there: the README, the registry, the parsers, the stores.

`conf.py` writes them into `generated/` at every build, so that none of them can say anything else.
"""

import argparse
import importlib
import inspect
import re
import shutil
import textwrap
from pathlib import Path

import fractaljax
from fractaljax import registry
from fractaljax.cli import parser
from fractaljax.spec import ALIASES, FIELDS

ROOT = Path(__file__).parents[1]
GUIDES = {  # page -> heading in the README
    "start": "A short tour",
    "zoom": "Zoom, film, measure",
    "pictures": "Pictures people keep",
    "explorer": "Explorer",
    "sweeps": "Sweeps: deep linear networks, thousands of seeds",
    "transfer": "Transfer: do tuned hyperparameters serve another network?",
    "growth": "Growth: does a network gain by growing?",
    "machines": "Many machines",
    "published": "The published experiment",
    "speed": "How fast",
}
FILES = {  # page -> file that it is
    "deploy": "deploy/README.md",
    "experiments": "experiments/README.md",
    "benchmarks": "benchmarks/README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
}
PLACES = {  # what the README links to -> its page
    "deploy/README.md": "deploy.md",
    "experiments/README.md": "experiments.md",
    "benchmarks/README.md": "benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "experiments/tour.ipynb": "tour.ipynb",
}
API = {  # heading -> public names
    "What one training is": ("Spec", "Part", "facets", "Pair"),
    "Where to look": ("Axis", "Lattice", "Window"),
    "Configs": ("load", "prepare", "Experiment"),
    "Training": (
        "scan", "zoom", "sweep", "search", "transfer", "grow", "train", "train_large", "Trainer",
    ),
    "Networks that were kept": ("load_model", "load_snapshot", "resume", "transplant"),
    "Results": ("open", "Field", "Zoom", "load_sweep", "load_run", "Sweep", "Run"),
    "Curves": ("plot", "plot_run", "plot_comparative", "subtract_baseline"),
    "Errors": ("FractaljaxError",),
    "Parts of your own": ("register", "laws"),
    "Contracts of parts": (
        "Data", "Model", "Problem", "Fold", "Rule", "Metric", "Comparison", "Evaluation",
        "Snapshot", "Stopping", "Callback", "When", "Sites", "Growth", "Network", "Moment",
    ),
}  # fmt: skip
CONTRACTS = {  # role -> what its factories make
    "model": "Model", "problem": "Problem", "rule": "Rule", "when": "When", "growth": "Growth",
    "stopping": "Stopping", "fold": "Fold", "metric": "Metric", "comparison": "Comparison",
    "callback": "Callback",
}  # fmt: skip


def write(folder: Path) -> None:
    """Writes every page whose text is new, so that Sphinx reads no page twice."""
    folder.mkdir(exist_ok=True)
    made = {**guides(), **files(), **part_pages(), **command_pages()}
    made |= {"api": api(), "settings": settings(), "layouts": layouts()}
    for name, text in made.items():
        path = folder / f"{name}.md"
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
    shutil.copyfile(ROOT / "experiments" / "tour.ipynb", folder / "tour.ipynb")
    for path in folder.glob("*.md"):
        if path.stem not in made:
            path.unlink()


def guides() -> dict[str, str]:
    """Sections of the README, a page each."""
    text = (ROOT / "README.md").read_text()
    found = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    return {page: f"# {title}\n{linked(found[title], '')}" for page, title in GUIDES.items()}


def files() -> dict[str, str]:
    """Files of the repository, a page each, where they are there."""
    there = {page: ROOT / file for page, file in FILES.items() if (ROOT / file).is_file()}
    return {
        page: linked(path.read_text(), str(path.parent.relative_to(ROOT)))
        for page, path in there.items()
    }


def linked(text: str, folder: str) -> str:
    """Text of a file in `folder` with its links as the pages in `generated` have them."""

    def link(match: re.Match) -> str:
        target, _, anchor = match[1].partition("#")
        path = str(Path(folder) / target)
        page = PLACES.get(path, f"../../{path}")
        return f"]({page}{'#' + anchor if anchor else ''})"

    text = re.sub(r"\]\((?!https?:|#)(\S+?)\)", link, text)
    text = re.sub(r"^```\n(?=fractaljax |make |pip |\$ )", "```console\n", text, flags=re.M)
    return re.sub(r"<!--.*?-->\n?", "", text)


def api() -> str:
    """The public names by what they are for; every name is on the page or the build fails."""
    listed = [name for names in API.values() for name in names]
    if set(listed) ^ (set(fractaljax.__all__) - {"__version__"}):
        raise ValueError(f"API lists other names: {set(listed) ^ set(fractaljax.__all__)}")
    lines = ["# Python", "", "`import fractaljax as fj`; names are imported when first used.", ""]
    for heading, names in API.items():
        lines += [f"## {heading}", ""]
        for name in names:
            lines += directive(name)
    return "\n".join(lines)


def directive(name: str) -> list[str]:
    """How Sphinx documents one public name."""
    if name == "laws":
        return ["See [](../laws.md).", ""]
    found = getattr(fractaljax, name)
    if hasattr(found, "_fields"):  # a contract: its source says it all
        source = textwrap.indent(inspect.getsource(found), " " * 6)
        body = [f".. py:class:: fractaljax.{name}", "", "   .. code-block:: python", "", source]
    elif inspect.isclass(found):
        body = [f".. autoclass:: fractaljax.{name}", "   :members:"]
    else:
        body = [f".. autofunction:: fractaljax.{name}"]
    return [f"### {name}", "", "```{eval-rst}", *body, "```", ""]


def part_pages() -> dict[str, str]:
    """A page a role with all registered parts, and one that lists them."""
    made = {}
    for role in registry.ROLES:
        lines = [f"# {role}", ""]
        if role in CONTRACTS:
            name = CONTRACTS[role]
            lines += [f"A factory makes a {{py:class}}`~fractaljax.{name}`.", ""]
        for name in registry.names(role):
            lines += part(role, name)
        made[f"parts_{role}"] = "\n".join(lines)
    return made


def part(role: str, name: str) -> list[str]:
    """One part: its docstring, and its arguments with what they may be."""
    doc = inspect.getdoc(registry.lookup(role, name)) or ""
    lines = [f"## {name}", "", "```{eval-rst}", sphinx(doc), "```", ""]
    arguments = registry.arguments(role, name).values()
    if arguments:
        lines += ["| argument | takes | default | |", "|---|---|---|---|"]
    for one in arguments:
        takes = inspect.formatannotation(one.annotation).replace("|", "or")
        kind = "axis" if one.traced else "facet"
        lines.append(f"| `{one.name}` | `{takes}` | `{one.default!r}` | {kind} |")
    return [*lines, ""]


def sphinx(doc: str) -> str:
    """A docstring of Google's style as reStructuredText."""
    from sphinx.ext.napoleon import Config, GoogleDocstring

    return str(GoogleDocstring(doc, Config(napoleon_use_param=False, napoleon_use_rtype=False)))


def command_pages() -> dict[str, str]:
    """The help of every verb, word for word."""
    top = parser.build()
    verbs = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    lines = ["# Command line", "", "```text", helped(top), "```", ""]
    for name, one in verbs.choices.items():
        lines += [f"## {name}", "", "```text", helped(one), "```", ""]
        inner = [a for a in one._actions if isinstance(a, argparse._SubParsersAction)]
        for below, two in (inner[0].choices if inner else {}).items():
            lines += [f"### {name} {below}", "", "```text", helped(two), "```", ""]
    return {"commands": "\n".join(lines)}


def helped(one: argparse.ArgumentParser) -> str:
    """Help at a fixed width, whatever the terminal of the build is."""
    former = one.formatter_class
    one.formatter_class = lambda prog: former(prog, width=96)
    return one.format_help().rstrip()


def settings() -> str:
    """Settings that are no part, and the names of the literature."""
    spec = fractaljax.Spec()
    lines = ["# Settings and aliases", "", "| setting | takes | default |", "|---|---|---|"]
    for name, kind in FIELDS.items():
        takes = inspect.formatannotation(kind).replace("|", "or")
        lines.append(f"| `{name}` | `{takes}` | `{getattr(spec, name)!r}` |")
    lines += [
        "",
        "What they mean: {py:class}`~fractaljax.Spec`.",
        "",
        "| alias | path |",
        "|---|---|",
    ]
    for alias, paths in ALIASES.items():
        lines.append(f"| `{alias}` | {' or '.join(f'`{path}`' for path in paths)} |")
    return "\n".join(lines) + "\n"


def layouts() -> str:
    """What lies where in every kind of store, as the code that writes it says."""
    lines = ["# What lies where", ""]
    for title, module in (
        ("A scan", "fractaljax.store"),
        ("A zoom", "fractaljax.store.zooms"),
        ("A sweep", "fractaljax.store.sweep_folder"),
        ("A search and a transfer", "fractaljax.store.study_folder"),
        ("An experiment with networks that grow", "fractaljax.families.growth"),
        ("Snapshots", "fractaljax.families.snapshots"),
    ):
        doc = inspect.getdoc(importlib.import_module(module)) or ""
        lines += [f"## {title}", "", "```text", doc, "```", ""]
    return "\n".join(lines)
