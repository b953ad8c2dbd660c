"""Who may import whom (CONTRIBUTING, "Rooms"): the architecture is a failing test."""

import ast
import functools
from pathlib import Path

import fractaljax

ROOT = Path(fractaljax.__file__).parent
ALLOWED = {  # room -> rooms it may import; a room may always import itself
    "errors": set(),
    "contents": {"errors"},
    "machine": set(),
    "scalar": set(),
    "slots": set(),
    "types": set(),
    "registry": {"errors"},
    "samples": set(),
    "axis": {"errors", "samples"},
    "window": {"axis", "errors"},
    "spec": {"errors", "registry"},
    "pair": {"errors", "spec"},
    "runs": {"errors", "view"},  # view only to show itself in a notebook
    "config": {"contents", "errors", "pair", "registry", "spec", "window"},
    "field": {"errors", "spec", "window", "view"},  # view only to show itself in a notebook
    "ledger": {"field", "spec", "window"},
    "levels": {"field", "view"},  # as above
    "store": {
        "config",
        "contents",
        "errors",
        "field",
        "ledger",
        "levels",
        "pair",
        "runs",
        "spec",
        "window",
    },
    "engine": {
        "axis",
        "contents",
        "errors",
        "field",
        "ledger",
        "machine",
        "pair",
        "scalar",
        "slots",
        "spec",
        "types",
        "window",
    },
    "parts": {"contents", "errors", "machine", "registry", "scalar", "slots", "types"},
    "analysis": {"errors"},
    "cluster": {
        "config",
        "engine",
        "errors",
        "field",
        "ledger",
        "registry",
        "spec",
        "store",
        "window",
        "__init__",  # for the version
    },
    "families": {
        "analysis",
        "axis",
        "cluster",
        "config",
        "contents",
        "engine",
        "errors",
        "field",
        "spec",
        "store",
        "window",
        "levels",
        "pair",
        "runs",
        "types",
    },
    "view": {
        "analysis",
        "axis",
        "config",
        "errors",
        "field",
        "registry",
        "spec",
        "window",
        "levels",
        "runs",
    },
    "explorer": {
        "axis",
        "config",
        "errors",
        "families",
        "field",
        "parts",  # for the words that a text argument may be
        "registry",
        "spec",
        "store",
        "view",
        "window",
    },
    "laws": {"engine", "errors", "pair", "registry", "spec", "types", "window"},
    "cli": {
        "analysis",
        "cluster",
        "config",
        "engine",
        "errors",
        "explorer",
        "families",
        "field",
        "registry",
        "store",
        "types",
        "view",
        "window",
    },
    "__init__": {
        "axis",
        "config",
        "engine",
        "errors",
        "families",
        "field",
        "levels",
        "pair",
        "registry",
        "runs",
        "spec",
        "store",
        "types",
        "view",
        "window",
    },
}
ENGINE_ONLY = {
    "vmap",
    "scan",
    "while_loop",
    "fori_loop",
    "jit",
    "pmap",
    "shard_map",
    "value_and_grad",
    "grad",
}


def imported(tree: ast.AST) -> list[str]:
    """Modules of this package that a file imports, at the top or inside a function."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            base = node.module
            found += [f"{base}.{a.name}" for a in node.names] if base == "fractaljax" else [base]
    return [m.removeprefix("fractaljax.") for m in found if m.startswith("fractaljax.")]


@functools.cache
def trees() -> dict[Path, ast.AST]:
    """Every source of the package, by its place in it."""
    return {path.relative_to(ROOT): ast.parse(path.read_text()) for path in ROOT.rglob("*.py")}


def room(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def test_rooms_import_only_what_they_may():
    assert len(trees()) > 200
    offenders = {}
    for path, tree in trees().items():
        others = {module.split(".")[0] for module in imported(tree)} - {room(path)}
        offenders[str(path)] = others - ALLOWED[room(path)]
    assert not {path: others for path, others in offenders.items() if others}


def transforms(tree: ast.AST) -> set[str]:
    """What JAX transforms or loops with, and is used here."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in ENGINE_ONLY
        and isinstance(node.value, ast.Name | ast.Attribute)
        and ast.unparse(node.value) in ("jax", "jax.lax", "lax")
    }


def test_only_the_engine_transforms():
    """vmap, loops, jit and gradients live in the engine (and in the laws, which test it)."""
    used = {path: transforms(tree) for path, tree in trees().items()}
    assert {room(path) for path, found in used.items() if found} == {"engine", "laws"}, used


def test_registered_parts_do_not_import_each_other():
    registered = {p.stem for p in (ROOT / "parts").glob("*.py") if "@register(" in p.read_text()}
    for name in registered:
        uses = imported(trees()[Path("parts") / f"{name}.py"])
        others = {m.split(".")[1] for m in uses if m.startswith("parts.")} - {name}
        assert not others & registered, f"parts/{name}.py imports {others & registered}"
