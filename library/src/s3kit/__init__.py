"""Static files and uploads of Django sites on Amazon S3.

Importing the package imports nothing heavy and reads no settings. Its public names are those that the
documentation lists; everything else may change.
"""

__version__ = "0.4.0"
