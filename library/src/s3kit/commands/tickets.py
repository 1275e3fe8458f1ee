"""`manage.py s3 tickets`: lists, ends, and cleans up direct uploads."""

import unicodedata
from argparse import ArgumentTypeError
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError

from s3kit import progress
from s3kit.commands.shared import text
from s3kit.errors import printable

if TYPE_CHECKING:
    from django.db.models import QuerySet

HELP = "List direct uploads, end them, and delete what they left behind."
EXIT_CODES = {0: "done", 1: "an object could not be deleted", 130: "interrupted"}

STATES = ("open", "claimed", "finished", "saving", "rejected", "cancelled", "leftover")
ID_DIGITS = 8
CHUNK = 500
# In columns of a terminal. With two spaces between the cells, a line has 98.
COLUMNS = {"id": ID_DIGITS, "user": 16, "file": 28, "size": 9, "state": 9, "age": 4, "storage": 12}
_RIGHT = ("size", "age")


def add_arguments(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument("--user", type=text, metavar="NAME", help="Only uploads of this user.")
    parser.add_argument(
        "--state",
        choices=STATES,
        action="append",
        help="Only uploads in this state; leftover: expired, without a row in the database. Can be repeated.",
    )
    work = parser.add_mutually_exclusive_group()
    work.add_argument(
        "--expire",
        nargs="*",
        type=identifier,
        metavar="ID",
        help="End these uploads, or those of --user and --state, and delete what browsers have sent.",
    )
    work.add_argument(
        "--clean",
        action="store_true",
        help="Delete everything that is left over, and old tickets. Run it daily.",
    )


def identifier(argument: str) -> str:
    """Return the digits of an ID or of its beginning. Raise ArgumentTypeError if it is not one."""
    digits = argument.replace("-", "").lower()
    if not (ID_DIGITS <= len(digits) <= 32 and all(each in "0123456789abcdef" for each in digits)):
        raise ArgumentTypeError(
            f"{argument!r} is not the ID of an upload; take one from the list, such as 3f2a90c1"
        )
    return digits


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """List uploads, end some, or delete what is left over."""
    if not apps.is_installed("s3kit.uploads"):
        raise CommandError('This site has no direct uploads: add "s3kit.uploads" to INSTALLED_APPS.')
    try:
        _run(command, options)
    except (OperationalError, ProgrammingError) as error:  # PostgreSQL raises the second for a missing table
        reason = printable(" ".join(str(error).split()))
        raise CommandError(
            f"Can't read the direct uploads from the database ({reason}): check that the database is running, and"
            " run `manage.py migrate`."
        ) from error


def _run(command: BaseCommand, options: dict[str, Any]) -> None:
    from s3kit.uploads import leftovers

    chosen = bool(options["user"] or options["state"])
    if options["clean"]:
        if chosen:
            raise CommandError("--clean deletes everything that is left over: leave out --user and --state.")
        progress.run(command, options | {"json": False}, leftovers.clean)
        return
    rows = _selected(options)
    if options["expire"] is None:
        _list(command, rows)
        return
    if not (options["expire"] or chosen):
        raise CommandError("--expire needs the IDs of uploads, --user or --state.")
    if options["expire"]:
        rows = rows.filter(pk__in=[_id(rows, digits) for digits in options["expire"]])
    progress.run(command, options | {"json": False}, lambda show: leftovers.expire(rows, show))


def _selected(options: dict[str, Any]) -> "QuerySet[Any]":
    from django.contrib.auth import get_user_model

    from s3kit.uploads import leftovers

    rows = leftovers.under_way()
    if name := options["user"]:
        users: Any = get_user_model()._default_manager
        try:
            rows = rows.filter(user_id=users.get_by_natural_key(name).pk)
        except get_user_model().DoesNotExist:
            raise CommandError(f"There is no user {name!r}.") from None
    if options["state"]:
        rows = rows.filter(shown__in=options["state"])
    return rows


def _id(rows: "QuerySet[Any]", digits: str) -> UUID:
    first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    found: list[UUID] = list(rows.filter(pk__gte=first, pk__lte=last).values_list("pk", flat=True)[:2])
    if not found:
        raise CommandError(f"No upload that is in progress or left over has the ID {digits}.")
    if len(found) == 2:
        raise CommandError(f"Several IDs begin with {digits}: add more digits.")
    return found[0]


def _list(command: BaseCommand, rows: "QuerySet[Any]") -> None:
    from django.db.models import Count, Sum

    totals = rows.order_by().values("shown").annotate(count=Count("pk"), size=Sum("size")).order_by("shown")
    found = list(totals)
    if found:
        command.stdout.write(_line({name: name for name in COLUMNS}))
    for line in _lines(rows):
        command.stdout.write(line)
    for each in found:
        command.stdout.write(f"{each['count']:,} {each['shown']}: {_size(each['size'])}")
    if not found:
        command.stdout.write("No uploads are in progress or left over.")


def _lines(rows: "QuerySet[Any]") -> Iterator[str]:
    from django.contrib.auth import get_user_model
    from django.utils import timezone

    users, now = get_user_model()._default_manager, timezone.now()
    tickets = rows.order_by("created_at", "pk").iterator(CHUNK)
    while some := list(islice(tickets, CHUNK)):
        # Users may be in another database.
        names = users.in_bulk({each.user_id for each in some})
        for each in some:
            user = names.get(each.user_id)
            yield _line(
                {
                    "id": each.pk.hex[:ID_DIGITS],
                    "user": user.get_username() if user else f"deleted ({each.user_id})",
                    "file": each.name,
                    "size": _size(each.size),
                    "state": each.shown,
                    "age": _age(int((now - each.created_at).total_seconds())),
                    "storage": each.storage,
                }
            )


def _line(cells: dict[str, str]) -> str:
    return "  ".join(
        _fit(cells[name], width, right=name in _RIGHT) for name, width in COLUMNS.items()
    ).rstrip()


def _size(size: int) -> str:
    from django.template.defaultfilters import filesizeformat

    return filesizeformat(size).replace("\xa0", " ")


def _age(seconds: int) -> str:
    minutes = seconds // 60
    for unit, length in (("d", 1440), ("h", 60)):
        if minutes >= length:
            return f"{minutes // length}{unit}"
    return f"{minutes}m"


def _fit(text: str, width: int, *, right: bool = False) -> str:
    """Return a text of exactly `width` columns. A long one loses its middle, so its extension stays visible."""
    text = printable(text)
    if _width(text) > width:
        end = text[-(width // 3) :]
        while _width(end) > width // 2:
            end = end[1:]
        while _width(text) + 3 + _width(end) > width:
            text = text[:-1]
        text = f"{text}...{end}"
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _width(text: str) -> int:
    """Return the columns of a text. East Asian characters take two."""
    return sum(
        1 + (unicodedata.east_asian_width(each) in "WF") for each in text if not unicodedata.combining(each)
    )
