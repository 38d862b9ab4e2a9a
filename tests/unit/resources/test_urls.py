"""The hosts of Cloud Run services."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.resources.urls import (
    REGION_CODES,
    RunHost,
    parse_host,
    project_mark,
    region_code,
    service_urls,
    tagged_url,
)

SERVICE_NAMES = st.from_regex(r"[a-z]([a-z0-9]|-(?!-)){0,46}[a-z0-9]", fullmatch=True)
TAGS = st.from_regex(r"[a-z][a-z0-9]{0,20}", fullmatch=True)


def test_the_first_url_can_be_worked_out_by_hand():
    assert service_urls("production", 123456789012, "asia-northeast3")[0] == (
        "https://production-123456789012.asia-northeast3.run.app"
    )


def test_the_second_url_carries_the_projects_mark_and_the_regions_letters():
    url = service_urls("production", 123456789012, "asia-northeast3")[1]
    assert re.fullmatch(r"https://production-[a-z0-9]{10}-du\.a\.run\.app", url)


def test_a_mark_belongs_to_a_project_and_is_the_same_for_a_number_and_its_text():
    assert project_mark(1) == project_mark("1") != project_mark(2)


def test_no_two_regions_share_their_letters():
    assert len(set(REGION_CODES.values())) == len(REGION_CODES)


def test_a_region_that_the_table_lacks_has_letters_too():
    assert re.fullmatch("x[a-z]", region_code("mars-north1"))
    assert region_code("mars-north1") not in REGION_CODES.values()


@given(SERVICE_NAMES, st.integers(1, 10**12), st.sampled_from(sorted(REGION_CODES)), TAGS)
def test_a_tagged_url_reads_back_as_its_tag_and_its_service(service, number, region, tag):
    for url in service_urls(service, number, region):
        host = url.removeprefix("https://")
        assert parse_host(host) == RunHost(None, host)
        assert parse_host(tagged_url(url, tag).removeprefix("https://") + ":443") == RunHost(tag, host)


@pytest.mark.parametrize("host", ["run.app", "run.googleapis.com", "xrun.app", ""])
def test_a_host_outside_run_app_is_nobodys(host):
    assert parse_host(host) is None
