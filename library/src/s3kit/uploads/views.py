"""The views that the page's script uses: begin an upload, show what is missing, cancel.

Every answer is JSON. Errors are {"errors": {field: [{"message": ..., "code": ...}]}}, like those of Django's forms.
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
from s3kit.uploads.errors import AlreadyAcceptedError, RejectedError, UploadError
from s3kit.uploads.kinds import available, kind_of, registered
from s3kit.uploads.models import Ticket

View = Callable[..., JsonResponse]


def problem(message: str, code: str, *, status: int, field: str = "__all__") -> JsonResponse:
    """Return an answer with one error, of a field or of the form as a whole."""
    return JsonResponse({"errors": {field: [{"message": message, "code": code}]}}, status=status)


def answers_in_json(accepted: str = "") -> Callable[[View], View]:
    """Decorate a view that accepts a ticket: answer an UploadError with JSON for the page's script.

    `accepted` is the name of the URL where the page goes next. The script gets it if the ticket was accepted
    before, because it asks again when an answer is lost.
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
                field = "file" if isinstance(error, RejectedError) else "__all__"
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
    """Issue a ticket for a file (201), or say why not.

    Takes the file's `name`, its `size` in bytes, and `kinds`, the comma-separated names of registered kinds, of
    which the first that accepts the file's extension counts. Answers with `s3kit.uploads.sending` and the
    ticket's `address`.
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
        raise RejectedError(f"Files of this type are not accepted. Please choose one of {listed}.")
    if not available(kind.storage):
        raise Http404(f"STORAGES[{kind.storage!r}] takes no direct uploads")
    number = int(size) if size.isascii() and size.isdigit() and len(size) < 20 else 0
    return _sending(tickets.begin(_user(request), kind, name=name, size=number), status=201)


@login_required
@require_safe
@answers_in_json()
def show(request: HttpRequest, ticket_id: UUID) -> JsonResponse:
    """Answer with what S3 does not have yet, and with fresh links for it."""
    return _sending(tickets.ticket(_user(request), ticket_id))


@login_required
@require_POST
@answers_in_json()
def cancel(request: HttpRequest, ticket_id: UUID) -> JsonResponse:
    """Cancel an upload and remove what was sent."""
    tickets.cancel(tickets.ticket(_user(request), ticket_id))
    return JsonResponse({})


def _user(request: HttpRequest) -> AbstractBaseUser:
    user = request.user
    assert isinstance(user, AbstractBaseUser)  # noqa: S101 -- for the type checker: login_required admits nobody else
    return user


def _sending(ticket: Ticket, status: int = 200) -> JsonResponse:
    address = reverse("s3kit_uploads:ticket", args=[ticket.pk])
    return JsonResponse(tickets.sending(ticket) | {"address": address}, status=status)
