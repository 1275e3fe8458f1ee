"""The strings of the page's script, which gets them from the widget in the visitor's language."""

SCRIPT: dict[str, object] = {}
