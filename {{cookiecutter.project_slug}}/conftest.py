"""Configuration of pytest. With this plugin, tests make no network requests, and upload to a temporary folder."""

pytest_plugins = ["s3kit.testing"]
