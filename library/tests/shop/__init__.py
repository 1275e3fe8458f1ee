"""An app with ordinary models that have files."""
