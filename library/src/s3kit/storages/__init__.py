"""The storages: static files, uploads, and the links that lead to them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s3kit.storages.media import MediaStorage
    from s3kit.storages.static import StaticStorage

__all__ = ["MediaStorage", "StaticStorage"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: MediaStorage brings boto3, which web processes without media never need.
    if name == "MediaStorage":
        from s3kit.storages.media import MediaStorage

        return MediaStorage
    if name == "StaticStorage":
        from s3kit.storages.static import StaticStorage

        return StaticStorage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
