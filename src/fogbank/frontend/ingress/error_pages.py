"""The pages that Google's front end shows for a service, in its own words (behaviour/cloud-run.md#invokers).

People and scripts compare them byte by byte, because a container's own 404 looks different.
"""

import html

_PAGE = (
    '<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n'
    "<title>{title}</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n"
    "<h1>Error: {heading}</h1>\n<h2>{text}</h2>\n<h2></h2>\n</body></html>"
)

UPSTREAM_TIMEOUT = "upstream request timeout"
TIMED_OUT = "The request has been terminated because it has reached the maximum request timeout."
ANSWER_TOO_LARGE = "Response size was too large. Please consider reducing response size."
NO_INSTANCE = "The request was aborted because there was no available instance."


def forbidden(path: str) -> str:
    """Write the page for a caller who may not invoke the service."""
    text = (
        f"Your client does not have permission to get URL <code>{html.escape(path)}</code> from this server."
    )
    return _PAGE.format(title="403 Forbidden", heading="Forbidden", text=text)


def unauthorized(path: str) -> str:
    """Write the page for a token that cannot be verified."""
    text = f"Your client does not have permission to the requested URL <code>{html.escape(path)}</code>."
    return _PAGE.format(title="401 Unauthorized", heading="Unauthorized", text=text)


def not_found() -> str:
    """Write the page for a host that belongs to no service."""
    return _PAGE.format(
        title="404 Page not found",
        heading="Page not found",
        text="The requested URL was not found on this server.",
    )


def too_large() -> str:
    """Write the page for a request whose body is larger than HTTP/1 allows (unverified text)."""
    return _PAGE.format(
        title="413 Request Entity Too Large",
        heading="Request Entity Too Large",
        text="Your client issued a request that was too large.",
    )


def unavailable() -> str:
    """Write the page for an instance that refused or dropped the connection."""
    return _PAGE.format(
        title="503 Server Error",
        heading="Server Error",
        text="The service you requested is not available at this time.",
    )
