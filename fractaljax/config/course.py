"""What a sweep starts from: one Spec or Pair of a file, and the paths that reach into it."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from fractaljax.config.facets import facets
from fractaljax.config.pairs import is_pair, laid, pair_path, pair_tree, to_pair
from fractaljax.config.text import load_plugins
from fractaljax.config.to_spec import to_training
from fractaljax.config.to_tree import training_tree
from fractaljax.config.trees import canonical, layered, nested, placed, spelled
from fractaljax.errors import FractaljaxError, unknown
from fractaljax.pair import Course, Pair


class Setting(NamedTuple):
    """One experiment of a file without a window."""

    name: str
    course: Course
    own: Mapping[str, Mapping[str, Any]]  # of a pair: what each side says for itself

    def path(self, words: str) -> str:
        """The canonical path of a path, in whatever words; raises with the nearest name."""
        pair = isinstance(self.course, Pair)
        return self.course.resolve(pair_path(self.own, words) if pair else spelled(words))

    def tree(self) -> dict[str, Any]:
        """The full settings, to be read again."""
        return (
            pair_tree(self.course) if isinstance(self.course, Pair) else training_tree(self.course)
        )


def holds_pairs(raw: Mapping[str, Any]) -> bool:
    """Whether raw settings are about two networks at once."""
    return any(is_pair(block) for block in (raw["defaults"], *raw["experiments"].values()))


def setting(
    raw: Mapping[str, Any],
    patches: Iterable[tuple[str, Any]] = (),
    only: str | None = None,
    swept: Iterable[str] = (),
) -> Setting:
    """The one experiment that a sweep is about, with values laid over it.

    Args:
        raw: what `read` returned.
        patches: (path, value); they win over the file.
        only: the name of the experiment; needed where the file has several.
        swept: paths that will take other values: a list in the file is its first value there.

    Raises:
        FractaljaxError: for any key, value or name that is not understood.
    """
    load_plugins(raw["plugins"])
    known, patches = raw["experiments"], list(patches)
    for path, _ in patches:
        if path.split(".")[0] in ("window", "axes"):
            raise FractaljaxError(f"{path} is not read: a sweep has no window")
    if only is not None and only not in known:
        raise unknown("experiment", only, known)
    if only is None and len(known) > 1:
        raise FractaljaxError(f"a sweep is of one experiment; give --only {' or '.join(known)}")
    name = only or next(iter(known))
    block = known[name]
    if holds_pairs(raw):
        return Setting(name, *to_pair(laid(raw["defaults"], block), patches))
    tree = layered(canonical(raw["defaults"]), canonical(block))
    for path, value in patches:
        tree = layered(tree, canonical(nested(spelled(path).split("."), value)))
    others = {spelled(path) for path in swept}
    for path, first in facets(tree)[0].items():
        if path not in others:
            raise FractaljaxError(f"{path} is a list in the file; sweep it: {path}=value,value")
        tree = placed(tree, path, first)
    return Setting(name, to_training(tree), {})
