"""Direct uploads for Django REST framework: serializer fields, and views for the upload protocol.

`path("api/uploads/", include("s3kit.uploads.rest"))` serves the protocol of docs/uploads-api.md with the
authentication, permissions, and throttles of the site's REST_FRAMEWORK settings.
"""

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import transaction
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache

try:
    from rest_framework import exceptions, serializers
    from rest_framework.fields import get_error_detail
    from rest_framework.views import APIView
except ImportError as error:
    raise ImportError(
        "s3kit.uploads.rest needs Django REST framework: install djangorestframework."
    ) from error

from s3kit.uploads.errors import LoginRequiredError, UploadError
from s3kit.uploads.files import only_once, resolve
from s3kit.uploads.kinds import Kind, completed, declared, image_rules
from s3kit.uploads.views import View, begin, cancel, failure, finish, show


class DirectFileField(serializers.FileField):  # type: ignore[misc]
    """The token of a file that the client has sent straight to S3, or a file in multipart/form-data.

    Takes the same rules as `s3kit.uploads.DirectFileField`. Clients without a form begin uploads by the kind's `name`.
    In a ModelSerializer, `upload_to` and `storage` default to those of the model field, unless there is a `name`. For
    several files, use `serializers.ListField(child=DirectFileField(...))`.

    As with DRF's FileField, the value is an uploaded file, and its representation is the file's URL. The token must
    belong to the request's user, so the serializer needs the request in its context.
    """

    def __init__(
        self, *, kinds: Sequence[Kind] = (), form_max_bytes: int | None = None, **kwargs: Any
    ) -> None:
        self._declared = declared(kinds, kwargs)
        self.kinds: Sequence[Kind] = self._declared
        self.form_max_bytes = form_max_bytes
        super().__init__(**kwargs)

    def bind(self, field_name: str, parent: Any) -> None:
        """Complete the rules with those of the serializer's model."""
        super().bind(field_name, parent)
        model = getattr(getattr(parent, "Meta", None), "model", None)
        self.kinds = completed(self._declared, model, str(self.source))

    def to_internal_value(self, data: Any) -> Any:
        """Return the file of a token, or check an uploaded file against the same rules and return it."""
        given = data if data and isinstance(data, str) else super().to_internal_value(data)
        request = self.context.get("request")
        if request is None:
            raise ImproperlyConfigured(
                f"The field {self.field_name!r} does not know the user: create the serializer with"
                " context={'request': request}."
            )
        # Outside of `is_valid`, code may validate the same data several times.
        is_first = hasattr(self.root, "initial_data") and not hasattr(self.root, "_validated_data")
        uses: dict[Any, str] = self.root.__dict__.setdefault("_s3kit_uses", {}) if is_first else {}
        try:
            found = resolve(given, self.kinds, user=request.user, form_max_bytes=self.form_max_bytes)
            return only_once(found, uses, f"use {len(uses)}")
        except UploadError as error:
            message = self.error_messages.get(error.code, str(error))
            raise serializers.ValidationError(message, code=error.code) from error
        except DjangoValidationError as error:
            raise serializers.ValidationError(get_error_detail(error)) from error


class DirectImageField(DirectFileField):
    """A picture, which is re-encoded without its metadata: see `s3kit.uploads.images`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**image_rules(kwargs))


_CODES = {
    exceptions.NotAuthenticated: "login_required",
    exceptions.AuthenticationFailed: "login_required",
    exceptions.PermissionDenied: "forbidden",
    exceptions.Throttled: "rate_limited",
}


class ProtocolView(APIView):  # type: ignore[misc]
    """A view of the upload protocol, with the site's REST_FRAMEWORK settings."""

    schema = None
    # Kinds decide what a user may upload, not permissions for the ticket model.
    _ignore_model_permissions = True
    protocol_view: View | None = None

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view, outside of ATOMIC_REQUESTS, because other processes must see changes of a ticket."""
        return transaction.non_atomic_requests(never_cache(super().as_view(**initkwargs)))

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Raise NotAuthenticated unless a user is logged in."""
        super().initial(request, *args, **kwargs)
        if not request.user.is_authenticated:
            raise exceptions.NotAuthenticated

    def get(self, request: Any, **kwargs: Any) -> Any:
        """Return the response."""
        return self.protocol_view(request, **kwargs)  # type: ignore[misc]

    post = get

    def handle_exception(self, exc: Exception) -> Any:
        """Return the response for an error in the protocol's format."""
        if isinstance(exc, UploadError):
            return failure(exc)
        response = super().handle_exception(exc)
        code = next((code for kind, code in _CODES.items() if isinstance(exc, kind)), "invalid")
        problem = {"code": code, "message": str(getattr(exc, "detail", exc))}
        status = LoginRequiredError.status if code == LoginRequiredError.code else response.status_code
        headers = {name: value for name, value in response.headers.items() if name.lower() != "content-type"}
        return JsonResponse({"error": problem}, status=status, headers=headers)


def _view(view: View, method: str) -> Any:
    return ProtocolView.as_view(protocol_view=view, http_method_names=[method, "options"])


app_name = "s3kit_uploads_rest"
urlpatterns = [
    path("", _view(begin, "post"), name="begin"),
    path("<uuid:ticket_id>/", _view(show, "get"), name="ticket"),
    path("<uuid:ticket_id>/finish/", _view(finish, "post"), name="finish"),
    path("<uuid:ticket_id>/cancel/", _view(cancel, "post"), name="cancel"),
]

if apps.is_installed("drf_spectacular"):
    from drf_spectacular.extensions import OpenApiSerializerFieldExtension
    from drf_spectacular.settings import spectacular_settings

    class TokenSchema(OpenApiSerializerFieldExtension):  # type: ignore[misc]
        """Describes the fields to drf-spectacular: clients send a token or a file, and receive a URL."""

        target_class = DirectFileField
        match_subclasses = True

        def map_serializer_field(self, auto_schema: Any, direction: str) -> Any:
            """Return the schema from drf-spectacular, without a format where a token is allowed."""
            schema = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
            if direction == "request" or not spectacular_settings.COMPONENT_SPLIT_REQUEST:
                schema.pop("format", None)
            return schema
