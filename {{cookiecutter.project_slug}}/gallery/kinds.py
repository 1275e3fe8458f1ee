"""Which files the gallery accepts. Change the limits here."""

from s3kit.uploads import Kind, films, images

PICTURE = Kind(
    "gallery.picture",
    extensions=("jpg", "jpeg", "png", "webp", "avif", "gif"),
    max_bytes=10 * 1024**2,
)
# Films go from the browser straight to S3. Without JavaScript or S3 they go through Django, which takes less.
FILM = Kind(
    "gallery.film",
    extensions=("mp4", "webm"),
    max_bytes=5 * 1024**3,
    folder="films/",
    check=films.check_film,
)
FILM_MAX_BYTES_BY_FORM = 100 * 1024**2

KINDS = (PICTURE, FILM)


def clean_picture(upload):
    """Return a picture encoded anew, without metadata, or raise ValidationError."""
    return images.clean_picture(upload, max_bytes=PICTURE.max_bytes)
