"""The probes of `manage.py s3 doctor`: each looks at the live buckets and returns lines on what it saw.

Probe objects are called `.doctor-<random>.txt` and deleted again whatever happens. Where a role may write but
not delete, a probe begins a multipart upload and aborts it: that needs the same right and leaves nothing.
"""
