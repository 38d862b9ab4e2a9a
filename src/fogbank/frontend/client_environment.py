"""The environment that points unmodified clients at a region (``fogbank env``, ``fogbank exec``).

Every variable is there because some client reads only that one (behaviour/clients.md#proxy). All roots are
replaced, because a machine may have set them to its own; what would lead a client elsewhere is taken away.
HTTP_PROXY stays as it is: the proxy is for TLS alone, and metadata servers are asked over plain HTTP.
"""

import json
import shlex
from collections.abc import Callable, Mapping

from fogbank.settings import Folders

Environment = Mapping[str, str | None]
"""Variables by name; None stands for one that must not be set."""

_ROOTS = (
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",  # gcloud
    "REQUESTS_CA_BUNDLE",  # requests, and with it most of Google's Python clients
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",  # Go, OpenSSL, urllib
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",  # grpcio reads no other
    "HTTPLIB2_CA_CERTS",  # google-api-python-client
    "NODE_EXTRA_CA_CERTS",
    "AWS_CA_BUNDLE",  # Terraform's AWS provider, when both are in one plan
)
_PROJECT = ("CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GOOGLE_PROJECT", "GCLOUD_PROJECT")
_REGION = ("CLOUDSDK_COMPUTE_REGION", "CLOUDSDK_RUN_REGION", "GOOGLE_REGION", "GOOGLE_CLOUD_REGION")
_CREDENTIALS = ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE")
_LEADING_ELSEWHERE = (
    "CLOUDSDK_ACTIVE_CONFIG_NAME",
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
    "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
    "CLOUDSDK_CORE_ACCOUNT",
    "GOOGLE_CREDENTIALS",
    "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "grpc_proxy",
)


def environment(folders: Folders, port: int, project: str, region: str) -> Environment:
    """Compute the variables for a region whose proxy listens on ``port``."""
    proxy, direct = f"http://127.0.0.1:{port}", "127.0.0.1,localhost,::1"
    return {
        # Both cases: grpcio reads only the lower one.
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,
        "NO_PROXY": direct,
        "no_proxy": direct,
        **dict.fromkeys(_ROOTS, str(folders.bundle)),
        "CLOUDSDK_CONFIG": str(folders.gcloud),
        **dict.fromkeys(_PROJECT, project),
        **dict.fromkeys(_REGION, region),
        **dict.fromkeys(_CREDENTIALS, str(folders.credentials)),
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",  # no search for a metadata server on this machine
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        "CHECKPOINT_DISABLE": "1",  # Terraform asks its maker for news otherwise
        **dict.fromkeys(_LEADING_ELSEWHERE),
    }


def docker_environment(folders: Folders) -> Environment:
    """Compute the variables that lead docker's client to the region's own engine.

    Its builder is the classic one: BuildKit's needs a network of its own.
    """
    return {
        "DOCKER_HOST": f"unix://{folders.docker_socket}",
        "DOCKER_BUILDKIT": "0",
        "DOCKER_CONFIG": str(folders.docker_config),
        "DOCKER_CONTEXT": None,
    }


def applied(variables: Environment, base: Mapping[str, str]) -> dict[str, str]:
    """Lay ``variables`` over the environment ``base``."""
    return {name: value for name, value in {**base, **variables}.items() if value is not None}


def render_posix(variables: Environment) -> str:
    """Write lines for bash and zsh."""
    return _lines(variables, lambda n, v: f"export {n}={shlex.quote(v)}", lambda n: f"unset {n}")


def render_fish(variables: Environment) -> str:
    """Write lines for fish."""

    def quoted(value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

    return _lines(variables, lambda n, v: f"set -gx {n} {quoted(v)}", lambda n: f"set -e {n}")


def render_json(variables: Environment) -> str:
    """Write one JSON object; null stands for a variable to unset."""
    return json.dumps(dict(variables), indent=2) + "\n"


def render_dotenv(variables: Environment) -> str:
    """Write a .env file, which can only set."""

    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'

    return _lines(variables, lambda n, v: f"{n}={quoted(v)}", None)


RENDERERS: Mapping[str, Callable[[Environment], str]] = {
    "bash": render_posix,
    "zsh": render_posix,
    "sh": render_posix,
    "fish": render_fish,
    "json": render_json,
    "dotenv": render_dotenv,
}
"""The forms that ``fogbank env`` can print."""


def _lines(
    variables: Environment, set_line: Callable[[str, str], str], unset_line: Callable[[str], str] | None
) -> str:
    lines = []
    for name, value in variables.items():
        if value is not None:
            lines.append(set_line(name, value))
        elif unset_line is not None:
            lines.append(unset_line(name))
    return "".join(line + "\n" for line in lines)
