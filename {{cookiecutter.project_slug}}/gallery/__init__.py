"""An example app: a gallery of pictures and videos. README.md says how to remove it."""
