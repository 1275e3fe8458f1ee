"""A form whose fields come from packages."""

from django import forms
from django_ace import AceWidget
from location_field.forms.plain import PlainLocationField
from mdeditor.fields import MDTextFormField


class PlaceForm(forms.Form):
    where = PlainLocationField(based_fields=["city"])
    text = MDTextFormField()
    code = forms.CharField(widget=AceWidget(mode="python"))
