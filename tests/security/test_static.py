"""Nothing in the package can run what a file says: a test of the source, not of a run."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import fractaljax

ROOT = Path(fractaljax.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
PROJECT = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
CALLS |= {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"}
CALLS |= {"yaml.add_constructor", "np.fromregex", "pd.read_pickle", "pd.eval"}
NAMES = {  # of a distribution -> what is imported of it
    "importlib-resources": "importlib_resources",
    "tensorflow-datasets": "tensorflow_datasets",
    "pyyaml": "yaml",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "imageio-ffmpeg": "imageio_ffmpeg",
}
BY_OTHERS = {  # imported, and brought along by
    "requests": "tensorflow-datasets",
    "contourpy": "matplotlib",
    "dask": "distributed",
}


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


def forbidden(text):
    """What of it could run what is in a file."""
    tree, found = ast.parse(text), []
    found += [m for m in imported(tree) if m.split(".")[0] in MODULES]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if called in CALLS or given.get("shell", "False") != "False":
            found.append(called)
        if re.fullmatch(r"(np|numpy)\.load", called) and given.get("allow_pickle") != "False":
            found.append(f"{called} without allow_pickle=False")
        if given.get("allow_pickle", "False") != "False":
            found.append(f"{called} with allow_pickle")
        if called.endswith("import_module") and not isinstance(node.args[0], ast.Constant):
            found.append(called)
    return found


IMPORTS = {  # where a module is imported by a name that is no constant, and whose names they are
    "__init__.py": "of this package",
    "registry.py": "of this package",
    "config/text.py": "plugins that the user named",
    "families/samplers.py": "of an extra",
    "view/colours.py": "of an extra",
}


def test_no_source_runs_what_a_file_says():
    assert len(FILES) > 200
    offenders = {}
    for path in FILES:
        name, found = str(path.relative_to(ROOT)), forbidden(path.read_text())
        if name in IMPORTS:
            found = [called for called in found if not called.endswith("import_module")]
        offenders[name] = found
    assert not {name: found for name, found in offenders.items() if found}


def test_what_is_forbidden_is_found():
    for line in (
        "import pickle",
        "from dill import loads",
        "eval(x)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader)",
        "subprocess.run(words, shell=True)",
        "importlib.import_module(name)",
        "os.system(line)",
    ):
        assert forbidden(line), line


def declared(name):
    """The names of the distributions of requirements."""
    return {re.match(r"[A-Za-z0-9._-]+", text)[0].lower().replace("_", "-") for text in name}


def test_every_import_is_a_declared_dependency():
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    known = set().union(*map(declared, groups))
    modules = {NAMES.get(name, name.replace("-", "_")) for name in known} | set(BY_OTHERS)
    assert set(BY_OTHERS.values()) <= known
    modules |= {*sys.stdlib_module_names, "fractaljax"}
    for path in FILES:
        used = {name.split(".")[0] for name in imported(ast.parse(path.read_text()))}
        assert used <= modules, f"{path}: {used - modules}"


def test_only_dependencies_are_imported_at_the_top():
    """Extras are imported where they are used."""
    needed = {NAMES.get(n, n.replace("-", "_")) for n in declared(PROJECT["dependencies"])}
    needed |= {*sys.stdlib_module_names, "fractaljax"}
    lazy = {"explorer/server.py", "explorer/guard.py", "families/learning.py", "cluster/deaf.py"}
    for path in FILES:
        top = [
            n
            for n in ast.parse(path.read_text()).body
            if isinstance(n, ast.Import | ast.ImportFrom)
        ]
        used = {name.split(".")[0] for name in imported(ast.Module(top, []))}
        if str(path.relative_to(ROOT)) not in lazy:
            assert used <= needed, f"{path}: {used - needed}"


def test_every_dependency_has_a_lower_bound():
    for group in [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]:
        for text in group:
            assert re.fullmatch(r"[a-zA-Z0-9._-]+>=[0-9.]+|jax\[cuda13\]", text), text
