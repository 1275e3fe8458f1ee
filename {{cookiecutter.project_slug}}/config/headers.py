"""The headers by which browsers keep a page to what it is meant to do.

Those that Django knows are in the settings. Here is the Content-Security-Policy, whose sources depend on
where the files are, and what neither Django nor django-csp sends.
"""

from csp.constants import HEADER, HEADER_REPORT_ONLY
from csp.middleware import CSPMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from s3 import origins

FIXED = {
    # No other site may load a page of this one as its image, script or frame.
    "Cross-Origin-Resource-Policy": "same-origin",
    # With COOP it puts the site into a process of its own. What is loaded from other hosts, S3 among them, is
    # asked for without cookies; "require-corp" would ask for a header that S3 can't send.
    "Cross-Origin-Embedder-Policy": "credentialless",
    # What no page here uses, no injected script shall use either.
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class PageHeadersMiddleware(CSPMiddleware):
    """Adds the policy of CONTENT_SECURITY_POLICY, with addresses for its three words, and the fixed headers.

    A header that a view has set stays. With debug on, Django's own error pages, whose styles are inline, go
    without a policy.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add the headers."""
        if settings.DEBUG and response.status_code == 400:  # django-csp itself sees to 404 and 500
            response._csp_exempt = True  # type: ignore[attr-defined]
        response = super().process_response(request, response)
        for header in (HEADER, HEADER_REPORT_ONLY):
            if header in response:
                response[header] = origins.fill_in(response[header])
        for header, value in FIXED.items():
            response.headers.setdefault(header, value)
        return response
