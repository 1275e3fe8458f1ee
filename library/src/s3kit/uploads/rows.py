"""Connects files that browsers have sent with the rows that they are saved in.

Outside of a transaction, a ticket can't be closed together with the row. So the ticket first records the row's field,
which lets `tickets.settle` find out whether a killed process has written the row. If the save fails instead,
`end_saves` does that when the request ends. Every process loads this module, so it imports nothing that imports boto3.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterator
from functools import cache
from typing import Any

from django.db import models, transaction
from django.db.models.fields.files import FieldFile

from s3kit.storages.names import Stored

logger = logging.getLogger(__name__)

_REMEMBERED = "_s3kit_direct_files"


@cache
def _file_fields(model: type[models.Model]) -> tuple[str, ...]:
    return tuple(each.attname for each in model._meta.concrete_fields if isinstance(each, models.FileField))


def _direct_files(instance: models.Model) -> Iterator[tuple[str, Stored]]:
    """Yield the row's fields with a file that the browser has sent, and the file."""
    for name in _file_fields(type(instance)):
        # Django wraps the assigned file when the attribute is read.
        assigned = instance.__dict__.get(name)
        file = assigned.__dict__.get("_file") if isinstance(assigned, FieldFile) else assigned
        if isinstance(file, Stored):
            yield name, file


def before_row(instance: models.Model, using: str, **_more: Any) -> None:
    """Set `row` and `database` of a row's files, and remember the files: saving replaces them with their names."""
    instance.__dict__.pop(_REMEMBERED, None)
    for field, file in _direct_files(instance):
        file.row, file.database = f"{instance._meta.label}.{field}", using
        instance.__dict__.setdefault(_REMEMBERED, []).append(file)


def after_row(instance: models.Model, **_more: Any) -> None:
    """Confirm the tickets of the row's files once the row is committed."""
    for file in instance.__dict__.pop(_REMEMBERED, ()):
        if file.is_saving:
            file.is_saving = False
            transaction.on_commit(file.confirm, using=file.database)


class _Unconfirmed(threading.local):
    """The files whose rows this thread has begun to save outside of a transaction."""

    def __init__(self) -> None:
        # Without requests, nothing may ever end them.
        self.files: deque[Any] = deque(maxlen=100)


unconfirmed = _Unconfirmed()


def end_saves(**_more: Any) -> None:
    """Settle the tickets of this thread's saves that failed. `confirm` accepts that of a running save later."""
    files = list(unconfirmed.files)
    unconfirmed.files.clear()
    for file in files:
        try:
            file.end()
        except Exception:  # the database may have failed
            logger.exception("An upload stays in progress until its claim expires")
