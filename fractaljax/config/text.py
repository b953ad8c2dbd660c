"""From text: YAML files, overrides and names of plugins, before anything is made of them."""

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fractaljax import contents
from fractaljax.config.plain_yaml import from_yaml
from fractaljax.errors import FractaljaxError, at, unknown

BESIDE = (".sums", "claims", "field")  # one of these lies beside the settings of every result
TOP = ("plugins", "defaults", "experiments")
STUDY = ("extends", "architectures", "space")  # only a study has these
ARMS = ("arms", "claims", "over", "question", "densities")  # only an experiment with arms
MAX_BYTES = 2**20  # of a file of settings; what is larger is none


def read(path: str | Path) -> dict[str, Any]:
    """The raw settings of a YAML file, its top-level and experiment keys checked."""
    path = Path(path)
    text = read_text(path, "config file")
    raw = parse(text, str(path), path.stem)
    check_own(path, raw["plugins"])
    return raw


def read_text(path: Path, what: str) -> str:
    """The text of a file of settings: a regular file, so that nothing waits for a pipe or reads a
    device to its end, of at most `MAX_BYTES`.

    Args:
        what: it is, as in `config file`.

    Raises:
        FractaljaxError: it cannot be read, with the nearest name where there is none.
    """
    if not os.path.isfile(path):  # unlike Path.is_file, false for names that are too long
        near = [*map(str, path.parent.glob("*.yaml"))] if os.path.isdir(path.parent) else []
        missing = FractaljaxError(f"no file {path}")
        raise unknown(what, str(path), near) if near else missing
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise FractaljaxError(f"{path}: larger than {MAX_BYTES} bytes, too large for settings")
        return content.decode().replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FractaljaxError(f"{path} cannot be read as text: {error}") from None


def read_extending(
    path: Path, what: str, below: tuple[Path, ...]
) -> tuple[dict[str, Any], list[str]]:
    """The settings of a file, and the names of the files that it extends.

    Args:
        what: it is: a study, or an experiment.
        below: files that extend this one.

    Raises:
        FractaljaxError: with the file, and what in it is not understood.
    """
    text = read_text(path, what)
    if path.resolve() in below:
        raise FractaljaxError(f"{path}: extends itself, by {', '.join(map(str, below))}")
    with at(str(path)):
        tree = from_yaml(text)
        check_mapping(f"{'an' if what[0] in 'aeiou' else 'a'} {what}", tree)
        check_own(path, tree.get("plugins"))
        names = tree.pop("extends", None) or []
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise FractaljaxError(f"extends: takes a list of files, not {names!r}")
    return tree, names


def parse(text: str, where: str, name: str) -> dict[str, Any]:
    """Raw settings from YAML text; settings without `experiments` are one, called `name`."""
    try:
        raw = from_yaml(text)
    except FractaljaxError as error:
        raise FractaljaxError(f"{where}: {error}") from None
    raw = {} if raw is None else raw
    check_mapping(where, raw)
    if any(key in ARMS for key in raw):
        raise FractaljaxError(f"{where}: an experiment with arms; fractaljax grow takes it")
    if any(key in STUDY for key in raw):
        raise FractaljaxError(f"{where}: a study or a part of one; fractaljax search takes it")
    if "defaults" not in raw and "experiments" not in raw:
        own = {key: value for key, value in raw.items() if key != "plugins"}
        raw = {"plugins": raw.get("plugins"), "experiments": {name: own}}
    for key in raw:
        if key not in TOP:
            raise unknown(f"key in {where}", key, TOP)
    experiments = raw.get("experiments") or {name: {}}
    check_mapping(f"{where}: experiments", experiments)
    for block_name, block in {"defaults": raw.get("defaults"), **experiments}.items():
        check_mapping(f"{where}: {block_name}", block or {})
    for key in map(str, experiments):  # each names a folder
        if key in ("", "..") or Path(key).name != key or "\0" in key:
            raise FractaljaxError(f"{where}: experiment '{key}' cannot be the name of a folder")
    return {
        "plugins": _modules(raw.get("plugins")),
        "defaults": raw.get("defaults") or {},
        "experiments": {str(k): v or {} for k, v in experiments.items()},
    }


def parse_override(text: str) -> tuple[list[str], Any]:
    """The words of the path and the value of `path=value`."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise FractaljaxError(f"override '{text}': must be path=value, as in model.depth=3")
    words = path.strip().split(".")
    if not all(words):
        raise FractaljaxError(f"override '{text}': a word of its path is missing")
    if words[0] == "axes" and len(words) > 3:  # the name of an axis may itself be a path
        words = ["axes", ".".join(words[1:-1]), words[-1]]
    try:
        return words, from_yaml(value)
    except FractaljaxError as error:
        raise FractaljaxError(f"override '{text}': {error}") from None


def load_plugins(modules: Iterable[str]) -> None:
    """Imports modules that register parts of their own; the working directory is searched too."""
    for module in _modules(modules):
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever the user's own module raises
            raise FractaljaxError(f"plugins: cannot import '{module}': {error!r}") from error
        # as it is imported, whatever becomes of its file
        contents.of_module(contents.home_of(module))


def check_imported(modules: Any, where: Any) -> None:
    """Raises unless the user named the plugins that a result names: it may come from anywhere.

    Args:
        modules: as the result has them.
        where: the result.
    """
    for module in _modules(modules):
        if module not in sys.modules:
            raise FractaljaxError(
                f"{where} names the plugin {module}; add --plugin {module} to allow it"
            )


def check_own(path: Path, modules: Any) -> None:
    """The same for a file of settings that lies in a result, whatever it is asked for."""
    if any((path.parent / name).exists() for name in BESIDE):
        check_imported(modules, path)


def check_mapping(where: str, value: Any) -> None:
    """Raises unless the value is a block of `key: value`."""
    if not isinstance(value, Mapping):
        raise FractaljaxError(f"{where}: must be a block of 'key: value', not {value!r}")


def _modules(value: Any) -> list[str]:
    """Names of modules: none, one, or a list of them."""
    names = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(names, list | tuple) or not all(
        isinstance(n, str) and all(part.isidentifier() for part in n.split(".")) for n in names
    ):
        raise FractaljaxError(f"plugins: takes names of modules, not {value!r}")
    return [*names]
