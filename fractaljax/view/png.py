"""PNG, the little of it that is needed: a writer that streams, and a reader of texts.

Pillow wants the whole picture in memory to write it and refuses to open one of 16384 pixels a
side; here a picture is a stream of row blocks, and its texts are read without decoding a pixel.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

import numpy as np

from fractaljax.errors import FractaljaxError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT = 2**20  # bytes; what claims to be longer is not ours
_LEVEL = 3  # of zlib; 9 takes many times as long to save a few per cent
_SUB = 1  # filter: each byte minus the one of the pixel to the left


def write(
    stream: BinaryIO,
    width: int,
    height: int,
    blocks: Iterable[np.ndarray],
    texts: Mapping[str, str],
    *,
    alpha: bool = False,
) -> None:
    """Writes an 8-bit RGB picture.

    Args:
        stream: anything that takes bytes.
        width, height: of the whole picture.
        blocks: uint8 `[h, width, 3]`, from the top down; their heights add up to `height`.
        texts: keyword -> text; stored as international text (UTF-8), before the pixels.
        alpha: the blocks have a fourth channel, 0 where they are transparent.
    """
    depth = 4 if alpha else 3
    stream.write(SIGNATURE)
    _chunk(stream, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6 if alpha else 2, 0, 0, 0))
    for keyword, text in texts.items():
        _chunk(stream, b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode())
    deflate = zlib.compressobj(_LEVEL)
    for block in blocks:
        lines = np.empty((len(block), 1 + depth * width), np.uint8)
        lines[:, 0] = _SUB
        flat = block.reshape(len(block), depth * width)
        lines[:, 1 : 1 + depth] = flat[:, :depth]
        # modulo 256, as the filter wants
        np.subtract(flat[:, depth:], flat[:, :-depth], out=lines[:, 1 + depth :])
        _chunk(stream, b"IDAT", deflate.compress(lines.data))
    _chunk(stream, b"IDAT", deflate.flush())
    _chunk(stream, b"IEND", b"")


def _chunk(stream: BinaryIO, kind: bytes, body: bytes) -> None:
    stream.write(struct.pack(">I", len(body)) + kind)
    stream.write(body)
    stream.write(struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))))


def texts(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    """Keyword and text of every international text chunk, pixels skipped.

    Raises:
        FractaljaxError: this is no PNG, or it is cut off or damaged.
    """
    if stream.read(8) != SIGNATURE:
        raise FractaljaxError("not a PNG file")
    while True:
        head = stream.read(8)
        if len(head) < 8:
            raise FractaljaxError("the PNG file is cut off")
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        if kind != b"iTXt" or length > MAX_TEXT:
            stream.seek(length + 4, 1)
            continue
        body, check = stream.read(length), stream.read(4)
        if check != struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))):
            raise FractaljaxError("the PNG file is damaged: a text fails its checksum")
        yield _text(body)


def _text(body: bytes) -> tuple[str, str]:
    """Keyword and text of one chunk; an editor may have compressed it since we wrote it."""
    try:
        keyword, rest = body.split(b"\0", 1)
        packed, (_, _, text) = rest[0], rest[2:].split(b"\0", 2)
        if packed:
            inflate = zlib.decompressobj()
            text = inflate.decompress(text, MAX_TEXT)
            if not inflate.eof:
                raise FractaljaxError(f"a text of the PNG file is longer than {MAX_TEXT} bytes")
        return keyword.decode("latin-1"), text.decode()
    except FractaljaxError:
        raise
    except (IndexError, ValueError, zlib.error):
        raise FractaljaxError("the PNG file is damaged: a text cannot be read") from None
