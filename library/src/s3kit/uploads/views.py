"""The views of the upload protocol: begin, show, finish, cancel.

docs/uploads-api.md documents it. Every response is JSON; errors are {"error": {"code": ..., "message": ...}}. The views
raise UploadError, and also accept requests of Django REST framework.
"""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache

from s3kit.uploads import acceptance, tickets
from s3kit.uploads.errors import (
    ForbiddenError,
    InvalidError,
    LoginRequiredError,
    UnavailableError,
    UploadError,
)
from s3kit.uploads.kinds import Kind, available, kind_of, registered, unsigned, wrong_type
from s3kit.uploads.models import Ticket

View = Callable[..., JsonResponse]


def protocol(view: View) -> View:
    """Decorate a view: require a logged-in user, and turn UploadError into a response.

    The view runs outside of ATOMIC_REQUESTS, because other processes must see changes of a ticket.
    """

    @never_cache
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> JsonResponse:
        try:
            if not request.user.is_authenticated:
                raise LoginRequiredError
            return view(request, *args, **kwargs)
        except UploadError as error:
            return failure(error)

    for alias in connections:
        wrapper = transaction.non_atomic_requests(alias)(wrapper)
    return wrapper


def failure(error: UploadError) -> JsonResponse:
    """Return the response for an error."""
    problem = {"code": error.code, "message": str(error)}
    response = JsonResponse({"error": problem}, status=error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def begin(request: HttpRequest) -> JsonResponse:
    """Issue a ticket for a file and respond with 201, or raise an UploadError.

    Takes the file's `name`, its `size` in bytes, and either the `rules` from a page or the name of a registered `kind`.
    Returns `s3kit.uploads.sending`, the ticket's `address`, and its `token`.
    """
    data = _data(request)
    name, size = data.get("name"), data.get("size")
    if not isinstance(name, str):
        raise InvalidError
    kinds = _kinds(data)
    allowed = [kind for kind in kinds if kind.allows(request.user)]
    if not allowed:
        raise ForbiddenError
    kind = kind_of(name, allowed)
    if kind is None:
        raise wrong_type(allowed)
    if not available(kind.storage):
        raise UnavailableError
    ticket = tickets.begin(request.user, kind, name=name, size=_number(size))  # type: ignore[arg-type]
    return _sending(request, ticket, status=201)


def show(request: HttpRequest, ticket_id: UUID) -> JsonResponse:
    """Return the parts that S3 doesn't have yet, with new links."""
    return _sending(request, _ticket(request, ticket_id))


def finish(request: HttpRequest, ticket_id: UUID) -> JsonResponse:
    """Check the file and store it at its final key. Return the token to post with a form."""
    ticket = _ticket(request, ticket_id)
    acceptance.finish(ticket)
    return JsonResponse(
        {"token": ticket.token, "name": ticket.name, "size": ticket.size, "state": ticket.state}
    )


def cancel(request: HttpRequest, ticket_id: UUID) -> JsonResponse:
    """Cancel an upload and remove what was sent."""
    tickets.cancel(_ticket(request, ticket_id))
    return JsonResponse({})


def _ticket(request: HttpRequest, ticket_id: UUID) -> Ticket:
    return tickets.ticket(request.user, ticket_id)  # type: ignore[arg-type]  # `protocol` requires a login


def _data(request: HttpRequest) -> Mapping[str, Any]:
    """Return the posted data, from JSON or a form."""
    try:
        data = getattr(request, "data", None)  # of Django REST framework
        if data is None:
            is_json = request.content_type == "application/json"
            data = json.loads(request.body) if is_json else request.POST
    except (ValueError, RecursionError):  # RecursionError for deeply nested JSON
        raise InvalidError from None
    if not isinstance(data, Mapping):
        raise InvalidError
    return data


def _kinds(data: Mapping[str, Any]) -> list[Kind]:
    """Return the kinds in the page's rules, or the registered kind. Raise StaleError for rules that aren't valid."""
    if rules := data.get("rules"):
        return unsigned(str(rules))
    kind = registered(str(data.get("kind", "")))
    return [kind] if kind else []


def _number(size: Any) -> int:
    """Return a size in bytes, or 0 if it is invalid."""
    text = str(size)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _sending(request: HttpRequest, ticket: Ticket, status: int = 200) -> JsonResponse:
    namespace = request.resolver_match.namespace if request.resolver_match else "s3kit_uploads"
    address = reverse(f"{namespace}:ticket", args=[ticket.pk])
    return JsonResponse(tickets.sending(ticket) | {"address": address, "token": ticket.token}, status=status)
