"""Files that the browser sends to S3 itself: which ones, and the addresses that the page's script asks.

The script asks for a ticket, sends the file to S3 by it, and then posts it with the form in the place of the
file. Every answer is JSON: what is wrong is {"errors": lists of {"message", "code"} by field}, with a status
that says whose turn it is. How an upload works is in s3/uploads.py; README.md says where the limits are.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from gallery import films, images
from gallery.access import StaffRequest, staff_only
from gallery.forms import DescriptionForm, TicketForm
from gallery.models import NOT_STORED, NotStoredError, Picture
from s3 import uploads

logger = logging.getLogger(__name__)

PICTURE = uploads.Kind(
    "gallery.picture", ("jpg", "jpeg", "png", "webp", "avif", "gif"), max_bytes=images.MAX_BYTES
)
FILM = uploads.Kind(
    "gallery.film",
    tuple(extension.removeprefix(".") for extension in films.TYPES),
    max_bytes=films.MAX_BYTES,
    folder="films/",
    check=films.check_film,
)
KINDS = {kind.name: kind for kind in (PICTURE, FILM)}


def refusal(message: str, code: str, *, status: int, field: str = "__all__") -> JsonResponse:
    """Return the answer that one thing is wrong: with a field of the form, or with none of them."""
    return JsonResponse({"errors": {field: [{"message": message, "code": code}]}}, status=status)


def answering(view: Callable[..., JsonResponse]) -> Callable[..., JsonResponse]:
    """Turn what stops an upload into an answer: its sentence, its status, and when to come back.

    With local files there is none of this: 404.
    """

    @wraps(view)
    def guarded(request: StaffRequest, *args: Any, **kwargs: Any) -> JsonResponse:
        if not uploads.available():
            raise Http404("Uploads go straight to S3 only with USE_S3 on")
        try:
            return view(request, *args, **kwargs)
        except uploads.AlreadyAcceptedError as error:
            # Asked again because the first answer was lost: it is the same.
            return JsonResponse({"url": reverse("home")}, status=error.status)
        except uploads.UploadError as error:
            field = "file" if isinstance(error, uploads.RefusedError) else "__all__"
            answer = refusal(str(error), error.code, status=error.status, field=field)
            if error.retry_after is not None:
                answer.headers["Retry-After"] = str(error.retry_after)
            return answer

    return guarded


@staff_only
@require_POST
@answering
def begin(request: StaffRequest) -> JsonResponse:
    """Give a ticket for a file of this name and size (201), or say why not.

    The answer is what uploads.sending() says, and the address of the ticket.
    """
    form = TicketForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors.get_json_data()}, status=400)
    name, size = form.cleaned_data["name"], form.cleaned_data["size"]
    kind = uploads.kind_of(name, KINDS.values())
    if kind is None:
        sentence = films.NOT_A_FILM if films.is_film(name) else images.NOT_A_PICTURE
        return refusal(sentence, "wrong_type", status=400, field="file")
    return _sending(uploads.begin(request.user, kind, name=name, size=size), status=201)


@staff_only
@require_safe
@answering
def show(request: StaffRequest, ticket_id: UUID) -> JsonResponse:
    """Say what S3 does not have yet, with fresh links for it."""
    return _sending(uploads.ticket(request.user, ticket_id))


@staff_only
@require_POST
@answering
def cancel(request: StaffRequest, ticket_id: UUID) -> JsonResponse:
    """Give a ticket up; what has arrived is removed."""
    uploads.cancel(uploads.ticket(request.user, ticket_id))
    return JsonResponse({})


@answering
def add(request: StaffRequest, ticket_id: str) -> JsonResponse:
    """Add the file of a ticket, checked, under the description that is posted with it."""
    ticket = uploads.ticket(request.user, ticket_id)
    form = DescriptionForm(request.POST, instance=Picture(uploaded_by=request.user))
    if not form.is_valid():
        return JsonResponse({"errors": form.errors.get_json_data()}, status=400)
    picture = form.instance
    kind = KINDS.get(ticket.kind)
    if kind is None:  # another app's
        raise uploads.UnknownTicketError
    try:
        with uploads.accepting(ticket, kind) as upload:
            if kind is FILM:
                picture.film = upload.keep()
            else:
                try:
                    picture.image = images.clean_picture(upload.file)
                except ValidationError as error:
                    upload.refuse(" ".join(error.messages))
            picture.save(also=upload.accepted)
    except NotStoredError:
        logger.exception("A file was not stored")
        return refusal(NOT_STORED, "unavailable", status=503)
    messages.success(request, f"The {picture.what} was added.")
    return JsonResponse({"url": reverse("home")})


def _sending(ticket: Any, status: int = 200) -> JsonResponse:
    address = reverse("upload", args=[ticket.pk])
    return JsonResponse(uploads.sending(ticket) | {"address": address}, status=status)
