"""The texts in a PNG file, read in bounded time and memory whatever the file is."""

import io
import struct
import zlib

import pytest
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from gallery import metadata
from gallery.metadata import MAX_TEXT, png_texts
from tests import factories

END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def png(*chunks, before_end=()):
    whole = factories.png()
    assert whole.endswith(END)
    head = whole[:33]  # signature and IHDR
    return head + b"".join(chunks) + whole[33 : -len(END)] + b"".join(before_end) + END


def chunk(kind, content, size=None):
    size = len(content) if size is None else size
    return struct.pack(">I4s", size, kind) + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.fixture
def read(tmp_path):
    def read(content):
        (tmp_path / "file").write_bytes(content)
        return png_texts(tmp_path / "file")

    return read


def test_texts_of_all_kinds_are_read_before_and_behind_the_picture(read):
    packed = zlib.compress("dichtgepäckt".encode("latin-1"))
    texts = read(
        png(
            chunk(b"tEXt", b"parameters\0a cat\nSteps: 4"),
            chunk(b"zTXt", b"packed\0\0" + packed),
            before_end=(
                chunk(b"iTXt", b"late\0\0\0de\0sp\0" + "☕ spät".encode()),
                chunk(b"iTXt", b"late and packed\0\1\0\0\0" + zlib.compress("☕".encode())),
            ),
        )
    )
    assert texts.by_keyword == {
        "parameters": "a cat\nSteps: 4",
        "packed": "dichtgepäckt",
        "late": "☕ spät",
        "late and packed": "☕",
    }
    assert texts.complete


def test_what_pillow_writes_is_read(read):
    info = PngInfo()
    info.add_text("parameters", "ein Fuß ☕")
    info.add_itxt("a", "b", zip=True)
    info.add_text("c", "d" * 100, zip=True)
    stream = io.BytesIO()
    Pillow.new("RGB", (64, 64)).save(stream, "PNG", pnginfo=info)
    texts = read(stream.getvalue())
    assert texts.by_keyword == {"parameters": "ein Fuß ☕", "a": "b", "c": "d" * 100}
    assert texts.complete


@pytest.mark.parametrize(
    "odd",
    [
        chunk(b"tEXt", b"no end"),
        chunk(b"zTXt", b"k\0\0 not packed"),
        chunk(b"zTXt", b"no end"),
        chunk(b"iTXt", b"k\0\0\0only one part"),
        chunk(b"iTXt", b"k\0\1\0\0\0 not packed"),
        chunk(b"iTXt", b""),
        chunk(b"tEXt", b"good\0twice"),
    ],
)
def test_a_text_that_can_not_be_read_is_left_out_and_that_is_said(read, odd):
    texts = read(png(chunk(b"tEXt", b"good\0text"), odd, chunk(b"tEXt", b"other\0")))
    assert texts.by_keyword == {"good": "text", "other": ""}
    assert not texts.complete


@pytest.mark.parametrize(
    "long",
    [
        chunk(b"tEXt", b"k\0" + b"x" * (10 * MAX_TEXT)),
        chunk(b"zTXt", b"k\0\0" + zlib.compress(b"x" * (1000 * MAX_TEXT))),
        chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress("é".encode() * MAX_TEXT)),
    ],
    ids=["plain", "bomb", "letters of two bytes"],
)
def test_a_long_text_is_cut_and_that_is_said(read, long):
    texts = read(png(long, chunk(b"tEXt", b"other\0y")))
    assert set(texts.by_keyword) == {"k", "other"}
    assert MAX_TEXT // 2 <= len(texts.by_keyword["k"]) <= MAX_TEXT
    assert texts.by_keyword["other"] == "y"
    assert not texts.complete


def test_many_texts_are_cut_by_number_and_in_all(read):
    texts = read(png(*(chunk(b"tEXt", b"k%d\0x" % n) for n in range(100))))
    assert (len(texts.by_keyword), texts.complete) == (metadata.MAX_TEXTS, False)
    texts = read(png(*(chunk(b"tEXt", b"k%d\0" % n + b"x" * 200_000) for n in range(10))))
    assert sum(map(len, texts.by_keyword.values())) == metadata.MAX_TOTAL
    assert not texts.complete


def test_endless_chunks_are_not_walked_to_the_end(read, monkeypatch):
    monkeypatch.setattr(metadata, "_MAX_CHUNKS", 10)
    assert read(png(chunk(b"tEXt", b"k\0x"), chunk(b"abCd", b"") * 20)).by_keyword == {"k": "x"}


@pytest.mark.parametrize("length", range(33, 70, 3))
def test_a_file_that_ends_too_early_yields_what_it_has(read, length):
    texts = read(png(chunk(b"tEXt", b"k\0text"))[:length])
    assert not texts.complete
    assert set(texts.by_keyword) <= {"k"}


def test_what_is_no_png_has_none(read):
    for content in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a"):
        assert read(content).by_keyword == {}


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        png_texts(tmp_path / "none")
