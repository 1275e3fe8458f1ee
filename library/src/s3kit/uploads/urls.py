"""The URLs of the protocol: `path("uploads/", include("s3kit.uploads.urls"))`."""

from django.urls import path

from s3kit.uploads import views

app_name = "s3kit_uploads"
urlpatterns = [
    path("", views.begin, name="begin"),
    path("<uuid:ticket_id>/", views.show, name="ticket"),
    path("<uuid:ticket_id>/finish/", views.finish, name="finish"),
    path("<uuid:ticket_id>/cancel/", views.cancel, name="cancel"),
]
