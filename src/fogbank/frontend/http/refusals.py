"""The pages of Google's front end itself, for requests that it gives to no service."""

_TEXTS = {
    400: ("Bad Request", "Your client has issued a malformed or illegal request."),
    413: ("Request Entity Too Large", "Your client issued a request that was too large."),
    500: ("Internal Server Error", "The server encountered an error and could not complete your request."),
    501: ("Not Implemented", "The server cannot process the request."),
}


def page(status: int) -> str:
    """Write the page of the front end itself, for a request that it gives to no service."""
    title, text = _TEXTS[status]
    return (
        f"<!DOCTYPE html>\n<html lang=en>\n<title>Error {status} ({title})!!1</title>\n"
        f"<p><b>{status}.</b> <ins>That&rsquo;s an error.</ins>\n"
        f"<p>{text}  <ins>That&rsquo;s all we know.</ins>\n"
    )
