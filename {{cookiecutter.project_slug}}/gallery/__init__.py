"""An example app: a gallery of pictures and films. README.md says how to remove it."""
