"""The gallery's addresses."""

from django.urls import path

from gallery import tickets, views

urlpatterns = [
    path("", views.home, name="home"),
    path("pictures/add/", views.add_picture, name="add_picture"),
    path("pictures/<int:pk>/delete/", views.delete_picture, name="delete_picture"),
    path("pictures/uploads/", tickets.begin, name="begin_upload"),
    path("pictures/uploads/<uuid:ticket_id>/", tickets.show, name="upload"),
    path("pictures/uploads/<uuid:ticket_id>/cancel/", tickets.cancel, name="cancel_upload"),
]
