"""Which files the gallery accepts, and from whom. Change the limits here."""

from s3kit.uploads import Kind, films, images


def may_add(user):
    """Return whether this user may add pictures and films. The staff flag alone is no permission."""
    return user.has_perm("gallery.add_picture")


PICTURE = Kind(
    "gallery.picture",
    extensions=("jpg", "jpeg", "png", "webp", "avif", "gif"),
    max_bytes=10 * 1024**2,
    may_upload=may_add,
)
# Films go from the browser straight to S3. Without JavaScript or S3 they go through Django, which takes less.
FILM = Kind(
    "gallery.film",
    extensions=("mp4", "webm"),
    max_bytes=5 * 1024**3,
    folder="films/",
    check=films.check_film,
    may_upload=may_add,
)
FILM_MAX_BYTES_BY_FORM = 100 * 1024**2

KINDS = (PICTURE, FILM)


def clean_picture(upload):
    """Return a picture encoded anew, without metadata, or raise ValidationError."""
    return images.clean_picture(upload, max_bytes=PICTURE.max_bytes)
