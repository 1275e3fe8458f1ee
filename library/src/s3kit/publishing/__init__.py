"""Commands that move files to S3: deploying static files, pruning old ones, and copying existing uploads."""
