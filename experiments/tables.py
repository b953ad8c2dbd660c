"""Tables of the experiments in README.md, each between two markers of its own."""

from pathlib import Path

from fractaljax.view.files import replacing

README = Path(__file__).with_name("README.md")


def write(name: str, table: str) -> None:
    """Puts a table in the place of the last one of that name; at the end of the file, if new."""
    text = README.read_text() if README.exists() else "# Experiments\n"
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    block = f"{first}\n{table}\n{last}"
    if first in text:
        before, _, rest = text.partition(first)
        text = before + block + rest.partition(last)[2]
    else:
        text = f"{text.rstrip()}\n\n## {name}\n\n{block}\n"
    with replacing(README) as stream:
        stream.write(text.encode())
