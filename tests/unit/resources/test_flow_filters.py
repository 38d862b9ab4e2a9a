"""Filters of flow logs: what is understood is evaluated, and the rest is refused with the reason."""

import pytest

from fogbank.errors import ApiError
from fogbank.resources.flow_filters import ExpressionError, parse_filter

RECORD = {
    "connection": {
        "src_ip": "10.8.0.2",
        "src_port": 40000,
        "dest_ip": "192.0.2.1",
        "dest_port": 443,
        "protocol": 6,
    },
    "reporter": "SRC",
    "bytes_sent": "100",
    "src_instance": {"vm_name": "web-1", "zone": "asia-northeast3-a"},
    "src_vpc": {"vpc_name": "default", "subnetwork_name": "front"},
}


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("true", True),
        ("connection.protocol == 17", False),
        ("connection.dest_port in [80, 443]", True),
        ("inIpRange(connection.src_ip, '10.8.0.0/16')", True),
        ('inIpRange(connection.dest_ip, "10.8.0.0/16")', False),
        ("!inIpRange(connection.dest_ip, '10.0.0.0/8') && reporter == 'SRC'", True),
        ("src_instance.vm_name.startsWith('web-')", True),
        ("dest_instance.vm_name == 'db'", False),
        ("has(src_vpc.vpc_name) && has(dest_vpc.vpc_name)", False),
        ("!(has(src_vpc.vpc_name) && has(dest_vpc.vpc_name))", True),
        ("src_vpc.subnetwork_name != 'front' || connection.src_port > 1024", True),
    ],
)
def test_a_filter_says_which_records_are_kept(expression: str, kept: bool) -> None:
    assert parse_filter(expression)(RECORD) is kept


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("bytes_sent > 100", "undeclared reference to 'bytes_sent'"),
        ("rtt_msec > 1", "undeclared reference to 'rtt_msec'"),
        ("connection.src_ip", "is of type 'string', not 'bool'"),
        ("inIpRange(connection.src_ip, 'x')", "inIpRange needs a literal range"),
        ("inIpRange('10.0.0.1', '10.0.0.0/8')", "inIpRange needs connection.src_ip"),
        ("matches(connection.src_ip, '1')", "undeclared reference to 'matches'"),
        ("has(true)", "undeclared reference to 'has'"),
        ("connection.src_port ==", "syntax error at .=="),
        ("true && " * 300 + "true", "more than 2048 characters"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_reason(expression: str, why: str) -> None:
    with pytest.raises(ExpressionError, match=why.replace("(", r"\(")):
        parse_filter(expression)


def test_what_google_has_and_a_region_has_not_is_refused_by_name() -> None:
    with pytest.raises(ApiError, match=r"src_gke_details\.cluster in filters of flow logs"):
        parse_filter("src_gke_details.cluster == 'c'")
