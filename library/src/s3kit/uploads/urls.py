"""The URLs of the upload protocol: `path("uploads/", include("s3kit.uploads.urls"))`."""

from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from s3kit.uploads.views import begin, cancel, finish, protocol, show

app_name = "s3kit_uploads"
urlpatterns = [
    path("", require_POST(protocol(begin)), name="begin"),
    path("<uuid:ticket_id>/", require_safe(protocol(show)), name="ticket"),
    path("<uuid:ticket_id>/finish/", require_POST(protocol(finish)), name="finish"),
    path("<uuid:ticket_id>/cancel/", require_POST(protocol(cancel)), name="cancel"),
]
