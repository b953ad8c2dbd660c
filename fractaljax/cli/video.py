"""The verb `video`: a zoom as a film."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fractaljax.cli.progress import Gauge, duration

if TYPE_CHECKING:
    from fractaljax.view.video import Progress

VIDEO = """examples:
  fractaljax video outputs/zooms/... --labels
  fractaljax video outputs/zooms/... --size 4k --fps 60 --codec av1
  fractaljax video outputs/zooms/... --size 480 --fps 15 --out small.gif

Constant speed from the widest level to the deepest; the first and the last frame stand still for a
second. The end of --out decides the form: .mp4 (plays in every browser), .mkv, .gif or .webp. A
frame shows the widest part around the centre that has its shape. Levels of at least twice as many
samples as a frame has pixels along its longer side give frames that are sharp everywhere.
The same command goes on where an earlier one stopped."""


def video(arguments: argparse.Namespace) -> int:
    """Writes a zoom as a video."""
    from fractaljax import config, store
    from fractaljax.errors import unknown
    from fractaljax.view.encode import CODECS
    from fractaljax.view.video import save_video

    config.load_plugins(arguments.plugin)
    if arguments.codec is not None and arguments.codec not in CODECS:
        raise unknown("codec", arguments.codec, CODECS)
    zoom = store.open_zoom(arguments.dir)
    suffix = CODECS[arguments.codec or "x264"].suffixes[0]
    out = Path(arguments.out) if arguments.out else Path(arguments.dir) / f"video{suffix}"
    names = ("fps", "seconds_per_level", "size", "codec", "reading", "cmap", "stretch", "labels")
    given = {name: getattr(arguments, name) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    with Gauge(out.name, "reading") as gauge:

        def on_frame(progress: "Progress") -> None:
            rate = progress.frames / max(progress.seconds, 1e-9)
            note = f"{rate:.1f} frames/s, {duration(progress.left / rate)} left"
            gauge.show(progress.total - progress.left, progress.total, note)

        save_video(zoom, out, **given, on_frame=on_frame)
    print(out)
    return 0


def add_video(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    add = parser.add_argument
    add("dir", metavar="DIR", help="folder of a zoom")
    add("--fps", type=float, metavar="N", help="frames a second (default: 30)")
    speed = "time from one level to the next (default: 1.5)"
    add("--seconds-per-level", type=float, metavar="S", help=speed)
    size = "720p, 1080p (the default), 1440p, 4k, 8k, N for a square, or WxH"
    add("--size", metavar="SIZE", help=size)
    add("--codec", metavar="NAME", help="x264, x265, av1, ffv1, gif or webp (default: by --out)")
    add("--labels", action="store_true", help="with axes, their digits, and the depth")
    add("--reading", metavar="NAME", help="which array (default: the first)")
    add("--cmap", metavar="NAME", help="colour map (default: Spectral)")
    add("--stretch", choices=("rank", "linear", "log"))
    add("--out", metavar="FILE", help="default: video.mp4 in DIR")
