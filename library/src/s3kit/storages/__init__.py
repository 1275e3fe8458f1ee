"""The storages: static files, uploads, and the links that lead to them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s3kit.storages.media import MediaStorage
    from s3kit.storages.static import StaticStorage, manifest_is_loaded, require_manifest

__all__ = ["MediaStorage", "StaticStorage", "manifest_is_loaded", "require_manifest"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: MediaStorage brings boto3, which web processes without media never need.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "s3kit.storages.media" if name == "MediaStorage" else "s3kit.storages.static"
    return getattr(import_module(module), name)
