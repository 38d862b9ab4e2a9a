"""Messages to JSON and back: as Google's own library has them; any bytes are read or refused."""

import json
import warnings
from contextlib import suppress
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.discovery.protos import FOLDER, find_rpc, find_type, packages, rpcs
from fogbank.frontend.grpc.decode import decode
from fogbank.frontend.grpc.encode import encode
from fogbank.frontend.grpc.messages import BadMessageError, message

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from google.cloud.logging_v2.types import LogEntry
    from google.cloud.monitoring_v3.types import TimeSeries
    from google.cloud.run_v2.types import Service
    from google.protobuf import json_format

ENTRY, SERVICE = "google.logging.v2.LogEntry", "google.cloud.run.v2.Service"
SERIES = "google.monitoring.v3.TimeSeries"
THEIRS = {ENTRY: LogEntry.pb(), SERVICE: Service.pb(), SERIES: TimeSeries.pb()}


def some(**fields):
    return st.fixed_dictionaries({}, optional=fields)


TEXTS = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
EARLIEST = datetime(1000, 1, 1)  # noqa: DTZ001 - hypothesis adds no zone
TIMES = st.datetimes(min_value=EARLIEST).map(lambda moment: moment.isoformat() + "Z")
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1).map(str)
SECONDS = st.integers(0, 10**9).map(lambda number: f"{number // 1000}.{number % 1000:03d}s")
COUNTS = some(count=INT64, mean=st.floats(-1e9, 1e9), bucketCounts=st.lists(INT64, max_size=4))
LABELS = st.dictionaries(TEXTS, TEXTS, max_size=3)


ENTRIES = some(
    logName=TEXTS,
    resource=some(type=TEXTS, labels=LABELS),
    jsonPayload=st.dictionaries(TEXTS, JSON, max_size=3),
    timestamp=TIMES,
    severity=st.sampled_from(["DEFAULT", "INFO", "ERROR"]),
    labels=LABELS,
    traceSampled=st.booleans(),
    httpRequest=some(status=INT32, responseSize=INT64, latency=SECONDS),
    split=some(index=INT32, totalSplits=INT32),
)  # fmt: skip
SERVICES = some(
    name=TEXTS,
    generation=INT64,
    ingress=st.sampled_from(["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY"]),
    traffic=st.lists(some(revision=TEXTS, percent=INT32), max_size=3),
    urls=st.lists(TEXTS, max_size=3),
    template=some(timeout=st.integers(-(10**6), 10**6).map(lambda n: f"{n}s"), annotations=LABELS),
)
VALUES = st.one_of(
    some(doubleValue=st.floats(allow_nan=False, allow_infinity=False)),
    some(int64Value=INT64),
    some(boolValue=st.booleans()),
    some(distributionValue=COUNTS),
)
KINDS = st.sampled_from(["GAUGE", "DELTA", "CUMULATIVE"])
DRAWN = st.one_of(
    st.tuples(st.just(ENTRY), ENTRIES),
    st.tuples(st.just(SERVICE), SERVICES),
    st.tuples(st.just(SERIES), some(points=st.lists(some(value=VALUES), max_size=3), metricKind=KINDS)),
)


@given(DRAWN)
def test_messages_are_read_and_written_as_googles_library_does(drawn):
    name, content = drawn
    theirs = json_format.ParseDict(content, THEIRS[name]())
    ours = encode(name, content)
    assert THEIRS[name].FromString(ours) == theirs
    written = theirs.SerializeToString()
    wanted = json.loads(json_format.MessageToJson(theirs), parse_float=float)
    # the library leaves out what has its default, which ours writes when the JSON has it
    assert json_format.ParseDict(decode(name, ours), THEIRS[name]()) == theirs
    assert floats(decode(name, written)) == floats(wanted)


def floats(value):
    """Write all numbers alike: JSON has 1 and 1.0."""
    if isinstance(value, dict):
        return {key: floats(each) for key, each in value.items()}
    if isinstance(value, list):
        return [floats(each) for each in value]
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


@given(st.sampled_from([ENTRY, SERVICE, SERIES, "google.rpc.Status"]), st.binary(max_size=60))
def test_any_bytes_are_a_message_or_are_refused(name, data):
    with suppress(BadMessageError):  # any other error is a bug
        decode(name, data)


@given(DRAWN, st.data())
def test_a_message_that_is_cut_or_changed_is_read_or_refused(drawn, data):
    name, content = drawn
    written = bytearray(encode(name, content))
    if written:
        at = data.draw(st.integers(0, len(written) - 1))
        written[at] ^= data.draw(st.integers(1, 255))
        del written[data.draw(st.integers(at, len(written))) :]
    with suppress(BadMessageError):
        decode(name, bytes(written))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a", "cut short"),
        (b"\x0a\x05ab", "cut short"),
        (b"\x0b", "wire type 3"),
        (b"\x00", "no number"),
        (b"\xff" * 11, "cut short or too long"),
        (b"\x0a\x01\xff", "not UTF-8"),
        (b"\x08\x01", "has another type"),
        (b"\x0d\x01", "cut short"),
    ],
)
def test_malformed_bytes_are_refused(data, why):
    name = "google.cloud.vpcaccess.v1.ListConnectorsRequest"
    with pytest.raises(BadMessageError, match=why):
        decode(name, data)


def nested(levels):
    """Write a structure of so many lists of one value in one another."""
    data = b""
    for _ in range(levels):
        inner = b"\x0a" + varint(len(data)) + data
        data = b"\x32" + varint(len(inner)) + inner
    entry = b"\x0a\x01a\x12" + varint(len(data)) + data
    return b"\x0a" + varint(len(entry)) + entry


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_what_is_too_deep_is_refused():
    assert decode("google.protobuf.Struct", nested(40))
    with pytest.raises(BadMessageError, match="too deep"):
        decode("google.protobuf.Struct", nested(5000))
    value: object = 1
    for _ in range(500):
        value = [value]
    with pytest.raises(BadMessageError, match="too deep"):
        encode("google.protobuf.Value", value)


def test_an_any_keeps_its_type_and_is_refused_when_no_table_has_it():
    status = {
        "code": 5,
        "message": "m",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "R", "metadata": {"a": "b"}}
        ],
    }
    assert decode("google.rpc.Status", encode("google.rpc.Status", status)) == status
    timed = {"details": [{"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1.500s"}]}
    assert decode("google.rpc.Status", encode("google.rpc.Status", timed)) == timed
    with pytest.raises(BadMessageError, match="there is no message"):
        encode("google.rpc.Status", {"details": [{"@type": "type.googleapis.com/google.nothing.V"}]})


def test_a_mask_has_the_names_of_json():
    data = encode("google.protobuf.FieldMask", "labels,trafficSplit.revisionName")
    assert b"traffic_split.revision_name" in data
    assert decode("google.protobuf.FieldMask", data) == "labels,trafficSplit.revisionName"


def test_unknown_fields_and_values_of_newer_clients_are_passed_over_or_kept_as_numbers():
    data = encode(SERVICE, {"name": "n"}) + b"\x9a\xfa\x01\x01x"
    assert decode(SERVICE, data) == {"name": "n"}
    assert decode(ENTRY, encode(ENTRY, {"severity": 123})) == {"severity": 123}


@pytest.mark.parametrize("package", sorted(packages()))
def test_every_message_of_the_tables_has_all_that_it_refers_to(package):
    names = [line.partition("\t")[0] for line in (FOLDER / f"{package}.messages").read_text().splitlines()]
    for name in names:
        if isinstance(find_type(name), dict):
            continue
        for field in message(name).by_number.values():
            assert not field.of or field.of.startswith("google.protobuf.") or find_type(field.of) is not None
    for rpc in rpcs(package).values():
        for each in (rpc.request, rpc.response):
            assert each == "google.protobuf.Empty" or isinstance(find_type(each), list)


def test_what_no_table_has_is_not_found():
    assert find_rpc("google.cloud.run.v2.Services/Nothing") is None
    assert find_rpc("nothing") is None
    assert find_rpc("../../etc.Services/passwd") is None
    assert find_type("google.cloud.run.v2.Nothing") is None
