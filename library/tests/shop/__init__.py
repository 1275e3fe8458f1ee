"""An app with ordinary models, whose files come by any way."""
