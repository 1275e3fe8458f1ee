"""A site that runs in its own process, for Chromium. `settings.SITE` names the package whose admin or editor it has."""
