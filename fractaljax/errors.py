"""What a user can get wrong, said in one line: what, where, what is allowed, the nearest name."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator

MAX_LETTERS = 2000  # of a message: what was given may be a megabyte long


class FractaljaxError(ValueError):
    """A request that cannot be met. The command line prints it as one line and exits with 2."""

    def __init__(self, message: str):
        text = " ".join(message.splitlines())  # names may hold anything
        if len(text) > MAX_LETTERS:  # both ends: where it is said, and what is allowed
            text = f"{text[: MAX_LETTERS // 2]} ... {text[-MAX_LETTERS // 2 :]}"
        if not text.isprintable():  # a terminal would obey some of them
            text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
        super().__init__(text)


def unknown(what: str, name: str, known: Iterable[str]) -> FractaljaxError:
    """An error for a name that nobody registered, with the nearest name and the whole list."""
    known = sorted(str(k) for k in known)
    folded = {k.lower(): k for k in known}
    near = difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=0.5)
    hint = f" Did you mean '{folded[near[0]]}'?" if near else ""
    return FractaljaxError(f"unknown {what} '{name}'.{hint} Known: {', '.join(known)}.")


@contextlib.contextmanager
def at(path: str) -> Iterator[None]:
    """Puts the path of a component before whatever it refuses."""
    try:
        yield
    except FractaljaxError as error:
        raise FractaljaxError(f"{path}: {error}") from None
