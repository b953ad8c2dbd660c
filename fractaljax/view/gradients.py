"""Gradients from files: what users of fractal renderers and of map makers already have.

    .ggr          GIMP gradient (its alpha is not used)
    .gpl          GIMP palette
    .map          Fractint map: red, green and blue from 0 to 255, a line a colour
    .cpt          GMT colour palette table, continuous, in RGB, HSV or by name
    .txt .hex .css  colours one after another: #rrggbb, rrggbb or CSS names

Discrete colours are spread evenly and joined by straight lines in sRGB, as these programs do.
"""

import colorsys
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fractaljax.errors import FractaljaxError, unknown

MAX_BYTES = 2**20  # what is larger is no gradient
Colour = tuple[float, float, float]  # red, green, blue from 0 to 1
Lines = list[tuple[int, str]]  # numbered from 1, comments and blank ones left out
Sampler = Callable[[float], Colour]  # 0 to 1 along the gradient


def read(path: str | Path, levels: int) -> np.ndarray:
    """The colours of a gradient file, uint8 `[levels, 3]`, in the order of the file.

    Raises:
        FractaljaxError: the file cannot be read or is not what its suffix says; names the line.
    """
    path = Path(path)
    reader = FORMATS.get(path.suffix.lower())
    if reader is None:
        raise unknown(f"kind of gradient in {path}:", path.suffix, FORMATS)
    try:
        if not path.is_file():
            raise FractaljaxError(f"gradient {path}: there is no such file")
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise FractaljaxError(f"gradient {path}: {error.strerror or error}") from None
    if len(content) > MAX_BYTES:
        raise FractaljaxError(f"gradient {path}: larger than {MAX_BYTES} bytes")
    try:
        return _sampled(reader(content.decode("utf-8", "replace")), levels)
    except FractaljaxError as error:
        raise FractaljaxError(f"gradient {path}{error}") from None


def is_file(name: str) -> bool:
    """Whether a name of a colour map means a file: it ends like one."""
    return Path(name).suffix.lower() in FORMATS


def is_list(name: str) -> bool:
    """Whether a name of a colour map is a list of colours itself: `#102030,white` or `white`."""
    from matplotlib.colors import CSS4_COLORS

    return "," in name or name.startswith("#") or name.lower() in CSS4_COLORS


def from_list(text: str, levels: int) -> np.ndarray:
    """A table out of colours with commas or spaces between them; a single one fills it."""
    return _sampled(_even([colour(word) for word in re.split(r"[\s,]+", text.strip(" ,"))]), levels)


def listed(table: np.ndarray) -> str:
    """A table as a list of colours, which `from_list` reads again."""
    return ",".join("#" + bytes(row).hex() for row in table)


def colour(text: str) -> Colour:
    """A colour by its CSS name, as `#rrggbb`, `#rgb` or `rrggbb`.

    Raises:
        FractaljaxError: it is none of these.
    """
    from matplotlib.colors import CSS4_COLORS

    digits = str(CSS4_COLORS.get(text.lower(), text)).removeprefix("#")
    if re.fullmatch(r"[0-9a-fA-F]{3}", digits) and text.startswith("#"):
        digits = "".join(2 * d for d in digits)
    if not re.fullmatch(r"[0-9a-fA-F]{6}", digits):
        raise FractaljaxError(
            f"'{text[:40]}' is no colour; allowed are #rrggbb and CSS names such as white, navy"
        )
    red, green, blue = bytes.fromhex(digits)
    return red / 255, green / 255, blue / 255


def rgb(text: str) -> tuple[int, int, int]:
    """A colour as three numbers from 0 to 255; takes what `colour` takes."""
    red, green, blue = (round(255 * c) for c in colour(text))
    return red, green, blue


def _sampled(sampler: Sampler, levels: int) -> np.ndarray:
    found = [sampler(t) for t in np.linspace(0, 1, levels)]
    return np.rint(np.clip(found, 0, 1) * 255).astype(np.uint8)


def _even(colours: list[Colour]) -> Sampler:
    """Colours at equal distances, straight lines between them."""
    table, at = np.array(colours), np.linspace(0, 1, len(colours))
    return lambda t: (
        float(np.interp(t, at, table[:, 0])),
        float(np.interp(t, at, table[:, 1])),
        float(np.interp(t, at, table[:, 2])),
    )


def _lines(text: str, comment: str = "#") -> Lines:
    numbered = enumerate(text.splitlines(), 1)
    return [(i, s.strip()) for i, s in numbered if s.strip() and not s.lstrip().startswith(comment)]


def _numbers(words: list[str], line: int, what: str) -> list[float]:
    try:
        found = [float(word) for word in words]
    except ValueError:
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise FractaljaxError(f", line {line}: expected {what}")
    return found


def _some(colours: list[Colour]) -> Sampler:
    if not colours:
        raise FractaljaxError(": it holds no colour")
    return _even(colours)


def _map(text: str) -> Sampler:
    return _some([_bytes(line, i) for i, line in _lines(text, ";")])


def _gpl(text: str) -> Sampler:
    lines = _lines(text)
    if not lines or lines[0][1] != "GIMP Palette":
        raise FractaljaxError(": a palette begins with the line 'GIMP Palette'")
    said = ("name:", "columns:", "channels:", "type:")
    return _some([_bytes(s, i) for i, s in lines[1:] if not s.lower().startswith(said)])


def _bytes(line: str, number: int) -> Colour:
    what = "red, green and blue from 0 to 255"
    found = _numbers(line.split()[:3], number, what)
    if len(found) < 3 or not all(0 <= v <= 255 for v in found):
        raise FractaljaxError(f", line {number}: expected {what}")
    return found[0] / 255, found[1] / 255, found[2] / 255


def _words(text: str) -> Sampler:
    found = []
    for i, line in enumerate(text.splitlines(), 1):
        for word in re.split(r"[\s,;]+", re.sub(r"//.*|/\*.*?\*/", "", line)):
            try:
                found += [colour(word)] if word else []
            except FractaljaxError as error:
                raise FractaljaxError(f", line {i}: {error}") from None
    return _some(found)


def _ggr(text: str) -> Sampler:
    lines = [(i, s) for i, s in _lines(text) if not s.startswith("Name:")]
    if len(lines) < 3 or lines[0][1] != "GIMP Gradient":
        raise FractaljaxError(": a gradient begins with the line 'GIMP Gradient'")
    what = "left, middle and right end, two colours with alpha, blending and colouring"
    segments = [_numbers(s.split(), i, what) for i, s in lines[2:]]
    for (i, _), segment in zip(lines[2:], segments, strict=True):
        if len(segment) < 13 or not segment[0] <= segment[1] <= segment[2]:
            raise FractaljaxError(f", line {i}: expected {what}")

    def sampler(t: float) -> Colour:
        inside = (s for s in segments if t <= s[2])
        return _segment(next(inside, segments[-1]), t)

    return sampler


def _segment(segment: list[float], t: float) -> Colour:
    """The colour at a place in a segment of a GIMP gradient."""
    left, middle, right = segment[:3]
    blending, colouring = int(segment[11]), int(segment[12])
    ends = [_end(segment[3:6], segment[13:14]), _end(segment[7:10], segment[14:15])]
    width = max(right - left, 1e-12)
    share = _blended(min(max((t - left) / width, 0), 1), (middle - left) / width, blending)
    if colouring == 0:
        return _between(ends[0], ends[1], share)
    (h0, s0, v0), (h1, s1, v1) = (colorsys.rgb_to_hsv(*end) for end in ends)
    turn = (h1 - h0) % 1 if colouring == 1 else -((h0 - h1) % 1)
    _, saturation, value = _between((0, s0, v0), (0, s1, v1), share)
    return colorsys.hsv_to_rgb((h0 + turn * share) % 1, saturation, value)


def _end(stored: list[float], kind: list[float]) -> Colour:
    """A stored colour, or the usual foreground (1, 2: black) or background (3, 4: white)."""
    if kind and kind[0]:
        return (0.0, 0.0, 0.0) if kind[0] <= 2 else (1.0, 1.0, 1.0)
    return stored[0], stored[1], stored[2]


def _blended(place: float, middle: float, blending: int) -> float:
    """How far the second colour has come, after GIMP's six curves."""
    if place <= middle:
        linear = 0.5 * place / middle if middle > 1e-9 else 0.0
    else:
        linear = 0.5 + 0.5 * (place - middle) / (1 - middle) if middle < 1 - 1e-9 else 1.0
    if blending == 1:
        power = math.log(0.5) / math.log(min(max(middle, 1e-9), 1 - 1e-9))
        return place**power
    if blending == 2:
        return (1 - math.cos(math.pi * linear)) / 2
    if blending == 3:
        return math.sqrt(1 - (1 - linear) ** 2)
    if blending == 4:
        return 1 - math.sqrt(1 - linear**2)
    if blending == 5:
        return float(place >= middle)
    return linear


def _between(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def _cpt(text: str) -> Sampler:
    hsv = bool(re.search(r"COLOR_MODEL\s*=\s*\+?HSV", text, re.IGNORECASE))
    segments = list(_cpt_segments(text, hsv))
    if not segments:
        raise FractaljaxError(": it holds no range of colours")
    low, high = segments[0][0], segments[-1][1]
    if not low < high:
        raise FractaljaxError(": its values do not ascend")

    def sampler(t: float) -> Colour:
        z = low + (high - low) * t
        z0, z1, first, second = next((s for s in segments if z <= s[1]), segments[-1])
        mixed = _between(first, second, min(max((z - z0) / (z1 - z0), 0), 1) if z1 > z0 else 0)
        return colorsys.hsv_to_rgb(mixed[0] % 1, mixed[1], mixed[2]) if hsv else mixed

    return sampler


def _cpt_segments(text: str, hsv: bool) -> Iterator[tuple[float, float, Colour, Colour]]:
    """Lower and upper value and their colours, as HSV where the file says so."""
    what = "value, colour, value, colour"
    for i, line in _lines(text):
        words = line.split(";")[0].split()
        if words[0] in ("B", "F", "N"):
            continue
        if len(words) in (5, 9) and words[-1] in ("L", "U", "B"):
            words = words[:-1]
        if len(words) == 8:
            words = [words[0], "/".join(words[1:4]), words[4], "/".join(words[5:])]
        if len(words) != 4:
            raise FractaljaxError(f", line {i}: expected {what} (a continuous table)")
        z0, z1 = _numbers(words[::2], i, what)
        yield z0, z1, _cpt_colour(words[1], i, hsv), _cpt_colour(words[3], i, hsv)


def _cpt_colour(word: str, line: int, hsv: bool) -> Colour:
    parts = word.split("/") if "/" in word else re.findall(r"[\d.]+", word) if hsv else [word]
    if len(parts) == 3:
        a, b, c = _numbers(parts, line, "a colour as three numbers")
        return (a / 360, b, c) if hsv else (a / 255, b / 255, c / 255)
    if re.fullmatch(r"[\d.]+", word) and len(word) <= 5:
        grey = _numbers([word], line, "a grey from 0 to 255")[0] / 255
        return (0.0, 0.0, grey) if hsv else (grey, grey, grey)
    try:
        found = colour(word)
    except FractaljaxError as error:
        raise FractaljaxError(f", line {line}: {error}") from None
    return colorsys.rgb_to_hsv(*found) if hsv else found


FORMATS: dict[str, Callable[[str], Sampler]] = {
    ".ggr": _ggr,
    ".gpl": _gpl,
    ".map": _map,
    ".cpt": _cpt,
    ".txt": _words,
    ".hex": _words,
    ".css": _words,
}
