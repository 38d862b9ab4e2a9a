"""The dictionary between the two APIs of Cloud Run: an annotation there is a field here.

Rendering and parsing both read these tables, so that they are each other's inverse.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fogbank.discovery.schemas import check_response
from fogbank.errors import ApiError, not_built
from fogbank.resources import run
from fogbank.resources.direct_vpc import NETWORK_INTERFACES
from fogbank.services.run.objects import bad_request

SYSTEM = ("run.googleapis.com/", "cloud.googleapis.com/", "serving.knative.dev/", "autoscaling.knative.dev/")
"""Labels and annotations with these beginnings are not seen in v2, and refused.

See behaviour/cloud-run.md#revisions.
"""


@dataclass(frozen=True, slots=True)
class Word:
    """An annotation, the path of its v2 field, and how to turn the one into the other."""

    annotation: str
    path: tuple[str, ...]
    render: Callable[[str], Any]
    parse: Callable[[Any], str]


def _text(annotation: str, *path: str) -> Word:
    return Word(annotation, path, str, str)


def _number(annotation: str, *path: str) -> Word:
    return Word(annotation, path, int, lambda value: str(int(value)))


def _flag(annotation: str, *path: str) -> Word:
    return Word(annotation, path, _is_true, lambda value: str(bool(value)).lower())


def _is_true(text: str) -> bool:
    return text.lower() == "true"


def _json(annotation: str, *path: str) -> Word:
    return Word(annotation, path, _read_json, lambda value: json.dumps(value, separators=(",", ":")))


def _read_json(text: str) -> Any:
    """Read what an answer can say again; ValueError for null and for what UTF-8 cannot write."""
    value = json.loads(text)
    if value is None:
        raise ValueError("null says nothing")
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _choice(annotation: str, path: str | tuple[str, ...], choices: Mapping[str, str]) -> Word:
    back = {field: word for word, field in choices.items()}  # of two words for a field the later is today's

    def parse(value: Any) -> str:
        if value not in back:
            raise bad_request(f"'{value}' is not one of {', '.join(back)}.")
        return back[value]

    return Word(
        annotation, (path,) if isinstance(path, str) else path, lambda text: choices.get(text, text), parse
    )


AUTHORIZATION = "run.googleapis.com/binary-authorization"
BREAKGLASS = "run.googleapis.com/binary-authorization-breakglass"
_DEFAULT_POLICY = "default"


def check_authorization(annotations: Mapping[str, str]) -> None:
    """Refuse to enforce a policy of Binary Authorization but the default one, which allows every image.

    A justification of break-glass deploys whatever a policy says (behaviour/cloud-run.md#deployment).
    """
    if annotations.get(AUTHORIZATION, _DEFAULT_POLICY) != _DEFAULT_POLICY and not annotations.get(BREAKGLASS):
        raise not_built("policies of Binary Authorization without break-glass")


TEMPLATE: tuple[Word, ...] = (
    _number(run.MIN_SCALE, "scaling", "minInstanceCount"),
    _number(run.MAX_SCALE, "scaling", "maxInstanceCount"),
    _text(run.CONNECTOR, "vpcAccess", "connector"),
    _json(NETWORK_INTERFACES, "vpcAccess", "networkInterfaces"),
    _choice(
        run.EGRESS,
        ("vpcAccess", "egress"),
        {"private-ranges-only": "PRIVATE_RANGES_ONLY", "all": "ALL_TRAFFIC", "all-traffic": "ALL_TRAFFIC"},
    ),
    _choice(
        "run.googleapis.com/execution-environment",
        "executionEnvironment",
        {"gen1": "EXECUTION_ENVIRONMENT_GEN1", "gen2": "EXECUTION_ENVIRONMENT_GEN2"},
    ),
    _flag("run.googleapis.com/sessionAffinity", "sessionAffinity"),
    _flag(run.HEALTH_CHECK_OFF, "healthCheckDisabled"),
    _text("run.googleapis.com/client-name", "client"),
    _text("run.googleapis.com/client-version", "clientVersion"),
    _text("run.googleapis.com/encryption-key", "encryptionKey"),
)
"""The annotations of a template."""

CONTAINER: tuple[Word, ...] = (
    _flag("run.googleapis.com/cpu-throttling", "cpuIdle"),
    _flag("run.googleapis.com/startup-cpu-boost", "startupCpuBoost"),
)
"""The annotations of a template that v2 has in its container's ``resources``."""

SERVICE: tuple[Word, ...] = (
    _choice(
        run.INGRESS,
        "ingress",
        {
            "all": "INGRESS_TRAFFIC_ALL",
            "internal": "INGRESS_TRAFFIC_INTERNAL_ONLY",
            "internal-and-cloud-load-balancing": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
            "none": "INGRESS_TRAFFIC_NONE",
        },
    ),
    _text("run.googleapis.com/launch-stage", "launchStage"),
    _text("run.googleapis.com/description", "description"),
    _flag(run.IAM_CHECK_OFF, "invokerIamDisabled"),
    _flag("run.googleapis.com/default-url-disabled", "defaultUriDisabled"),
    _json("run.googleapis.com/custom-audiences", "customAudiences"),
    _number(run.SERVICE_MIN_SCALE, "scaling", "minInstanceCount"),
    _number(run.SERVICE_MAX_SCALE, "scaling", "maxInstanceCount"),
    _number(run.MANUAL_COUNT, "scaling", "manualInstanceCount"),
    _choice(
        run.SCALING_MODE,
        ("scaling", "scalingMode"),
        {"automatic": "AUTOMATIC", "manual": "MANUAL"},
    ),
    Word(
        AUTHORIZATION,
        ("binaryAuthorization", "useDefault"),
        lambda text: True if text == _DEFAULT_POLICY else None,
        lambda _value: _DEFAULT_POLICY,
    ),
    Word(
        AUTHORIZATION,
        ("binaryAuthorization", "policy"),
        lambda text: text if text != _DEFAULT_POLICY else None,
        str,
    ),
    _text(BREAKGLASS, "binaryAuthorization", "breakglassJustification"),
    _text("run.googleapis.com/client-name", "client"),
    _text("run.googleapis.com/client-version", "clientVersion"),
)
"""The annotations of a service."""

UNWRITTEN: Mapping[str, str] = {
    run.MAX_SCALE: str(run.DEFAULT_MAX_INSTANCES),
    "run.googleapis.com/cpu-throttling": "true",
}
"""What a template means that does not have these annotations: v2 shows it, v1 does not."""

_FLAGS = frozenset(word.annotation for word in (*TEMPLATE, *CONTAINER) if word.render is _is_true)

_UNSET_AT_ZERO = frozenset({run.MAX_SCALE, run.SERVICE_MAX_SCALE})
"""Numbers of which 0 means, as in protocol buffers, that the client has not set them."""

REASONS = {
    "HealthCheckContainerError": ("revisionReason", "HEALTH_CHECK_CONTAINER_ERROR"),
    "ContainerMissing": ("reason", "CONTAINER_MISSING"),
    "SecretsAccessCheckFailed": ("reason", "SECRETS_ACCESS_CHECK_FAILED"),
    "VpcNetworkNotFound": ("reason", "VPC_NETWORK_NOT_FOUND"),
    "Retired": ("revisionReason", "RETIRED"),
    "Deploying": ("revisionReason", "PENDING"),
    "NonZeroExitCode": ("executionReason", "NON_ZERO_EXIT_CODE"),
    "Cancelled": ("executionReason", "CANCELLED"),
    "Cancelling": ("executionReason", "CANCELLING"),
}
"""A v1 condition's reason, and the field and value that v2 has for it."""


def render_words(words: tuple[Word, ...], annotations: Mapping[str, str]) -> dict[str, Any]:
    """Make the fields that ``annotations`` stand for."""
    fields: dict[str, Any] = {}
    for word in words:
        value = word.render(annotations[word.annotation]) if word.annotation in annotations else None
        if value is not None:
            at = fields
            for step in word.path[:-1]:
                at = at.setdefault(step, {})
            at[word.path[-1]] = value
    return fields


def parse_words(words: tuple[Word, ...], fields: Mapping[str, Any]) -> dict[str, str]:
    """Make the annotations that ``fields`` stand for."""
    found: dict[str, str] = {}
    for word in words:
        at: Any = fields
        for step in word.path:
            at = at.get(step) if isinstance(at, Mapping) else None
        unset = at == 0 and word.annotation in _UNSET_AT_ZERO
        if at not in (None, "", [], {}) and not unset:
            found[word.annotation] = word.parse(at)
    return found


def check_words(words: tuple[Word, ...], message: str, annotations: Mapping[str, str]) -> None:
    """Refuse annotations (400) that v2 could not show: their fields do not fit its schema ``message``."""
    for word in words:
        if word.annotation not in annotations:
            continue
        try:
            fits = not check_response("run.v2", message, render_words((word,), annotations))
        except (ValueError, RecursionError):
            fits = False
        if not fits:
            raise bad_request(f"Invalid {word.annotation} value '{annotations[word.annotation]}'.")


def meaning(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return a template's annotations in one form: defaults are written down, flags are in lower case.

    Templates of one meaning need no new revision, whichever API wrote them (gcloud writes ``True``).
    """
    written = {
        key: value.lower() if key in _FLAGS else value for key, value in {**UNWRITTEN, **annotations}.items()
    }
    unsaid = {key for key in _FLAGS - UNWRITTEN.keys() if written.get(key) == "false"}
    return {key: value for key, value in written.items() if key not in unsaid}


def own_words(texts: Mapping[str, str]) -> dict[str, str]:
    """Leave out the labels or annotations that v2 does not show."""
    return {key: value for key, value in texts.items() if not key.startswith(SYSTEM)}


def refuse_system_words(texts: Mapping[str, str], what: str) -> None:
    """Refuse labels or annotations that v2 has fields for."""
    for key in texts:
        if key.startswith(SYSTEM):
            raise ApiError(
                400,
                f"{what} '{key}' is in a namespace that the system keeps for itself.",
                "INVALID_ARGUMENT",
                "badRequest",
            )
