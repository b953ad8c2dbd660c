"""The command line: one verb a question. Nothing heavy is imported before it is needed."""

import gc
import logging
import sys
from collections.abc import Sequence

from fractaljax.cli.arguments import parse
from fractaljax.errors import FractaljaxError

COLLECT_EVERY = 50_000  # objects; of the millions that JAX makes while it traces, few are garbage


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code: 0, 2 for what the user can mend, 130 for Ctrl-C."""
    gc.set_threshold(COLLECT_EVERY)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("jax", "absl", "orbax"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        arguments = parse(list(sys.argv[1:] if argv is None else argv))
        level = logging.DEBUG if arguments.verbose else logging.INFO
        logging.getLogger("fractaljax").setLevel(level)
        return arguments.verb(arguments) or 0
    except FractaljaxError as error:
        print(f"fractaljax: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fractaljax: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        why = (str(error).splitlines() or ["a smaller --chunk needs less"])[0]  # Python's says none
        print(f"fractaljax: out of memory: {why[:200]}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:  # whatever was not said closer to where it happened
        if error.errno is None:
            raise
        what = FractaljaxError(f"{error.filename or 'a file'}: {error.strerror or error}")
        print(f"fractaljax: {what}. What is finished is kept.", file=sys.stderr)
        return 2
