"""Frames to a file, through an ffmpeg process of its own: it may crash, and keeps its memory.

A video is encoded in segments, each a file that is there whole or not at all, and joined: without
encoding again where the codec allows it, else from segments that lost nothing.
"""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fractaljax.errors import FractaljaxError, unknown

EXECUTABLE = "IMAGEIO_FFMPEG_EXE"  # environment variable; the package imageio-ffmpeg reads it too
_HD = "bt709"  # what players assume of a video of this size; ffmpeg alone would write another
_EXACT = "accurate_rnd+full_chroma_int+bicubic"  # of the way from RGB


class Codec(NamedTuple):
    """How frames are encoded.

    Args:
        suffixes: file names it goes into; the first is the default.
        encode: arguments of ffmpeg for a segment.
        join: arguments that make the whole of the segments.
        even: whether both sides must be even.
        side, fps: the largest that the format takes.
        players: what plays it, for people.
    """

    suffixes: tuple[str, ...]
    encode: tuple[str, ...]
    join: tuple[str, ...]
    even: bool
    side: int
    fps: float
    players: str

    @property
    def segment(self) -> str:
        """Suffix of a segment: ffmpeg 5.1 puts FFV1 into MOV and not into MP4."""
        return ".mov" if self.encode == _LOSSLESS else ".mp4"


def _yuv(pixels: str, *encoder: str) -> tuple[str, ...]:
    scale = f"scale=out_color_matrix={_HD}:out_range=tv:flags={_EXACT}"
    tags = f"setparams=range=tv:colorspace={_HD}:color_primaries={_HD}:color_trc={_HD}"
    return ("-vf", f"{scale},format={pixels},{tags}", *encoder)


_LOSSLESS = ("-c:v", "ffv1", "-level", "3", "-g", "1", "-pix_fmt", "gbrp")
_COPY = ("-c", "copy")
_START = (*_COPY, "-movflags", "+faststart")
_X264 = _yuv("yuv420p", "-c:v", "libx264", "-preset", "medium", "-crf", "18")
_X265 = _yuv("yuv420p10le", "-c:v", "libx265", "-preset", "medium", "-crf", "20", "-tag:v", "hvc1")
_AV1 = _yuv("yuv420p10le", "-c:v", "libsvtav1", "-preset", "8", "-crf", "24")
_GIF = (  # a palette a frame: one for all would need all frames at once
    "-filter_complex",
    "[0:v]split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=bayer",
    "-loop",
    "0",
)
_WEBP = ("-c:v", "libwebp_anim", "-quality", "85", "-loop", "0")
CODECS = {
    "x264": Codec((".mp4", ".mkv"), _X264, _START, True, 16384, 1000, "everything"),
    "x265": Codec((".mp4", ".mkv"), _X265, _START, True, 8192, 1000, "Safari, players"),
    "av1": Codec((".mp4", ".mkv"), _AV1, _START, True, 16384, 1000, "new browsers"),
    "ffv1": Codec((".mkv",), _LOSSLESS, _COPY, False, 32768, 1000, "lossless, for editing"),
    "gif": Codec((".gif",), _LOSSLESS, _GIF, False, 65535, 50, "everything; small ones"),
    "webp": Codec((".webp",), _LOSSLESS, _WEBP, False, 16383, 1000, "browsers; small ones"),
}


def chosen(path: Path, codec: str | None) -> str:
    """The codec of a file: the given one, or the first that its suffix goes with.

    Raises:
        FractaljaxError: there is no such codec, or it does not go into such a file.
    """
    suffix = path.suffix.lower()
    if codec is None:
        known = {s: name for name, c in reversed(CODECS.items()) for s in c.suffixes}
        if suffix not in known:
            raise unknown(f"kind of video in {path}:", suffix, known)
        return known[suffix]
    if codec not in CODECS:
        raise unknown("codec", codec, CODECS)
    if suffix not in CODECS[codec].suffixes:
        allowed = " or ".join(CODECS[codec].suffixes)
        raise FractaljaxError(f"{path}: the codec {codec} goes into a file named {allowed}")
    return codec


def ffmpeg() -> str:
    """The program: what the environment names, else what is on the PATH, else the extra's own.

    Raises:
        FractaljaxError: there is none.
    """
    if given := os.environ.get(EXECUTABLE):
        if shutil.which(given) is None:
            raise FractaljaxError(f"{EXECUTABLE}={given}: there is no such program")
        return given
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        raise FractaljaxError(
            "a video needs ffmpeg, which the extra brings: pip install 'fractaljax[video]'"
        ) from None


def encode(
    path: Path, frames: Iterable[np.ndarray], size: tuple[int, int], fps: float, codec: Codec
) -> None:
    """Writes one segment; memory holds one frame.

    Args:
        path: where it goes; it appears whole or not at all.
        frames: uint8 `[height, width, 3]`.
        size: width and height.
        fps: frames a second.
        codec: how.

    Raises:
        FractaljaxError: ffmpeg failed; says its first line, which is the cause of the others.
    """
    width, height = size
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:.12g}"]
    _run(path, [*raw, "-i", "pipe:0", *codec.encode], frames)


def join(path: Path, segments: Sequence[Path], codec: Codec, notes: Mapping[str, object]) -> None:
    """Writes the whole video from its segments, with notes as JSON in the comment.

    Raises:
        FractaljaxError: ffmpeg failed; says its first line, which is the cause of the others.
    """
    comment = ["-metadata", f"comment={json.dumps(notes)}"]
    try:
        with tempfile.NamedTemporaryFile("w", dir=segments[0].parent, suffix=".part.txt") as listed:
            listed.writelines(f"file '{segment.name}'\n" for segment in segments)
            listed.flush()
            _run(path, ["-f", "concat", "-i", f"file:{listed.name}", *codec.join, *comment], ())
    except OSError as error:
        raise FractaljaxError(f"{path} cannot be written: {error.strerror or error}") from None


def _run(path: Path, arguments: Sequence[str], frames: Iterable[np.ndarray]) -> None:
    """Runs ffmpeg, fed with frames, on a draft that then becomes `path`."""
    draft = path.with_name(f"{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    command = [ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y"]
    try:
        with tempfile.TemporaryFile() as said:  # not a pipe: nobody would read while frames flow
            # a session of its own: Ctrl-C is for us, who end it in order
            process = subprocess.Popen(
                [*command, *arguments, f"file:{draft}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
            try:
                broken = _feed(process, frames)
                failed = process.wait() != 0 or broken
            finally:
                process.kill()
                process.wait()
            if failed:
                said.seek(0)
                lines = said.read().decode(errors="replace").splitlines()
                told = [t for line in lines if (t := line.strip()) and t != "Conversion failed!"]
                cause = told[0] if told else f"status {process.returncode}"
                raise FractaljaxError(f"{path}: ffmpeg failed: {cause}")
        with draft.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise FractaljaxError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        draft.unlink(missing_ok=True)


def _feed(process: subprocess.Popen[bytes], frames: Iterable[np.ndarray]) -> bool:
    """Hands over all frames; whether ffmpeg stopped taking them."""
    assert process.stdin is not None
    try:
        with process.stdin:
            for frame in frames:
                process.stdin.write(np.ascontiguousarray(frame).data)
    except BrokenPipeError:
        return True
    return False
