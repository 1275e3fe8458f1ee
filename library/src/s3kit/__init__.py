"""Everything that knows Amazon S3; the rest of the project asks Django's storages."""
