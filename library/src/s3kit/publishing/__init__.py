"""Static files on their way to S3, and uploads that move there."""
