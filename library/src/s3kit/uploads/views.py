"""What the page's script asks: a ticket, what is still missing, and to give up.

Every answer is JSON. What is wrong is {"errors": lists of {"message", "code"} by field}, with a status that says
whose turn it is.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from s3kit.uploads import tickets
from s3kit.uploads.errors import AlreadyAcceptedError, RefusedError, UploadError
from s3kit.uploads.kinds import available, kind_of, registered
from s3kit.uploads.models import Ticket

View = Callable[..., JsonResponse]


def problem(message: str, code: str, *, status: int, field: str = "__all__") -> JsonResponse:
    """Return the answer that one thing is wrong: with a field of the form, or with none of them."""
    return JsonResponse({"errors": {field: [{"message": message, "code": code}]}}, status=status)


def answers_in_json(accepted: str = "") -> Callable[[View], View]:
    """Decorate a view that accepts a ticket: what stops an upload becomes an answer for the page's script.

    `accepted` is the name of the URL where the page goes next; the script gets it when it asks again because the
    first answer was lost.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> JsonResponse:
            try:
                return view(request, *args, **kwargs)
            except AlreadyAcceptedError as error:
                if accepted:
                    return JsonResponse({"url": reverse(accepted)}, status=error.status)
                return problem(str(error), error.code, status=error.status)
            except UploadError as error:
                field = "file" if isinstance(error, RefusedError) else "__all__"
                answer = problem(str(error), error.code, status=error.status, field=field)
                if error.retry_after is not None:
                    answer.headers["Retry-After"] = str(error.retry_after)
                return answer

        return guarded

    return decorate


@login_required
@require_POST
@answers_in_json()
def begin(request: HttpRequest) -> JsonResponse:
    """Give a ticket for a file (201), or say why not.

    The form has the file's `name`, its `size` in bytes and `kinds`, names of registered kinds with commas between
    them: the first that takes the file counts. The answer is that of `s3kit.uploads.sending`, with the ticket's
    `address`.
    """
    names = request.POST.get("kinds", "").split(",")
    kinds = [kind for name in names if (kind := registered(name.strip())) is not None]
    allowed = [kind for kind in kinds if kind.may_upload(request.user)]
    if not allowed:
        raise PermissionDenied
    name, size = request.POST.get("name", ""), request.POST.get("size", "")
    kind = kind_of(name, allowed)
    if kind is None:
        listed = ", ".join(f".{each}" for kind in allowed for each in kind.extensions)
        raise RefusedError(f"Files of this type are not accepted. Please choose one of {listed}.")
    if not available(kind.storage):
        raise Http404("Uploads go straight to S3 only where the storage is on S3")
    number = int(size) if size.isascii() and size.isdigit() and len(size) < 20 else 0
    return _sending(tickets.begin(_user(request), kind, name=name, size=number), status=201)


@login_required
@require_safe
@answers_in_json()
def show(request: HttpRequest, ticket_id: UUID) -> JsonResponse:
    """Say what S3 does not have yet, with fresh links for it."""
    return _sending(tickets.ticket(_user(request), ticket_id))


@login_required
@require_POST
@answers_in_json()
def cancel(request: HttpRequest, ticket_id: UUID) -> JsonResponse:
    """Give a ticket up; what has arrived is removed."""
    tickets.cancel(tickets.ticket(_user(request), ticket_id))
    return JsonResponse({})


def _user(request: HttpRequest) -> AbstractBaseUser:
    user = request.user
    assert isinstance(user, AbstractBaseUser)  # noqa: S101 -- for the type checker: nobody else passes login_required
    return user


def _sending(ticket: Ticket, status: int = 200) -> JsonResponse:
    address = reverse("s3kit_uploads:ticket", args=[ticket.pk])
    return JsonResponse(tickets.sending(ticket) | {"address": address}, status=status)
