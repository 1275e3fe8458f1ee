"""The messages of the browser script. The widget adds them to the page in the user's language."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

SCRIPT: dict[str, str | Promise] = {
    # What happens to a file
    "queued": _("Waiting"),
    "checking": _("Checking the file"),
    "done": _("Sent"),
    "form": _("This file will be sent with the form."),
    "lost": _("The connection was lost. Trying again."),
    "offline": _("You are offline. Sending continues when you are back online."),
    "limited": _("Waiting for the server"),
    # Progress
    "figures": _("%(sent)s of %(total)s"),
    "left": _("%(sent)s of %(total)s, about %(time)s left"),
    "soon": _("%(sent)s of %(total)s, less than a minute left"),
    # Announcements for screen readers; the last one is for several files.
    "announce": _("%(name)s: %(note)s"),
    "announce_part": _("%(name)s: %(percent)s sent"),
    "announce_parts": _("Files: %(count)s. Sent: %(percent)s."),
    # Buttons
    "cancel": _("Cancel"),
    "remove": _("Remove"),
    "retry": _("Try again"),
    # The form was submitted while files were being sent.
    "held": _("The form will be submitted when all files have been sent."),
    "stay": _("Don't submit yet"),
    # Errors by code. When the server rejects a file, it sends its own message.
    "type": _("Files of this type are not accepted. Please choose one of %(types)s."),
    "too_large": _("This file is too large (%(size)s). The limit is %(limit)s."),
    "empty": _("This file is empty."),
    "changed": _("This file can't be read. It may have been changed or moved. Please choose it again."),
    "connection": _("The connection was lost several times. “Try again” continues where it stopped."),
    "denied": _("The file storage rejected this file. Please try again."),
    "barred": _("Your browser can't reach the file storage. Without it, the limit is %(limit)s."),
    "login_required": _("You are logged out. Please log in again in another tab, then try again here."),
    "stale": _("This page is out of date. Please reload it, then choose the file again."),
    "server": _("The server had a problem. Please try again in a minute."),
}
