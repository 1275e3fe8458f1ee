"""The gallery's URLs."""

from django.urls import path

from gallery import views

urlpatterns = [
    path("", views.home, name="home"),
    path("pictures/add/", views.add_picture, name="add_picture"),
    path("pictures/<int:pk>/delete/", views.delete_picture, name="delete_picture"),
]
