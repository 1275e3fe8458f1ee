"""Static files and uploads of Django sites on Amazon S3.

Importing the package imports nothing heavy and reads no settings. The documentation lists the public names;
everything else may change.
"""

__version__ = "0.4.0"
