"""The probes of `manage.py s3 doctor`: each tests the live buckets and returns lines for the report.

Probe objects are named `.doctor-<random>.txt`, and a probe always deletes them. If a role may write but not delete,
the probe begins a multipart upload and aborts it: that needs the same right and leaves nothing behind.
"""
