"""pytest's configuration: with this plugin, tests never leave the machine, and upload to a temporary folder."""

pytest_plugins = ["s3kit.testing"]
