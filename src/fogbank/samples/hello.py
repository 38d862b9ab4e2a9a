"""The hello image: one friendly page that says which service and which revision answered."""

import os

from fogbank.samples.web import SampleRequest, SampleResponse, Server, say

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{service} is up</title>
<style>
body {{ font-family: system-ui, sans-serif; margin: 15vh auto; max-width: 36rem; text-align: center; }}
svg {{ width: 9rem; }}
dl {{ display: inline-grid; grid-template-columns: auto auto; gap: .3rem 1rem; text-align: left; }}
dt {{ color: #667; }} dd {{ margin: 0; font-family: monospace; }}
</style>
</head>
<body>
<svg viewBox="0 0 120 60" aria-hidden="true"><path fill="#8aa7c4"
 d="M30 50a16 16 0 0 1 2-32 24 24 0 0 1 44-4 18 18 0 0 1 14 36z"/></svg>
<h1>Your container is up and answering.</h1>
<p>Next: deploy an image of your own to the same service.</p>
<dl><dt>Service</dt><dd>{service}</dd><dt>Revision</dt><dd>{revision}</dd></dl>
</body>
</html>
"""


def answer(_request: SampleRequest) -> SampleResponse:
    """Answer any path with the page."""
    names = {
        "service": escape(os.environ.get("K_SERVICE", "unknown")),
        "revision": escape(os.environ.get("K_REVISION", "unknown")),
    }
    return SampleResponse(_PAGE.format(**names), "text/html")


def escape(text: str) -> str:
    """Make ``text`` safe inside HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def main() -> None:
    """Run the server at ``$PORT``."""
    port = int(os.environ.get("PORT", "8080"))
    server = Server(answer, port)
    say(f"hello listens on port {port}")
    server.run()
