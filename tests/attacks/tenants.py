"""An owner of another project goes for what this one keeps: secrets, schedules, Redis, zones, logs."""

import socket
import struct
import time
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from hyperframe.frame import DataFrame
from tests.attacks.grpc import call as grpc_call
from tests.attacks.grpc import grpc_status
from tests.attacks.roles import ELSEWHERE, OPERATOR, PLACE, PROJECTS, ROBOT, RUN, Call, as_token, number
from tests.attacks.roles import owner_elsewhere as owner
from tests.attacks.table import Tally, attack
from tests.attacks.target import NETCHECK, Target, until

from fogbank.dataplane.linux.images.python_runtime import collect_runtime
from fogbank.frontend.grpc.encode import encode

SECRETS = "https://secretmanager.googleapis.com/v1/projects"
SCHEDULER = "https://cloudscheduler.googleapis.com/v1"
REDIS = f"https://redis.googleapis.com/v1/projects/demo/{PLACE}/instances"
DNS = "https://dns.googleapis.com/dns/v1/projects"
PAYLOAD = "the payload of another project"
SHOWN = (PAYLOAD.encode(), b64encode(PAYLOAD.encode()))
MINE, THEIRS = f"projects/{ELSEWHERE}/{PLACE}", f"projects/demo/{PLACE}"


def kept_secret(target: Target) -> str:
    """Have the project ``demo`` keep a secret; gives the secret's name by number."""
    api = target.region.api
    api("POST", f"{SECRETS}/demo/secrets?secretId=kept", {"replication": {"automatic": {}}})
    added = {"payload": {"data": b64encode(PAYLOAD.encode()).decode()}}
    assert api("POST", f"{SECRETS}/demo/secrets/kept:addVersion", added)[0] == 200
    assert api("GET", f"{SECRETS}/demo/secrets/kept/versions/latest:access")[0] == 200
    return f"projects/{number(target)}/secrets/kept"


def refuse(target: Target, tally: Tally, token: str, calls: Iterator[Call] | list[Call]) -> None:
    """Expect that nothing of ``calls`` is allowed, and that no answer has the payload."""
    for each in calls:
        status, answer = as_token(target, token, each)
        held = status in {400, 401, 403, 404} and not any(text in answer for text in SHOWN)
        tally.expect(held, f"{each[0]} {each[1]}: {status} {answer[:200]!r}")


@attack("API")
def secrets_of_another_project(target: Target, tally: Tally, _door: str) -> None:
    """Read them by every name, and change them."""
    by_number, token = kept_secret(target), owner(target)
    own: Any = {"replication": {"automatic": {}}}
    as_token(target, token, ("POST", f"{SECRETS}/{ELSEWHERE}/secrets?secretId=kept", own))
    base = SECRETS.removesuffix("/projects")
    names = ["projects/demo/secrets/kept", by_number, f"projects/demo/{PLACE}/secrets/kept"]
    detour = f"projects/{ELSEWHERE}/secrets/x%2F..%2F..%2Fdemo%2Fsecrets%2Fkept"
    policy = {"policy": {"bindings": [{"role": "roles/owner", "members": [f"serviceAccount:{ROBOT}"]}]}}
    for name in (*names, detour):
        refuse(target, tally, token, [
            ("GET", f"{base}/{name}", None),
            ("GET", f"{base}/{name}/versions", None),
            ("GET", f"{base}/{name}/versions/latest:access", None),
            ("GET", f"{base}/{name}/versions/1:access", None),
            ("POST", f"{base}/{name}:addVersion", {"payload": {"data": "eA=="}}),
            ("POST", f"{base}/{name}/versions/1:destroy", {}),
            ("POST", f"{base}/{name}:setIamPolicy", policy),
            ("PATCH", f"{base}/{name}?updateMask=labels", {"name": f"projects/{ELSEWHERE}/secrets/kept"}),
            ("DELETE", f"{base}/{name}", None),
        ])  # fmt: skip
    for more in ("name=projects/demo/secrets/kept/versions/1", "resource=projects/demo/secrets/kept"):
        for path in ("secrets/kept/versions/1:access", "secrets/kept", "secrets/kept:getIamPolicy"):
            url = f"{SECRETS}/{ELSEWHERE}/{path}?{more}"
            status, answer = as_token(target, token, ("GET", url, None))
            held = status < 500 and not any(text in answer for text in (*SHOWN, b"/demo/"))
            tally.expect(held, f"{url}: {status} {answer[:200]!r}")
    assert target.region.api("GET", f"{SECRETS}/demo/secrets/kept/versions/latest:access")[0] == 200


@attack("API")
def secrets_in_a_strangers_service(target: Target, tally: Tally, _door: str) -> None:
    """Deploy services as an account that may not read a secret, which they name in variables and files."""
    by_number, token = kept_secret(target), owner(target)
    named = ("projects/demo/secrets/kept", by_number)
    shapes: list[Any] = []
    for name in named:
        source = {"secretKeyRef": {"secret": name, "version": "latest"}}
        shapes.append({"containers": [{"image": NETCHECK, "env": [{"name": "S", "valueSource": source}]}]})
        volume = {"name": "v", "secret": {"secret": name, "items": [{"path": "s", "version": "1"}]}}
        mounts = [{"name": "v", "mountPath": "/secret"}]
        shapes.append({"containers": [{"image": NETCHECK, "volumeMounts": mounts}], "volumes": [volume]})
    for place, shape in enumerate(shapes):
        url, service = f"{RUN}/{MINE}/services", f"thief{place}"
        body = {"template": {**shape, "serviceAccount": ROBOT}}
        status, answer = as_token(target, token, ("POST", f"{url}?serviceId={service}", body))
        if status == 200:
            tally.expect(_fails(target, f"{url}/{service}"), f"{shape} was started")
            target.region.api("DELETE", f"{url}/{service}")
        else:
            tally.expect(status in {400, 403}, f"{shape}: {status} {answer[:200]!r}")


def _fails(target: Target, url: str) -> bool:
    state: list[str] = []

    def ended() -> bool:
        service = target.region.api("GET", url)[1]
        state.append(service.get("terminalCondition", {}).get("state", ""))
        return state[-1] in {"CONDITION_FAILED", "CONDITION_SUCCEEDED"}

    return until(ended, 30) and state[-1] == "CONDITION_FAILED"


@attack("API")
def schedules_with_tokens_of_others(target: Target, tally: Tally, _door: str) -> None:
    """Have Cloud Scheduler call as an account of another project, or what only the host reaches."""
    token, jobs = owner(target), f"{SCHEDULER}/{MINE}/jobs"
    closed = f"https://{target.hosts['closed']}/info"
    base: Any = {"schedule": "0 0 1 1 *", "timeZone": "Etc/UTC"}
    compute = f"{number(target)}-compute@developer.gserviceaccount.com"
    with_own = {
        "uri": closed,
        "oidcToken": {"serviceAccountEmail": ROBOT, "audience": closed.removesuffix("/info")},
    }
    made = as_token(
        target, token, ("POST", jobs, base | {"name": f"{MINE}/jobs/own", "httpTarget": with_own})
    )
    tally.expect(made[0] == 200, f"an own account: {made}")
    for email in (
        compute,
        OPERATOR,
        f"service-{number(target)}@serverless-robot-prod.iam.gserviceaccount.com",
    ):
        for kind in ("oidcToken", "oauthToken"):
            wanted = base | {"httpTarget": {"uri": closed, kind: {"serviceAccountEmail": email}}}
            mask = f"httpTarget.{kind}.serviceAccountEmail"
            refuse(target, tally, token, [
                ("POST", jobs, wanted),
                ("POST", f"{SCHEDULER}/{THEIRS}/jobs", wanted),
                ("PATCH", f"{jobs}/own", wanted),
                ("PATCH", f"{jobs}/own?updateMask=httpTarget", wanted),
                *([("PATCH", f"{jobs}/own?updateMask={mask}", wanted)] if kind == "oidcToken" else []),
            ])  # fmt: skip
    as_token(target, token, ("POST", f"{jobs}/own:run", {}))
    ran = until(lambda: "lastAttemptTime" in target.region.api("GET", f"{jobs}/own")[1])
    code = target.region.api("GET", f"{jobs}/own")[1].get("status", {}).get("code")
    tally.expect(ran and code == 7, f"the closed service answered an account without a role: {code}")
    _reach_the_host(target, tally, token, jobs, base)


def _reach_the_host(target: Target, tally: Tally, token: str, jobs: str, base: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(1)
        here = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        metadata = "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token"
        for place, uri in enumerate((here, metadata, f"http://{target.closed_address}:8080/info")):
            sent = {"uri": uri, "httpMethod": "GET", "headers": {"Metadata-Flavor": "Google"}}
            job = f"{jobs}/host{place}"
            body = base | {"name": f"{MINE}/jobs/host{place}", "httpTarget": sent, "attemptDeadline": "15s"}
            as_token(target, token, ("DELETE", job, None))
            assert as_token(target, token, ("POST", jobs, body))[0] == 200
            as_token(target, token, ("POST", f"{job}:run", {}))

            def tried(job: str = job) -> bool:
                return "lastAttemptTime" in target.region.api("GET", job)[1]

            until(tried, 2.5)
            found = target.region.api("GET", job)[1]
            reached = "lastAttemptTime" in found and not found.get("status")
            tally.expect(not reached, f"Cloud Scheduler reached {uri}: {found}")
            as_token(target, token, ("DELETE", job, None))
        try:
            connection = listener.accept()[0]
        except TimeoutError:
            tally.expect(True, "")
        else:
            connection.close()
            tally.expect(False, "Cloud Scheduler connected to the host's loopback")


@attack("API")
def redis_of_another_project(target: Target, tally: Tally, _door: str) -> None:
    """Ask for the AUTH string of an instance, and put one into another project's network."""
    made = target.region.api(
        "POST", f"{REDIS}?instanceId=kept", {"tier": "BASIC", "memorySizeGb": 1, "authEnabled": True}
    )
    tally.expect(made[0] in {200, 409}, f"the owner's instance: {made}")

    def ready() -> bool:
        return bool((target.region.api("GET", f"{REDIS}/kept/authString")[1] or {}).get("authString"))

    tally.expect(until(ready), "the owner has no AUTH string")
    auth, token = target.region.api("GET", f"{REDIS}/kept/authString")[1]["authString"], owner(target)
    numbered = REDIS.replace("/demo/", f"/{number(target)}/")
    mine, network = REDIS.replace("/demo/", f"/{ELSEWHERE}/"), "projects/demo/global/networks/default"
    body = {"tier": "BASIC", "memorySizeGb": 1, "authorizedNetwork": network}
    calls: list[Call] = [("POST", f"{mine}?instanceId=thief", body)]
    for url in (REDIS, numbered, REDIS.replace("/v1/", "/v1beta1/")):
        calls += [("GET", f"{url}/kept/authString", None), ("GET", f"{url}/kept", None), ("GET", url, None)]
    calls += [("PATCH", f"{REDIS}/kept?updateMask=authEnabled", {"authEnabled": False})]
    for each in calls:
        status, answer = as_token(target, token, each)
        held = status in {400, 403, 404} and auth.encode() not in answer
        tally.expect(held, f"{each[0]} {each[1]}: {status} {answer[:200]!r}")


@attack("API")
def zones_in_another_projects_network(target: Target, tally: Tally, _door: str) -> None:
    """Bind a private zone to a network, peer with its view, and change what its own zones say."""
    token, zones = owner(target), f"{DNS}/{ELSEWHERE}/managedZones"
    link = "projects/demo/global/networks/default"
    base = {"dnsName": "googleapis.com.", "visibility": "private", "description": "x"}
    own = {**base, "name": "own", "privateVisibilityConfig": {"networks": []}}
    tally.expect(as_token(target, token, ("POST", zones, own))[0] in {200, 409}, "an own zone")
    for url in (
        link,
        f"https://www.googleapis.com/compute/v1/{link}",
        f"https://compute.googleapis.com/compute/v1/{link}",
        link.replace("demo", number(target)),
        f"{link}/",
        f"../../{link}",
    ):
        seen = {"privateVisibilityConfig": {"networks": [{"networkUrl": url}]}}
        peer = {"peeringConfig": {"targetNetwork": {"networkUrl": url}}}
        for changed in (seen, peer):
            refuse(target, tally, token, [
                ("POST", zones, {**base, "name": "thief", **changed}),
                ("PATCH", f"{zones}/own", changed),
                ("PUT", f"{zones}/own", {**base, "name": "own", **changed}),
            ])  # fmt: skip
    refuse(target, tally, token, [
        ("POST", f"{DNS}/demo/managedZones", {**own, "name": "thief"}),
        ("GET", f"{DNS}/demo/managedZones", None),
        ("GET", f"{DNS}/{number(target)}/managedZones", None),
    ])  # fmt: skip


@attack("API h2")
def projects_in_messages_and_in_headers(target: Target, tally: Tally, door: str) -> None:
    """Name one project in gRPC's routing header and another one in the message."""
    kept_secret(target)
    token = f"Bearer {owner(target)}".encode()
    calls: list[tuple[str, str, str, dict[str, Any]]] = [
        ("secretmanager", "google.cloud.secretmanager.v1", "SecretManagerService/AccessSecretVersion",
         {"name": "projects/demo/secrets/kept/versions/1"}),
        ("secretmanager", "google.cloud.secretmanager.v1", "SecretManagerService/AccessSecretVersion",
         {"name": f"projects/{ELSEWHERE}/secrets/x%2Fprojects%2Fdemo%2Fsecrets%2Fkept/versions/1"}),
        ("secretmanager", "google.cloud.secretmanager.v1", "SecretManagerService/ListSecrets",
         {"parent": "projects/demo"}),
        ("logging", "google.logging.v2", "LoggingServiceV2/ListLogEntries",
         {"resourceNames": [f"projects/{ELSEWHERE}", "projects/demo"]}),
        ("logging", "google.logging.v2", "LoggingServiceV2/WriteLogEntries",
         {"logName": f"projects/{ELSEWHERE}/logs/x", "entries": [
             {"logName": "projects/demo/logs/x", "textPayload": "forged"}]}),
        ("run", "google.cloud.run.v2", "Services/ListServices", {"parent": f"projects/demo/{PLACE}"}),
    ]  # fmt: skip
    for api, package, method, request in calls:
        message = encode(f"{package}.{method.partition('/')[2]}Request", request)
        body = struct.pack("!BI", 0, len(message)) + message
        for header in (f"name=projects/{ELSEWHERE}", f"parent=projects%2F{ELSEWHERE}&project={ELSEWHERE}"):
            found = grpc_call(
                target, door, f"/{package}.{method}".encode(), body, token,
                host=f"{api}.googleapis.com", more=((b"x-goog-request-params", header.encode()),),
            )  # fmt: skip
            status = grpc_status(found)
            told = b"".join(each.data for each in found if isinstance(each, DataFrame))
            held = status in {b"3", b"5", b"7"} and SHOWN[0] not in told
            tally.expect(held, f"{method} {request} with {header}: {status!r} {told[:100]!r}")


@attack("API")
def jobs_that_flood_logs(target: Target, tally: Tally, _door: str) -> None:
    """Write short and long lines as fast as a container can, for three seconds."""
    jobs = f"{RUN}/{THEIRS}/jobs"
    program = (
        "import os,time\nend=time.monotonic()+3\n"
        "while time.monotonic()<end: os.write(1,b'x\\n'*8000); os.write(2,b'y'*60000)"
    )
    interpreter = collect_runtime().interpreter
    container = {"image": NETCHECK, "command": [interpreter, "-I", "-S", "-B", "-c", program]}
    target.region.api("DELETE", f"{jobs}/flood")
    template = {"template": {"containers": [container], "maxRetries": 0, "timeout": "30s"}}
    assert until(lambda: target.region.api("POST", f"{jobs}?jobId=flood", {"template": template})[0] == 200)
    began = time.monotonic()
    assert until(lambda: target.region.api("POST", f"{jobs}/flood:run", {})[0] == 200)

    def ended() -> bool:
        found = target.region.api("GET", f"{jobs}/flood/executions")[1].get("executions", [])
        return bool(found) and all("completionTime" in each for each in found)

    tally.expect(until(ended, 45), f"the job runs {time.monotonic() - began:.0f} s later")
    done = target.region.api("GET", f"{jobs}/flood/executions")[1]["executions"]
    tally.expect(all(each.get("succeededCount") == 1 for each in done), f"it failed: {done}")
    tally.expect(target.region.api("GET", f"{PROJECTS}/demo")[0] == 200, "the API answers")
