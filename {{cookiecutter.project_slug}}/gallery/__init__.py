"""An example app: a page of pictures and films. README.md says how to remove it."""
