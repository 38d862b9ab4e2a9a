"""What Cloud Run writes to Cloud Logging: lines of containers, requests, and what happens to instances.

See behaviour/logging.md#cloud-run.
"""

import secrets

from fogbank.clock import Clock
from fogbank.dataplane.driver import MemoryExceeded, WorkloadExited
from fogbank.frontend.ingress.exchange import RequestRecord
from fogbank.resources.log_entries import line_fields, log_name, time_of, time_text
from fogbank.resources.names import ResourceName
from fogbank.resources.run import Readiness
from fogbank.resources.run_containers import ContainerProbe
from fogbank.resources.world import Json
from fogbank.services.run.controller.instance_state import InstanceState
from fogbank.store.log_entries import LogEntries

DEPLOYMENT = (
    "DEPLOYMENT_ROLLOUT - Instance started due to traffic shifting between revisions due to deployment, "
    "traffic split adjustment, or deployment health check."
)
AUTOSCALING = (
    "AUTOSCALING - Instance started due to configured scaling factors (e.g. CPU utilization, request "
    "throughput, etc.) or no existing capacity for current traffic."
)
MINIMUM = (
    "MANUAL_OR_CUSTOMER_MIN_INSTANCE - Instance started due to customer-configured min-instances or manual "
    "scaling."
)
_MIB = 1024 * 1024
SYSTEM = "varlog/system"
"""The log in which the platform speaks about an instance."""


def memory_exceeded(found: MemoryExceeded) -> str:
    """Say that a container used more memory than it may (behaviour/cloud-run.md#container)."""
    return (
        f"Memory limit of {found.limit // _MIB} MiB exceeded with {found.used // _MIB} MiB used. Consider "
        "increasing the memory limit, see https://cloud.google.com/run/docs/configuring/memory-limits"
    )


class RunLog:
    """Writes the entries of Cloud Run's revisions."""

    def __init__(self, entries: LogEntries, clock: Clock) -> None:
        self._entries, self._clock = entries, clock

    def wrote(self, instance: InstanceState, stream: str, line: str) -> None:
        """Take a line that a container wrote on ``stdout`` or ``stderr``."""
        self._append(instance, stream, line_fields(line))

    def started(self, instance: InstanceState, *, scaled: bool) -> None:
        """Say why an instance starts; ``scaled`` when a request waits for it or the load asks for it."""
        reason = AUTOSCALING if scaled else MINIMUM
        if instance.revision.readiness is Readiness.UNKNOWN:
            reason = DEPLOYMENT
        text = f"Starting new instance. Reason: {reason}"
        self._append(instance, SYSTEM, {"textPayload": text, "severity": "INFO"})

    def listens(self, instance: InstanceState, container: str, probe: ContainerProbe, seconds: float) -> None:
        """Say that a container passed its start-up probe ``seconds`` after it was started.

        Attempts are counted as Google makes them, one a period.
        """
        attempts = 1 + int(max(0.0, seconds - probe.initial_delay) // max(probe.period, 1))
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        text = f"{_probe_name(probe)} succeeded after {times} for {_container(instance, container, probe)}"
        self._append(instance, SYSTEM, {"textPayload": text, "severity": "INFO"})

    def never_listened(self, instance: InstanceState, container: str, probe: ContainerProbe) -> None:
        """Say that a container did not pass its start-up probe in time."""
        failures = probe.failure_threshold
        times = "1 time" if failures == 1 else f"{failures} times"
        text = (
            f"{_probe_name(probe)} failed {times} consecutively for {_container(instance, container, probe)} "
            "The instance was not started."
        )
        self._append(instance, SYSTEM, {"textPayload": text, "severity": "ERROR"})

    def not_started(self, instance: InstanceState, why: str) -> None:
        """Say that an instance could not be started at all."""
        self._append(instance, SYSTEM, {"textPayload": why, "severity": "ERROR"})

    def exited(self, instance: InstanceState, event: WorkloadExited) -> None:
        """Say that a container ended, by itself or for its memory."""
        if event.exceeded is not None:
            text = memory_exceeded(event.exceeded)
            self._append(instance, SYSTEM, {"textPayload": text, "severity": "ERROR"})
            return
        status = event.status
        text = f"Uncaught signal: {-status}" if status < 0 else f"Container called exit({status})."
        self._append(instance, SYSTEM, {"textPayload": text, "severity": "WARNING"})

    def request(self, record: RequestRecord) -> None:
        """Write the entry of a request to a service (behaviour/logging.md#requests)."""
        project = record.service.project
        request = {
            "requestMethod": record.method,
            "requestUrl": record.url,
            "requestSize": str(record.request_size),
            "status": record.status,
            "responseSize": str(record.response_size),
            "userAgent": record.user_agent,
            "remoteIp": record.remote_ip,
            "latency": f"{record.latency:.9f}s",
            "protocol": record.protocol,
        }
        fields: Json = {
            "httpRequest": {key: value for key, value in request.items() if value not in ("", 0)},
            "severity": record.severity,
            "trace": f"projects/{project}/traces/{record.trace.trace_id}",
            "spanId": record.trace.span_id,
            "traceSampled": True,
            "timestamp": time_text(time_of(self._clock.now()) - int(record.latency * 1e9)),
        }
        if record.message:
            fields["textPayload"] = record.message
        self._write(record.service, record.revision.id if record.revision else "", "requests", fields)

    def _append(self, instance: InstanceState, log: str, fields: Json) -> None:
        labels = {"instanceId": instance.id, **fields.get("labels", {})}
        revision = instance.revision
        self._write(revision.service, revision.name.id, log, {**fields, "labels": labels})

    def _write(self, service: ResourceName, revision: str, log: str, fields: Json) -> None:
        resource = revision_resource(service, revision)
        self._entries.append(service.project, run_entry(service.project, resource, log, fields, self._clock))


def run_entry(project: str, resource: Json, log: str, fields: Json, clock: Clock) -> Json:
    """Make an entry of one of Cloud Run's logs (``stdout``) about a monitored ``resource``, written now."""
    now = time_text(time_of(clock.now()))
    return {
        "insertId": secrets.token_hex(12),
        "timestamp": now,
        **fields,
        "logName": log_name(project, f"run.googleapis.com/{log}"),
        "resource": resource,
        "receiveTimestamp": now,
    }


def revision_resource(service: ResourceName, revision: str) -> Json:
    """Return the monitored resource of a revision; of none (empty) when a request reached none."""
    labels = {
        "project_id": service.project,
        "location": service.region or "",
        "service_name": service.id,
        "configuration_name": service.id,
        "revision_name": revision,
    }
    return {"type": "cloud_run_revision", "labels": labels}


def _probe_name(probe: ContainerProbe) -> str:
    """Name a probe as Cloud Run does: the one that every container has by itself is the default one."""
    default = "Default " if (probe.kind, probe.period, probe.failure_threshold) == ("tcp", 240, 1) else ""
    return f"{default}STARTUP {probe.kind.upper()} probe"


def _container(instance: InstanceState, container: str, probe: ContainerProbe) -> str:
    if container:
        return f'container "{container}" on port {probe.port}.'
    return f'container "{instance.revision.service.id}-1" on port {probe.port}.'
