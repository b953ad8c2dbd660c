"""What a result was begun with: the digest of every file that its settings name.

DIR/files.jsonl   a line a file: the setting, what it says, sha256, when the file was changed

A line is added once, before anything is trained with the file, and the first one of a setting and
value holds. What is begun goes on with these contents alone. A result of a version that kept no
digests takes those of the day on which it is gone on with, and so does one that lost a line; both
are told.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fractaljax import contents
from fractaljax.config.files import Key, named_files
from fractaljax.contents import Content
from fractaljax.errors import FractaljaxError
from fractaljax.field import Field
from fractaljax.pair import Course
from fractaljax.store import disk, records

log = logging.getLogger("fractaljax")
FILES = contents.DIGESTS
SHOWN = 3  # differences in one message
PROVENANCE = "files"  # of a Field: what its pixels were trained with
TEXTS = ("setting", "value", "sha256", "modified")  # of a line
COUNTS = (int, type(None))  # of the files of a folder
DIGITS = 8  # of a digest in a message
OTHER = "Choose another --out, or put back what was there"
ANEW = "Choose another --out, --overwrite it, or put back what was there"
Named = Mapping[Key, Content | None]  # as `config.files.named_files` finds it


def keep(
    folder: Path,
    named: Named,
    *,
    begun: bool,
    instead: str = OTHER,
    used: Callable[[Key], bool] = lambda key: True,
) -> None:
    """Checks what a result was begun with, and keeps what it did not have yet.

    Args:
        folder: of the result; it exists.
        named: what the settings name now.
        begun: whether the result was there before.
        instead: what a user may do who wants the new content.
        used: whether something in a result that was there is trained by a setting and its value.

    Raises:
        FractaljaxError: a file has another content, or is gone; nothing is written then.
    """
    known = read(folder)
    check(folder, named, known, instead)
    fresh = {key: one for key, one in named.items() if one is not None and key not in known}
    fresh = {key: one for key, one in fresh.items() if not _names(key, folder)}
    if not fresh:
        return
    if begun and (lacking := [told(key) for key in fresh if used(key)]):
        log.warning(
            "%s: kept no digests of these files yet; it takes those of today: %s",
            folder,
            ", ".join(lacking),
        )
    write(folder, fresh)
    check(folder, named, read(folder), instead)  # another process may have been first


def check(
    folder: Path | str, named: Named, known: Mapping[Key, Content], instead: str = OTHER
) -> None:
    """Raises unless all files are those that a result was begun with."""
    if differing := differences(known, named):
        raise FractaljaxError(f"{folder} was begun with other files: {differing}. {instead}.")


def differences(known: Mapping[Key, Content], named: Named) -> str:
    """How files differ from what they were, in words; what `named` lacks does not matter."""
    found = []
    for key, then in known.items():
        now = named.get(key, then)
        if now is None:
            found.append(f"{told(key)} had {shown(then)}, now there is none")
        elif now.sha256 != then.sha256:
            found.append(f"{told(key)} had {shown(then)}, now {shown(now)}")
    more = "; ..." if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more


def check_folder(folder: Path, courses: Iterable[Course], instead: str = OTHER) -> None:
    """The same of a folder, read now; nothing is written."""
    if known := read(folder):
        check(folder, named_files(courses), known, instead)


def check_field(field: Field) -> None:
    """Raises unless what would be trained again for a stored Field is what it was trained with."""
    if known := from_list(field.provenance.get(PROVENANCE, ())):
        check("this result", named_files([field.spec]), known, "Train it anew")


def read(folder: Path) -> dict[Key, Content]:
    """What a result was begun with; nothing where no digests were kept."""
    with disk.on_disk(folder):
        try:
            text = disk.read(folder / FILES, disk.MAX_TEXT)
        except (FileNotFoundError, NotADirectoryError):
            return {}
    found: dict[Key, Content] = {}
    for line in filter(None, text.split(b"\n")):
        one = records.parsed(line)
        files = one.get("files")
        if all(isinstance(one.get(name), str) for name in TEXTS) and type(files) in COUNTS:
            setting, value, sha256, modified = (str(one[name]) for name in TEXTS)
            found.setdefault((setting, value), Content(sha256, modified, files))
        else:
            log.warning("%s: a line is damaged: its file is not compared", folder / FILES)
    return found


def check_free(folder: Path, named: Named) -> None:
    """Raises where the digests of a new result would come into a `files.jsonl` of something else:
    no line of it is ours."""
    file = folder / FILES
    if any(named.values()) and os.path.lexists(file) and not read(folder):
        raise FractaljaxError(
            f"{file} holds no digests, and a result would add its own. Choose another --out."
        )


def _names(key: Key, folder: Path) -> bool:
    """Whether a setting names the folder of the result itself, which changes as it is trained."""
    return os.path.realpath(os.path.expanduser(key[1])) == os.path.realpath(folder)


def write(folder: Path, named: Mapping[Key, Content]) -> None:
    """Adds lines."""
    with disk.on_disk(folder):
        for (setting, value), content in named.items():
            line = {"setting": setting, "value": value, **content._asdict()}
            disk.append(folder / FILES, records.checked(line))


def discard(folder: Path) -> None:
    """Forgets what a result was begun with; nothing of it is there any more. A file without a line
    of ours stays."""
    if read(folder):
        (folder / FILES).unlink()


def as_list(named: Named) -> list[list[Any]]:
    """Digests as plain lists, to be kept beside a network or shown with a Field."""
    return [[*key, *content] for key, content in named.items() if content is not None]


def from_list(listed: Iterable[Sequence[Any]]) -> dict[Key, Content]:
    """The way back; what a later version says besides is passed over."""
    return {(one[0], one[1]): Content(*one[2 : 2 + len(Content._fields)]) for one in listed}


def told(key: Key) -> str:
    """A setting and what it says, in a message."""
    return ": ".join(filter(None, key))


def shown(content: Content) -> str:
    """A content in a message."""
    files = "" if content.files is None else f"{content.files} files of "
    return f"{files}sha256 {content.sha256[:DIGITS]} ({content.modified} UTC)"
