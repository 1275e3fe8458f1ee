"""The example: one page that shows uploaded pictures. README.md says how to remove it."""
