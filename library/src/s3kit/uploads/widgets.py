"""The file input of a form. The library's script sends its files straight to S3."""

import json
from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages
from django.forms.widgets import FILE_INPUT_CONTRADICTION, Script
from django.template.defaultfilters import filesizeformat
from django.urls import NoReverseMatch, reverse

from s3kit.storages.static import StaticStorage
from s3kit.uploads.kinds import Kind, available, signed
from s3kit.uploads.messages import SCRIPT
from s3kit.uploads.models import Ticket
from s3kit.uploads.options import option


class _Module(Script):
    """A script of the library with an integrity attribute, so that a browser only runs what was published."""

    @property
    def attributes(self) -> dict[str, Any]:
        """Return the element's attributes."""
        storage, name = storages["staticfiles"], str(getattr(self, "_path", ""))
        found = storage.integrity(name) if isinstance(storage, StaticStorage) else ""
        return self._given | ({"integrity": found} if found else {})

    @attributes.setter
    def attributes(self, given: dict[str, Any]) -> None:
        self._given = given


class DirectFileInput(forms.ClearableFileInput):
    """A file input. If the storage accepts direct uploads, it renders the attributes that the script needs.

    The value under the field's name is a file, or the token of a file that was sent. A form that is shown again keeps
    its tokens.
    """

    template_name = "s3kit/direct_file.html"
    kinds: Sequence[Kind] = ()
    form_max_bytes: int | None = None
    _tokens: Sequence[str] = ()

    class Media:
        css = {"all": ["s3kit/uploads.css"]}  # noqa: RUF012 -- as in Django
        js = (_Module("s3kit/uploads.js", type="module"),)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """Return the posted tokens, or else the files."""
        posted = data.getlist(name) if hasattr(data, "getlist") else data.get(name)
        posted = posted if isinstance(posted, list) else [posted]
        self._tokens = list(dict.fromkeys(each for each in posted if each and isinstance(each, str)))
        found = super().value_from_datadict(data, files, name)
        if self._tokens and found is False:  # the "Clear" checkbox is checked too
            return FILE_INPUT_CONTRADICTION
        if not self._tokens or not (found is None or isinstance(found, list)):
            return found
        return [*self._tokens, *(found or ())] if self.allow_multiple_selected else self._tokens[-1]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        """Return whether there is neither a token nor a file."""
        return name not in data and super().value_omitted_from_data(data, files, name)

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Return Django's context with what the script needs."""
        context = super().get_context(name, value, attrs)
        widget = context["widget"]
        widget["direct"] = self._direct()
        widget["files"] = list(self._sent())
        if widget["files"] and widget["attrs"].pop("required", None):
            widget["attrs"]["data-required"] = True  # for the script, if the files are removed
        types = [f".{each}" for kind in self.kinds for each in kind.types]
        if types and all(kind.types for kind in self.kinds):
            widget["attrs"].setdefault("accept", ",".join(types))
        return context

    def _direct(self) -> dict[str, Any] | None:
        if not self.kinds or not all(available(kind.storage) for kind in self.kinds):
            return None
        try:
            begin = reverse("s3kit_uploads:begin")
        except NoReverseMatch:
            raise ImproperlyConfigured(
                'Direct uploads have no URLs: add path("uploads/", include("s3kit.uploads.urls")) to your URLconf.'
            ) from None
        limits = [{"types": kind.types, "max_bytes": kind.limit} for kind in self.kinds]
        return {
            "begin": begin,
            "rules": signed(self.kinds),
            "form_bytes": option("FORM_MAX_BYTES", self.form_max_bytes),
            "kinds": json.dumps(limits),
            "messages": json.dumps({key: str(text) for key, text in SCRIPT.items()}),
        }

    def _sent(self) -> Any:
        """Yield the files that were sent but aren't saved yet."""
        for token in self._tokens:
            ticket = Ticket.of_token(token)
            if ticket is not None and ticket.state == Ticket.State.FINISHED:
                yield {"token": token, "name": ticket.name, "size": filesizeformat(ticket.size)}


class MultipleDirectFileInput(DirectFileInput):
    """A file input that accepts several files."""

    allow_multiple_selected = True


class AdminDirectFileInput(DirectFileInput):
    """A file input with the look of Django's admin."""

    template_name = "s3kit/direct_file_admin.html"
