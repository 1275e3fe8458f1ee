"""Pictures in untrusted uploads: which are rejected, what they cost, and which data is kept."""

import io
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image, ImageCms, PngImagePlugin

from s3kit.uploads import images

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RED, GREEN, BLUE, WHITE = (220, 20, 20), (20, 200, 20), (20, 20, 220), (250, 250, 250)


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def plain(mode: str = "RGB", size: tuple[int, int] = (64, 48), color: Any = RED) -> Image.Image:
    return Image.new(mode, size, color)


def noise() -> Image.Image:
    """Return an incompressible picture, so that half of the file contains half of the picture."""
    return Image.effect_noise((200, 150), 90).convert("RGB")


def jpeg_header(width: int, height: int) -> bytes:
    """Return a JPEG that claims a size but has almost no pixel data, which is valid in a JPEG."""
    small = encoded(plain(), "JPEG")
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + struct.pack(">HH", height, width) + small[at + 4 :]


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size but has no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return start + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def clean(data: bytes, name: str = "photo.jpg", content_type: str = "image/jpeg") -> ContentFile:
    return images.clean_picture(SimpleUploadedFile(name, data, content_type=content_type))


def image_of(file: ContentFile) -> Image.Image:
    file.seek(0)
    image = Image.open(io.BytesIO(file.read()))
    image.load()
    return image


BAD = {
    "script": (b"#!/bin/sh\necho hello\n", "script.png", images.NOT_A_PICTURE),
    "html": (b"<!doctype html><script>alert(1)</script>", "page.jpg", images.NOT_A_PICTURE),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "drawing.svg", images.NOT_A_PICTURE),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a.jpg", images.NOT_A_PICTURE),
    "tiff": (encoded(plain(), "TIFF"), "photo.jpg", images.NOT_A_PICTURE),
    "bmp": (encoded(plain(), "BMP"), "photo.jpg", images.NOT_A_PICTURE),
    "signature only": (b"\x89PNG\r\n\x1a\n", "photo.png", images.NOT_A_PICTURE),
    "too large": (b"\xff" * (images.MAX_BYTES + 1), "photo.jpg", "too large (10.0\xa0MB)"),
    "too many pixels": (png_header(5_001, 5_000), "photo.png", "too many pixels. The limit is 25 mega"),
    "too many pixels in a jpeg": (
        jpeg_header(10_001, 5_000),
        "photo.jpg",
        "too many pixels. The limit is 50 mega",
    ),
    "as many pixels as allowed, but damaged": (png_header(5_000, 5_000), "photo.png", images.DAMAGED),
    "a bomb that Pillow warns of": (png_header(12_000, 10_000), "photo.png", "too many pixels"),
    "a bomb that Pillow rejects": (png_header(60_000, 60_000), "photo.png", "too many pixels"),
    "no pixels": (png_header(100, 100), "photo.png", images.DAMAGED),
    "half a jpeg": (encoded(noise(), "JPEG")[:9000], "photo.jpg", images.DAMAGED),
    "half a png": (encoded(noise(), "PNG")[:20000], "photo.png", images.DAMAGED),
    "a corrupt png": (encoded(noise(), "PNG").replace(b"\x78", b"\x77"), "photo.png", images.DAMAGED),
    "half a gif": (encoded(noise(), "GIF")[:9000], "photo.gif", images.DAMAGED),
    "half a webp": (encoded(noise(), "WEBP")[:9000], "photo.webp", "This "),
    "half an avif": (encoded(noise(), "AVIF")[:9000], "photo.avif", "This "),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_picture_is_rejected_with_a_message(case: str) -> None:
    data, name, message = BAD[case]
    with pytest.raises(ValidationError) as caught:
        clean(data, name)
    assert str(message) in caught.value.messages[0]


def test_file_of_exactly_the_maximum_size_is_accepted() -> None:
    picture = encoded(plain(), "JPEG")
    kept = clean(picture + b"\0" * (images.MAX_BYTES - len(picture)))
    assert kept.size < 10_000


def test_max_bytes_changes_the_size_limit() -> None:
    file = SimpleUploadedFile("photo.jpg", encoded(plain(), "JPEG"))
    with pytest.raises(ValidationError, match="too large"):
        images.clean_picture(file, max_bytes=100)


def test_jpeg_with_50_megapixels_is_accepted() -> None:
    assert image_of(clean(jpeg_header(10_000, 5_000))).size == (2560, 1280)


def test_size_is_checked_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_kwargs: pytest.fail("opened"))
    with pytest.raises(ValidationError, match="too large"):
        clean(b"\xff" * (images.MAX_BYTES + 1))


def many_scans(scans: int) -> bytes:
    """Return a progressive JPEG of 50 megapixels with this many scans, each of which visits every block for nothing."""
    side = 7070
    found = encoded(Image.new("L", (side, side), 128), "JPEG", quality=5, progressive=True)
    second = found.index(b"\xff\xda", found.index(b"\xff\xda") + 2)
    start = found[: found.rindex(b"\xff\xc4", 0, second)]
    # A table with two 2-bit codes, for runs of 1 and of 16,384 or more unchanged blocks.
    table = b"\xff\xc4" + struct.pack(">HB", 21, 0x10) + bytes([0, 2] + [0] * 14) + bytes([0xE0, 0x00])
    blocks, bits = ((side + 7) // 8) ** 2, ""
    while blocks >= 16384:
        run = min(blocks, 32767)
        bits += "00" + format(run - 16384, "014b")
        blocks -= run
    bits += "01" * blocks
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    ends = (0x01, *[0x10] * scans)
    return (
        start
        + table
        + b"".join(b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 63, end) + data for end in ends)
        + b"\xff\xd9"
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a gray PNG, with chunks before and between its pixel data."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = zlib.compress((b"\0" + b"\0" * width) * height, 9)
    pixels = chunk(b"IDAT", rows[:9]) + after + chunk(b"IDAT", rows[9:])
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + chunk(b"IEND", b"")


def gif(blocks: bytes) -> bytes:
    """Return a GIF with these blocks before its image."""
    found = encoded(plain("L", color=9), "GIF")
    at = 13 + 3 * 2 ** ((found[10] & 7) + 1)
    return found[:at] + blocks + found[at:]


def jpeg(segments: bytes) -> bytes:
    found = encoded(plain(), "JPEG")
    return found[:2] + segments + found[2:]


def tiles(file_format: str) -> bytes:
    """Return 25 megapixels of noise, the most expensive picture to decode and encode."""
    noise = Image.effect_noise((1000, 1000), 60)
    tile = Image.merge("RGBA", [noise, noise.transpose(Image.Transpose.ROTATE_90), noise, noise])
    whole = Image.new("RGBA", (5000, 5000))
    for x in range(0, 5000, 1000):
        for y in range(0, 5000, 1000):
            whole.paste(tile, (x, y))
    fast = {"AVIF": {"speed": 10, "quality": 8}, "WEBP": {"method": 0, "quality": 5}}
    return encoded(whole, file_format, **fast[file_format])


def phone_jpeg() -> bytes:
    """Return 50 megapixels in a few progressive scans without subsampling."""
    picture = Image.radial_gradient("L").resize((10_000, 5_000)).convert("RGB")
    return encoded(picture, "JPEG", progressive=True, subsampling=0, quality=5)


LARGEST = images.MAX_BYTES - 5000
COSTLY: dict[str, tuple[Any, str]] = {
    "a wide png": (lambda: png(24_000_000, 1), "too_long"),
    "a tall png": (lambda: png(1, 24_000_000), "too_long"),
    "as wide as allowed": (lambda: png(32_000, 781), ""),
    "as many scans as allowed": (lambda: many_scans(60), ""),
    "too many scans": (lambda: many_scans(600), "too_costly"),
    "as many scans as a file can hold": (lambda: many_scans(40_000), "too_costly"),
    # A parser might mistake bytes that libjpeg skips for a segment that hides the scans.
    "hidden scans": (lambda: many_scans(600).replace(b"\xff\xda", b"\xff\x02\xff\xff\xff\xda"), "any"),
    "png chunks": (lambda: png(99, 99, after=chunk(b"IDAT", b"") * (LARGEST // 12)), ""),
    "png texts": (lambda: png(99, 99, chunk(b"tEXt", b"key\0text") * (LARGEST // 20)), ""),
    "png texts that expand": (
        lambda: png(99, 99, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**6))) * 9000),
        "not_a_picture",
    ),
    "a profile that expands": (
        lambda: png(99, 99, chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(200 * 10**6)))),
        "not_a_picture",
    ),
    "gif comment": (lambda: gif(b"!\xfe" + (b"\xff" + b"x" * 255) * (LARGEST // 256) + b"\0"), ""),
    "gif comments": (lambda: gif(b"!\xfe\x01x\0" * (LARGEST // 5)), ""),
    "jpeg segments": (lambda: jpeg(b"\xff\xe5\0\2" * (LARGEST // 4)), ""),
    "jpeg padding": (lambda: jpeg(b"\xff" * LARGEST), ""),
    "jpeg exif": (
        lambda: jpeg((b"\xff\xe1\xff\xffExif\0\0MM\0*\0\0\0\x08").ljust(65537, b"\x01") * 150),
        "",
    ),
    "a phone's jpeg": (phone_jpeg, ""),
    "avif": (lambda: tiles("AVIF"), ""),
    "webp": (lambda: tiles("WEBP"), ""),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures with /proc")
@pytest.mark.parametrize("case", COSTLY)
def test_costly_picture_uses_limited_time_and_memory(case: str) -> None:
    """Clean the picture in a separate process, to measure its peak memory."""
    make, code = COSTLY[case]
    program = """if True:
        import resource, sys
        from django.conf import settings
        settings.configure()
        from django.core.exceptions import ValidationError
        from django.core.files.uploadedfile import SimpleUploadedFile
        from s3kit.uploads import images
        try:
            images.clean_picture(SimpleUploadedFile("a.png", sys.stdin.buffer.read()))
            code = ""
        except ValidationError as error:
            code = error.code
        child = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Not getrusage, whose peak includes that of the process before exec.
        own = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
        print(code or "none", child.ru_utime + child.ru_stime, own, child.ru_maxrss)
    """
    done = subprocess.run([sys.executable, "-c", program], input=make(), capture_output=True, check=True)
    found, seconds, own, child = done.stdout.decode().split()
    assert code == "any" or found == (code or "none")
    assert float(seconds) < images.Limits().seconds + 2
    assert int(own) < 150_000  # kilobytes, in the process that handles requests
    assert int(child) < images.Limits().memory // 1024 + 50_000


@pytest.mark.parametrize("limits", [{"seconds": 1}, {"memory": 30 * 2**20}], ids=["time", "memory"])
def test_picture_that_exceeds_time_or_memory_is_rejected(limits: dict[str, int]) -> None:
    file = SimpleUploadedFile("a.jpg", many_scans(300) if "seconds" in limits else png(5000, 5000))
    with pytest.raises(ValidationError, match="too much time or memory") as caught:
        images.clean_picture(file, limits=images.Limits(scans=10**6, **limits))
    assert caught.value.code == "too_costly"


def test_pictures_are_decoded_in_a_separate_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *_args, **_kwargs: pytest.fail("opened"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    clean(encoded(plain(), "PNG"))
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime > before


def test_decoder_process_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    seen: list[Any] = []
    run = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda *args, **options: (seen.append(options["env"]), run(*args, **options))[1]
    )
    clean(encoded(plain(), "PNG"))
    assert set(seen[0]) <= {"LD_LIBRARY_PATH", "SYSTEMROOT"}


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGSEGV, "damaged"), (signal.SIGKILL, "too_costly")], ids=["crash", "killed"]
)
def test_picture_is_rejected_if_the_decoder_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sent: signal.Signals, code: str
) -> None:
    died = subprocess.CompletedProcess([], -sent, b"", b"")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: died)
    with pytest.raises(ValidationError) as caught:
        clean(encoded(plain(), "PNG"))
    assert caught.value.code == code
    assert f"signal {int(sent)}" in caplog.text


def test_decoder_that_cannot_start_raises_a_runtime_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "PIL", os)  # its folder doesn't contain Pillow
    with pytest.raises(RuntimeError, match="No module named 'PIL'"):
        clean(encoded(plain(), "PNG"))


def test_decoder_finds_python_in_servers_that_embed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
    assert image_of(clean(encoded(plain(), "PNG"))).size == (64, 48)


def test_number_of_concurrent_decoders_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[int] = []
    most: list[int] = []
    lock, go, full = threading.Lock(), threading.Event(), threading.Barrier(images.AT_ONCE)

    def run(*_args: Any, **_options: Any) -> Any:
        with lock:
            running.append(1)
            most.append(len(running))
        full.wait(60)
        go.wait(0.1)  # for one more
        with lock:
            running.pop()
        return subprocess.CompletedProcess([], 0, b'{"problem": "damaged"}\n', b"")

    def attempt(_number: int) -> None:
        with pytest.raises(ValidationError):
            clean(b"x")

    monkeypatch.setattr(subprocess, "run", run)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(attempt, range(6)))
    assert max(most) == images.AT_ONCE
    assert len(most) == 6


@pytest.mark.parametrize(
    ("sent", "kept", "extension"),
    [
        ("JPEG", "JPEG", ".jpg"),
        ("MPO", "JPEG", ".jpg"),
        ("PNG", "PNG", ".png"),
        ("GIF", "PNG", ".png"),
        ("WEBP", "WEBP", ".webp"),
        ("AVIF", "AVIF", ".avif"),
    ],
)
def test_content_determines_the_format_not_the_browser(sent: str, kept: str, extension: str) -> None:
    options = {"save_all": True, "append_images": [plain(color=BLUE)]} if sent == "MPO" else {}

    made = clean(encoded(plain(), sent, **options), "Summer.html", content_type="text/html")

    assert made.name == f"summer{extension}"
    image = image_of(made)
    assert (image.format, image.size, getattr(image, "n_frames", 1)) == (kept, (64, 48), 1)
    for channel, expected in zip(image.convert("RGB").getpixel((30, 30)), RED, strict=True):
        assert abs(channel - expected) < 12


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_rotated_upright(orientation: int, file_format: str) -> None:
    upright = plain(size=(96, 64))
    for corner, color in {(48, 0): GREEN, (0, 32): BLUE, (48, 32): WHITE}.items():
        upright.paste(color, (*corner, corner[0] + 48, corner[1] + 32))
    turn_back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    as_taken = upright.transpose(turn_back[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation

    kept = clean(encoded(as_taken, file_format, exif=exif, quality=95))

    image = image_of(kept)
    assert image.size == (96, 64)
    for point, expected in {(24, 16): RED, (72, 16): GREEN, (24, 48): BLUE, (72, 48): WHITE}.items():
        pixel: Any = image.convert("RGB").getpixel(point)
        assert all(abs(a - b) < 25 for a, b in zip(pixel, expected, strict=True)), (point, pixel)
    assert not image.getexif()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_metadata_is_removed(file_format: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRET camera"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0), 29: "SECRET day"})
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "SECRET author")
    text.add_itxt("XML:com.adobe.xmp", "<x>SECRET xmp</x>")
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"exif": exif, "comment": "SECRET comment", "xmp": b"<x>SECRET xmp</x>"},
        "PNG": {"exif": exif, "pnginfo": text},
        "GIF": {"comment": "SECRET comment"},
        "WEBP": {"exif": exif, "xmp": b"<x>SECRET xmp</x>"},
        "AVIF": {"exif": exif, "xmp": b"<x>SECRET xmp</x>"},
    }
    data = encoded(plain(), file_format, **options[file_format])
    assert b"SECRET" in data

    kept = clean(data + b"SECRET tail")

    assert b"SECRET" not in kept.read()
    assert not image_of(kept).getexif()


def test_picture_with_invalid_exif_is_accepted() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Camera"
    # A color profile that contains text: Pillow reads it, but can't write it.
    odd = exif.tobytes().replace(b"\x01\x0f\x00\x02", b"\x01\x40\x00\x02")

    kept = clean(encoded(plain(), "JPEG", exif=odd))
    assert image_of(kept).size == (48, 64)

    kept = clean(encoded(plain(), "JPEG", exif=b"Exif\0\0" + b"garbage" * 9))
    assert image_of(kept).size == (64, 48)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_color_profile_is_kept(file_format: str) -> None:
    kept = clean(encoded(plain(), file_format, icc_profile=SRGB))

    assert image_of(kept).info["icc_profile"] == SRGB


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_profile_of_another_color_space_is_removed(mode: str) -> None:
    kept = clean(encoded(plain(mode, color=0), "JPEG", icc_profile=SRGB))

    assert "icc_profile" not in image_of(kept).info


def test_cmyk_is_converted_to_rgb() -> None:
    kept = clean(encoded(plain("CMYK", color=(0, 255, 255, 0)), "JPEG"))

    image = image_of(kept)
    red, green, blue = image.getpixel((5, 5))
    assert (image.mode, red > 200, green < 60, blue < 60) == ("RGB", True, True, True)


def test_16_bit_gray_is_scaled_to_8_bits() -> None:
    kept = clean(encoded(plain("I;16", color=0x8000), "PNG"))

    assert image_of(kept).convert("L").getpixel((5, 5)) == 128


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_kept(mode: str) -> None:
    image = plain("RGBA", color=(*RED, 255))
    image.paste((0, 0, 0, 0), (0, 0, 32, 48))

    kept = clean(encoded(image.convert(mode), "PNG"))

    seen = image_of(kept).convert("RGBA")
    assert [seen.getpixel((x, 20))[3] for x in (5, 60)] == [0, 255]


@pytest.mark.parametrize(("mode", "color"), [("1", 1), ("P", 3), ("L", 200)])
def test_modes_with_few_colors_keep_their_colors(mode: str, color: int) -> None:
    image = plain(mode, color=color)

    kept = clean(encoded(image, "PNG"))

    expected = image.convert("RGB").getpixel((5, 5))
    assert image_of(kept).convert("RGB").getpixel((5, 5)) == expected


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_only_the_first_frame_of_an_animation_is_kept(file_format: str) -> None:
    data = encoded(plain(), file_format, save_all=True, append_images=[plain(color=BLUE)], duration=90)

    kept = clean(data)

    image = image_of(kept)
    red, _, blue = image.convert("RGB").getpixel((5, 5))
    assert (getattr(image, "n_frames", 1), red > 180, blue < 60) == (1, True, True)


@pytest.mark.parametrize("mode", ["1", "P", "L", "RGB"])
def test_fine_patterns_are_averaged_when_scaled_down(mode: str) -> None:
    stripes = plain(size=(64, 64), color=(0, 0, 0))
    for x in range(0, 64, 2):
        stripes.paste((255, 255, 255), (x, 0, x + 1, 64))

    file = SimpleUploadedFile("stripes.png", encoded(stripes.convert(mode), "PNG"))
    kept = images.clean_picture(file, limits=images.Limits(edge=32))

    assert 100 < image_of(kept).convert("L").getpixel((16, 16)) < 155


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_large_pictures_are_scaled_down(file_format: str) -> None:
    kept = clean(encoded(plain(size=(4000, 3000)), file_format))

    assert image_of(kept).size == (2560, 1920)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("My Holiday (1).JPEG", "my-holiday-1"),
        ("../../etc/passwd.jpg", "passwd"),
        ("shell.php.jpg", "shellphp"),
        ("사진.jpg", "사진"),
        ("....jpg", "picture"),
        ("?.jpg", "picture"),
        ("가" * 300 + ".jpg", "가" * 50),
    ],
)
def test_file_name_is_readable_and_safe(name: str, stem: str) -> None:
    kept = clean(encoded(plain(), "JPEG"), name)

    assert kept.name == f"{stem}.jpg"
