"""Compile .proto files to the tables of gRPC in the package: `make protos PROTOS="FOLDER FOLDER"`.

The folders are checkouts of github.com/googleapis/googleapis and of
github.com/open-telemetry/opentelemetry-proto. Needs the dependency group `protos` (protoc).
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fogbank.discovery.protos import FOLDER

PACKAGES = (
    "google/api/serviceusage/v1",
    "google/cloud/location",
    "google/cloud/redis/v1",
    "google/cloud/resourcemanager/v3",
    "google/cloud/run/v2",
    "google/cloud/scheduler/v1",
    "google/cloud/secretmanager/v1",
    "google/cloud/vpcaccess/v1",
    "google/devtools/artifactregistry/v1",
    "google/devtools/cloudtrace/v1",
    "google/devtools/cloudtrace/v2",
    "google/iam/admin/v1",
    "google/iam/credentials/v1",
    "google/iam/v1",
    "google/logging/v2",
    "google/longrunning",
    "google/monitoring/v3",
    "google/rpc",
    "google/spanner/admin/database/v1",
    "google/spanner/admin/instance/v1",
    "google/spanner/v1",
    "opentelemetry/proto/collector/logs/v1",
    "opentelemetry/proto/collector/metrics/v1",
    "opentelemetry/proto/collector/trace/v1",
)
"""The folders whose services and messages are compiled; of what they import, what they use."""

_OWN = "google.protobuf."
_REPEATED = 3


def descriptors(roots: list[Path]) -> Any:
    """Compile the folders of PACKAGES and what they import; SystemExit when protoc is missing."""
    try:
        from google.api import annotations_pb2  # noqa: F401 - before parsing, or the rules are unknown fields
        from google.protobuf import descriptor_pb2
        from grpc_tools import protoc
    except ImportError:
        sys.exit("protoc is missing: pip install --group protos")
    files = [
        str(path.relative_to(root))
        for root in roots
        for each in PACKAGES
        for path in sorted((root / each).glob("*.proto"))
    ]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        own = Path(protoc.__file__).parent / "_proto"
        command = [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            *(f"-I{root}" for root in roots),
            f"-I{own}",
            "--include_imports",
        ]
        subprocess.run([*command, f"--descriptor_set_out={out}", *files], check=True)
        compiled = descriptor_pb2.FileDescriptorSet()
        compiled.ParseFromString(out.read_bytes())
    return compiled


def _within(holder: Any) -> Any:
    return holder.message_type if hasattr(holder, "message_type") else holder.nested_type


def messages_in(prefix: str, holder: Any) -> Iterator[tuple[str, Any]]:
    """List the messages in a file or message, those inside of others too, by their full names."""
    for message in _within(holder):
        name = f"{prefix}.{message.name}"
        yield name, message
        yield from messages_in(name, message)


def enums_in(prefix: str, holder: Any) -> Iterator[tuple[str, Any]]:
    """List the enums in a file or message by their full names."""
    for enum in holder.enum_type:
        yield f"{prefix}.{enum.name}", enum
    for message in _within(holder):
        yield from enums_in(f"{prefix}.{message.name}", message)


def compile_message(message: Any) -> list[Any]:
    """Shorten a message to rows ``[number, jsonName, name, type, repeated, typeName]``."""
    return [
        [f.number, f.json_name, f.name, f.type, int(f.label == _REPEATED), f.type_name.removeprefix(".")]
        for f in sorted(message.field, key=lambda f: f.number)
    ]


def compile_method(service: str, method: Any) -> list[Any]:
    """Shorten a method to ``[path, request, response, streams, [[verb, template, body], …]]``."""
    from google.api import annotations_pb2

    rule = method.options.Extensions[annotations_pb2.http]
    bindings = []
    for each in (rule, *rule.additional_bindings):
        verb = each.WhichOneof("pattern")
        if verb and verb != "custom":
            bindings.append([verb.upper(), getattr(each, verb), each.body])
    streams = ("c" if method.client_streaming else "") + ("s" if method.server_streaming else "")
    return [
        f"{service}/{method.name}",
        method.input_type.removeprefix("."),
        method.output_type.removeprefix("."),
        streams,
        bindings,
    ]


def used(wanted: Iterable[str], messages: dict[str, Any]) -> set[str]:
    """Return the names of the messages and enums that ``wanted`` need, themselves among them."""
    found: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name in messages:
            waiting += [f.type_name.removeprefix(".") for f in messages[name].field if f.type_name]
    return found


def main() -> None:
    """Write all tables."""
    if len(sys.argv) != 3:
        sys.exit('make protos PROTOS="GOOGLEAPIS OPENTELEMETRY", checkouts of the two repositories')
    found = descriptors([Path(each) for each in sys.argv[1:]])
    messages = {name: m for file in found.file for name, m in messages_in(file.package, file)}
    enums = {name: e for file in found.file for name, e in enums_in(file.package, file)}
    package_of = {name: file.package for file in found.file for name, _ in messages_in(file.package, file)}
    package_of |= {name: file.package for file in found.file for name, _ in enums_in(file.package, file)}
    own = {file.package for file in found.file if str(Path(file.name).parent) in PACKAGES}
    wanted = used((name for name in messages if package_of[name] in own), messages)
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for package in sorted({package_of[name] for name in wanted if not name.startswith(_OWN)}):
        lines = []
        for name in sorted(each for each in wanted if package_of[each] == package):
            row: Any = (
                compile_message(messages[name])
                if name in messages
                else {value.name: value.number for value in enums[name].value}
            )
            lines.append(f"{name}\t{json.dumps(row, separators=(',', ':'))}\n")
        (FOLDER / f"{package}.messages").write_text("".join(lines))
        methods = [
            compile_method(f"{package}.{service.name}", method)
            for file in found.file
            if file.package == package and package in own
            for service in file.service
            for method in service.method
        ]
        if methods:
            text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in sorted(methods))
            (FOLDER / f"{package}.rpcs").write_text(text)


if __name__ == "__main__":
    main()
