"""TIFF: directories that run in circles, tags that lie, XML that explodes or asks elsewhere; and stacks of such."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tifffile

from tests.hostile import Case, Cases, Ground

VALUES = np.zeros((4, 32, 32), np.uint8)
SHORT, LONG, LONG8 = 3, 4, 16
TAGS: dict[str, dict[int, tuple[int, int]]] = {
    # of 256 width, 257 length, 258 bits, 259 compression, 262 photometric, 273 offset, 277 samples, 278 rows, 279 bytes
    "billions of columns": {256: (LONG, 2**32 - 1)},
    "billions of rows": {257: (LONG, 2**32 - 1)},
    "billions of both": {256: (LONG, 2**32 - 1), 257: (LONG, 2**32 - 1)},
    "no columns": {256: (LONG, 0)},
    "no rows": {257: (LONG, 0)},
    "no bits": {258: (SHORT, 0)},
    "7 bits": {258: (SHORT, 7)},
    "65535 bits": {258: (SHORT, 65535)},
    "an unknown compression": {259: (SHORT, 54321)},
    "LZW of noise": {259: (SHORT, 5)},
    "JPEG of noise": {259: (SHORT, 7)},
    "JPEG 2000 of noise": {259: (SHORT, 34712)},
    "JPEG XL of noise": {259: (SHORT, 50002)},
    "WebP of noise": {259: (SHORT, 50001)},
    "LERC of noise": {259: (SHORT, 34887)},
    "zstd of noise": {259: (SHORT, 50000)},
    "LZMA of noise": {259: (SHORT, 34925)},
    "fax of noise": {259: (SHORT, 4)},
    "PackBits of noise": {259: (SHORT, 32773)},
    "ThunderScan of noise": {259: (SHORT, 32809)},
    "deflate of noise": {259: (SHORT, 8)},
    "pixels behind the end": {273: (LONG, 2**31)},
    "pixels in the header": {273: (LONG, 0)},
    "no samples": {277: (SHORT, 0)},
    "65535 samples": {277: (SHORT, 65535)},
    "strips of no rows": {278: (LONG, 0)},
    "more bytes than there are": {279: (LONG, 2**32 - 1)},
    "no bytes": {279: (LONG, 0)},
    "tiles of nothing": {322: (LONG, 0), 323: (LONG, 0)},
    "tiles of billions": {322: (LONG, 2**32 - 16), 323: (LONG, 2**32 - 16)},
    "a predictor of no kind": {317: (SHORT, 999)},
    "values of no kind": {339: (SHORT, 99)},
    "a resolution elsewhere": {282: (5, 2**31), 283: (5, 2**31)},
    "pages inside that are itself": {330: (LONG, 8)},
}
LAUGHS = "".join(f'<!ENTITY l{n} "{"".join(f"&l{n - 1};" for _ in range(10))}">' for n in range(1, 10))
PIXELS = '<Pixels Type="uint8" SizeX="32" SizeY="32" SizeZ="4" SizeC="1" SizeT="1" DimensionOrder="XYZCT">{}</Pixels>'
IMAGE = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">{}</Image></OME>'
UUID = "urn:uuid:11111111-1111-1111-1111-111111111111"
OTHER = f'<TiffData IFD="0" PlaneCount="4"><UUID FileName="{{}}">{UUID}</UUID></TiffData>'
XML = {
    "a billion laughs": f'<!DOCTYPE l [<!ENTITY l0 "lol">{LAUGHS}]>' + IMAGE.format("&l9;"),
    "a secret as entity": '<!DOCTYPE l [<!ENTITY s SYSTEM "file:///etc/passwd">]>' + IMAGE.format("&s;"),
    "an entity of a host": '<!DOCTYPE l [<!ENTITY s SYSTEM "http://169.254.169.254/">]>' + IMAGE.format("&s;"),
    "a grammar elsewhere": '<!DOCTYPE OME SYSTEM "http://169.254.169.254/a.dtd">' + IMAGE.format(PIXELS.format("")),
    "pixels in a secret": IMAGE.format(PIXELS.format(OTHER.format("../../outside/secret.tif"))),
    "pixels in the passwords": IMAGE.format(PIXELS.format(OTHER.format("/etc/passwd"))),
    "pixels at a host": IMAGE.format(PIXELS.format(OTHER.format("http://169.254.169.254/a.tif"))),
    "billions of slices": IMAGE.format(PIXELS.replace('SizeZ="4"', 'SizeZ="999999999"').format("<TiffData/>")),
    "negative slices": IMAGE.format(PIXELS.replace('SizeZ="4"', 'SizeZ="-4"').format("<TiffData/>")),
    "slices of text": IMAGE.format(PIXELS.replace('SizeZ="4"', 'SizeZ="many"').format("<TiffData/>")),
    "pages beyond the end": IMAGE.format(PIXELS.format('<TiffData IFD="999999" PlaneCount="999999"/>')),
    "endless nesting": "<OME>" * 20_000,
    "half of it": IMAGE[:60],
}


def cases(at: Ground) -> Cases:
    """All of them."""
    for name, tags in TAGS.items():
        yield Case(f"TIFF with {name}", _raw(at, classic(tags)))
    for name, xml in XML.items():
        path = at.place("a.ome.tif")
        tifffile.imwrite(path, VALUES, photometric="minisblack", description=xml.encode(), metadata=None)
        yield Case(f"OME with {name}", str(path))
    for name, said in {
        "billions of slices": "ImageJ=1.53\nimages=999999999\nslices=999999999\nhyperstack=true\n",
        "a spacing of text": "ImageJ=1.53\nimages=4\nslices=4\nunit=__import__\nspacing=many\n",
        "a loop": "ImageJ=1.53\nimages=-1\nframes=0\n",
    }.items():
        path = at.place("a.tif")
        tifffile.imwrite(path, VALUES, photometric="minisblack", description=said, metadata=None)
        yield Case(f"ImageJ with {name}", str(path))
    for name, said in {"a petabyte": '{"shape": [1000000, 1000000, 1000]}', "half of it": '{"shape": ['}.items():
        path = at.place("a.tif")
        tifffile.imwrite(path, VALUES, photometric="minisblack", description=said, metadata=None)
        yield Case(f"a shape of {name}", str(path))
    yield from _raws(at)
    yield from _bombs(at)
    yield from _stacks(at)


def classic(
    changes: Mapping[int, tuple[int, int]] | None = None, following: int = 0, data: bytes = b"\x55" * 1024
) -> bytes:
    """One page of 32 x 32 bytes, with some tags otherwise."""
    tags: dict[int, tuple[int, int]] = {
        256: (LONG, 32), 257: (LONG, 32), 258: (SHORT, 8), 259: (SHORT, 1), 262: (SHORT, 1), 273: (LONG, 512),
        277: (SHORT, 1), 278: (LONG, 32), 279: (LONG, len(data)),
    }  # fmt: skip
    if changes and 322 in changes:
        tags |= {324: tags.pop(273), 325: tags.pop(279)}
    tags |= changes or {}
    listed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in sorted(tags.items()))
    page = struct.pack("<H", len(tags)) + listed + struct.pack("<I", following)
    return (b"II*\0" + struct.pack("<I", 8) + page).ljust(512, b"\0") + data


def _raw(at: Ground, content: bytes, name: str = "a.tif") -> str:
    path = at.place(name)
    path.write_bytes(content)
    return str(path)


def _raws(at: Ground) -> Cases:
    whole = classic()
    contents = {
        "without pages": b"II*\0" + struct.pack("<I", 0),
        "whose page is its header": b"II*\0" + struct.pack("<I", 0) + b"\0" * 64,
        "whose page lies behind its end": b"II*\0" + struct.pack("<I", 2**31),
        "whose page follows itself": classic(following=8),
        "whose page follows in the middle of itself": classic(following=10),
        "with 65535 tags": b"II*\0" + struct.pack("<IH", 8, 65535) + b"\xff" * 3000,
        "of half a page": whole[:60],
        "of the other byte order": b"MM" + whole[2:],
        "of no byte order": b"XX" + whole[2:],
        "that is big and beyond all": b"II+\0" + struct.pack("<HHQ", 8, 0, 2**63),
        "that is big with many tags": b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2**62) + b"\xff" * 100,
        "that is big with an odd offset": b"II+\0" + struct.pack("<HHQ", 255, 9, 16) + b"\0" * 100,
        "of noise": b"II*\0" + os.urandom(4000),
        "of nothing": b"",
        "of a pickle": b"cos\nsystem\n(S'touch " + os.fsencode(at.canary) + b"'\ntR.",
    }
    for name, content in contents.items():
        yield Case(f"TIFF {name}", _raw(at, content))
    chain = b"II*\0" + struct.pack("<I", 8)
    for number in range(60_000):  # as many pages without anything in them
        chain += struct.pack("<HI", 0, 8 + 6 * (number + 1))
    yield Case("TIFF of endless pages", _raw(at, chain))
    yield Case("a link to a secret TIFF", _link(at, at.outside / "secret.tif"))


def _bombs(at: Ground) -> Cases:
    bomb = zlib.compress(bytes(1 << 28), 9)
    yield Case("TIFF of a bomb", _raw(at, classic({259: (SHORT, 8)}, data=bomb)))
    side = {256: (LONG, 60_000), 257: (LONG, 60_000), 278: (LONG, 60_000), 259: (SHORT, 8)}
    yield Case("TIFF of a bomb as large as it says", _raw(at, classic(side, data=bomb)))


def _stacks(at: Ground) -> Cases:
    def stack(odd: str) -> Path:
        folder = at.place("stack")
        folder.mkdir()
        for number in range(4):
            tifffile.imwrite(folder / f"s_{number}.tif", VALUES[0], photometric="minisblack")
        (folder / odd).unlink(missing_ok=True)
        return folder

    linked = stack("s_2.tif")
    (linked / "s_2.tif").symlink_to(at.outside / "secret.tif")
    yield Case("a stack with a link to a secret", str(linked))
    yield Case("a pattern with a link to a secret", str(linked / "s_*.tif"))
    pipe = stack("s_1.tif")
    os.mkfifo(pipe / "s_1.tif")
    yield Case("a stack with a pipe", str(pipe))
    wide = stack("s_3.tif")
    (wide / "s_3.tif").write_bytes(classic({256: (LONG, 2**32 - 1)}))
    yield Case("a stack with a slice of billions", str(wide))
    folder = stack("s_2.tif")
    (folder / "s_2.tif").mkdir()
    yield Case("a stack with a folder", str(folder))
    yield Case("a pattern that climbs", str(at.folder / "*" / ".." / ".." / "outside" / "*.tif"))
    yield Case("a pattern in a secret folder", str(at.outside / "*.tif"))
    yield Case("a pattern of stars", str(folder / ("*" * 200 + "a.tif")))
    yield Case("a pattern of brackets", str(folder / ("[" * 200 + ".tif")))
    outside = at.place("stack")
    outside.symlink_to(at.outside)
    yield Case("a linked folder as a stack", str(outside))


def _link(at: Ground, target: Path) -> str:
    path = at.place("a.tif")
    path.symlink_to(target)
    return str(path)
