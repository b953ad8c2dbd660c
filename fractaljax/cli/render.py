"""The verb `render`: a stored field, or a whole zoom, as a picture of any form."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractaljax.errors import FractaljaxError, unknown

if TYPE_CHECKING:
    from fractaljax.field import Field
    from fractaljax.view.contour import Line

RENDER = """examples:
  fractaljax render outputs/tanh/overview/... --cmap viridis
  fractaljax render outputs/tanh/overview/... --reading status --figure --out status.png
  fractaljax render outputs/tanh/overview/... --aa 3 --cmap sunset.ggr --contour black:1.5
  fractaljax render outputs/tanh/overview/... --out poster.tif
  fractaljax render outputs/zooms/...                     a contact sheet of all levels
  fractaljax render outputs/zooms/... --level 7 --figure

The end of --out decides the form: .png a picture, .tif a BigTIFF with smaller copies inside, .dzi
a Deep Zoom image, .svg the boundary alone as paths, no suffix a folder of z/x/y tiles; with
--figure and for a zoom .png, .pdf or .svg. --aa trains the sub-samples of pixels that differ from
a neighbour and keeps them in DIR/aaN; nothing else here trains."""
FIGURES = (".png", ".pdf", ".svg")
FORMS = (".png", ".tif", ".tiff", ".dzi", ".svg", "")


def render(arguments: argparse.Namespace) -> int:
    """Draws a stored field or a zoom again."""
    from fractaljax import config, store
    from fractaljax.store.zooms import read_plan
    from fractaljax.view import contour

    config.load_plugins(arguments.plugin)
    line = None if arguments.contour is None else contour.line(arguments.contour)
    look = {key: getattr(arguments, key) for key in ("reading", "cmap", "stretch")}
    look = {key: value for key, value in look.items() if value is not None}
    folder = Path(arguments.dir)
    if read_plan(folder) is not None and arguments.level is None:
        return _sheet(folder, arguments, {**look, "contour": line})
    if arguments.level is not None:
        folder = _level(folder, arguments.level)
    field = store.open_field(folder)
    out = _place(folder, arguments)
    save = _writer(field, out, arguments, line)
    _check(field, out, line, **look)
    fine = None if arguments.aa is None else _supersampled(field, folder, arguments.aa)
    save(field, out, look, fine, line)
    print(out)
    return 0


def add_render(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    add = parser.add_argument
    add("dir", metavar="DIR", help="folder of a result or of a zoom")
    add("--reading", metavar="NAME", help="which array (default: the first)")
    cmap = "colour map, gradient file (.ggr .gpl .map .cpt .txt) or colours: navy,white,#ff8800"
    add("--cmap", metavar="NAME|FILE", help=f"{cmap} (default: Spectral)")
    add("--stretch", choices=("rank", "linear", "log"))
    add("--aa", type=int, metavar="N", help="antialias: N x N trained samples a pixel, 2 to 8")
    text = "draw the boundary between converged and not (default: black:1)"
    add("--contour", nargs="?", const="black", metavar="COLOUR[:WIDTH]", help=text)
    add("--figure", action="store_true", help="with axes, title, colour bar and statistics")
    add("--level", type=int, metavar="K", help="one level of a zoom")
    text = "FILE.png .tif .dzi .svg, or a folder for z/x/y tiles (default: image.png in DIR)"
    add("--out", metavar="FILE|FOLDER", help=text)


def _place(folder: Path, arguments: argparse.Namespace) -> Path:
    """Where the picture goes; refuses a form that does not exist."""
    default = folder / ("figure.png" if arguments.figure else "image.png")
    out = Path(arguments.out) if arguments.out else default
    known = FIGURES if arguments.figure else FORMS
    if out.suffix.lower() not in known:
        raise unknown(f"form of picture in {out}:", out.suffix, (k for k in known if k))
    return out


def _writer(
    field: "Field", out: Path, arguments: argparse.Namespace, line: "Line | None"
) -> Callable[..., None]:
    """What writes this form, `(field, path, look, fine, contour)`; refuses what cannot be done
    before anything is trained or read."""
    from fractaljax.view import pyramid, tiff

    suffix = out.suffix.lower()
    if arguments.aa is not None:
        from fractaljax.families import antialias

        antialias.check(field, arguments.aa)
    if arguments.figure:
        return _save_figure
    if suffix == ".png":
        return _save_image
    if suffix == ".svg":
        if arguments.aa is not None or arguments.cmap or arguments.stretch or arguments.reading:
            raise FractaljaxError(f"{out}: an outline takes --contour only (or give --figure)")
        return lambda field, path, look, fine, line: _outline(field, path, line)
    if suffix in tiff.SUFFIXES:
        tiff.module()
        return _streamed(tiff.save_tiff)
    if suffix == ".dzi":
        pyramid.check_dzi(out)
        return _streamed(pyramid.save_dzi)
    pyramid.check_free(out)
    return _streamed(pyramid.save_xyz)


def _check(
    field: "Field",
    out: Path,
    line: "Line | None",
    reading: str | None = None,
    cmap: str = "Spectral",
    stretch: str = "rank",
) -> None:
    """Raises for names that nobody knows and places that do not exist."""
    from fractaljax.view import colours, contour, picture

    picture.named(field, reading)
    colours.table(cmap)
    if line is not None:
        contour.told_by(field)
    if not out.parent.is_dir():
        raise FractaljaxError(f"{out} cannot be written: there is no folder {out.parent}")


def _save_figure(field: "Field", path: Path, look: dict, fine: Any, line: Any) -> None:
    from fractaljax.view.figure import save_figure

    save_figure(field, path, **look, fine=fine, contour=line)


def _save_image(field: "Field", path: Path, look: dict, fine: Any, line: Any) -> None:
    from fractaljax.view.image import save_image

    save_image(field, path, **look, fine=fine, contour=line)


def _outline(field: "Field", path: Path, line: "Line | None") -> None:
    from fractaljax.view.contour import save_outline

    save_outline(field, path, line)


def _streamed(save: Callable[..., None]) -> Callable[..., None]:
    """A writer of paintings as one of fields."""
    from fractaljax.view.painting import paint

    def write(field: "Field", path: Path, look: dict, fine: Any, line: Any) -> None:
        save(paint(field, **look, fine=fine, contour=line), path)

    return write


def _supersampled(field: "Field", folder: Path, n: int) -> "Field":
    from fractaljax.cli.progress import Reporter
    from fractaljax.families import antialias, fractal

    fractal.prepare(field.spec.dtype)
    with Reporter(f"{n} x {n} samples a pixel") as reporter:
        return antialias.supersample(field, n, store=folder / f"aa{n}", on_tile=reporter.on_tile)


def _level(folder: Path, level: int) -> Path:
    """The folder of one level of a zoom."""
    from fractaljax.store.zooms import level_folder, read_plan

    plan = read_plan(folder)
    if plan is None:
        raise FractaljaxError(f"--level {level}: {folder} holds no zoom")
    if not 0 <= level < plan["levels"]:
        raise FractaljaxError(f"--level {level}: this zoom has levels 0 to {plan['levels'] - 1}")
    return level_folder(folder, level)


def _sheet(folder: Path, arguments: argparse.Namespace, look: dict[str, Any]) -> int:
    """Draws the contact sheet of a zoom."""
    from fractaljax.store import open_zoom
    from fractaljax.view.sheet import save_sheet

    if arguments.aa is not None or arguments.figure:
        raise FractaljaxError("a contact sheet takes neither --aa nor --figure; give --level K")
    out = Path(arguments.out) if arguments.out else folder / "sheet.png"
    save_sheet(open_zoom(folder), out, **look)
    print(out)
    return 0
