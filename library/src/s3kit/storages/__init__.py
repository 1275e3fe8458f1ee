"""The storages for static files and uploads."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s3kit.storages.media import MediaStorage
    from s3kit.storages.static import StaticStorage, manifest_is_loaded, require_manifest

__all__ = ["MediaStorage", "StaticStorage", "manifest_is_loaded", "require_manifest"]


def __getattr__(name: str) -> Any:
    # Imported on first use: MediaStorage needs boto3, which web processes without uploads never need.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "s3kit.storages.media" if name == "MediaStorage" else "s3kit.storages.static"
    return getattr(import_module(module), name)
