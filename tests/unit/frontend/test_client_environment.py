"""What points clients at a region; the shells themselves read it back."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fogbank.frontend.client_environment import (
    applied,
    environment,
    render_dotenv,
    render_fish,
    render_json,
    render_posix,
)
from fogbank.settings import Folders

FOLDERS = Folders(Path("/state/my region"))
VARIABLES = environment(FOLDERS, 9443, "demo", "asia-northeast3")

# A shell cannot hold NUL, and a .env line no line break.
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n", exclude_categories=["Cc", "Cs"]))


def test_both_cases_of_the_proxy_are_set_and_plain_http_is_left_alone():
    assert VARIABLES["HTTPS_PROXY"] == VARIABLES["https_proxy"] == "http://127.0.0.1:9443"
    assert VARIABLES["NO_PROXY"] == VARIABLES["no_proxy"] == "127.0.0.1,localhost,::1"
    assert not {"HTTP_PROXY", "http_proxy"} & VARIABLES.keys()


@pytest.mark.parametrize(
    "name",
    [
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "SSL_CERT_FILE",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        "HTTPLIB2_CA_CERTS",
        "NODE_EXTRA_CA_CERTS",
    ],
)
def test_every_clients_roots_are_the_regions_bundle(name):
    assert VARIABLES[name] == str(FOLDERS.bundle)
    assert applied(VARIABLES, {name: "/etc/ssl/certs/ca-certificates.crt"})[name] == str(FOLDERS.bundle)


def test_gcloud_needs_no_login_and_no_answers():
    assert VARIABLES["CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"] == str(FOLDERS.credentials)
    assert VARIABLES["GOOGLE_APPLICATION_CREDENTIALS"] == str(FOLDERS.credentials)
    assert VARIABLES["CLOUDSDK_CONFIG"] == str(FOLDERS.gcloud)
    assert VARIABLES["CLOUDSDK_CORE_DISABLE_PROMPTS"] == "1"


def test_project_and_region_are_known_to_gcloud_and_terraform():
    assert {VARIABLES[n] for n in ("CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GOOGLE_PROJECT")} == {
        "demo"
    }
    assert VARIABLES["CLOUDSDK_COMPUTE_REGION"] == VARIABLES["CLOUDSDK_RUN_REGION"] == "asia-northeast3"
    assert "CLOUDSDK_COMPUTE_ZONE" not in VARIABLES


def test_what_leads_elsewhere_is_taken_away():
    base = {"CLOUDSDK_AUTH_ACCESS_TOKEN": "real", "grpc_proxy": "http://corporate", "PATH": "/bin"}
    assert applied(VARIABLES, base).keys() & base.keys() == {"PATH"}


def _read_back(shell, script, names):
    show = "; ".join(f"printf '%s\\0' \"${name}\"" for name in names)
    result = subprocess.run([shell, "-c", f"{script}\n{show}"], capture_output=True, check=True, env={})
    return result.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("shell", ["bash", "sh"])
@given(value=VALUES)
def test_shells_read_any_value_back(shell, value):
    assert _read_back(shell, render_posix({"A": value}), ["A"]) == [value]


def test_posix_shells_lose_what_must_not_be_set():
    assert _read_back("bash", "export GONE=x\n" + render_posix({"GONE": None}), ["GONE-unset"]) != ["x"]
    assert "unset CLOUDSDK_AUTH_ACCESS_TOKEN\n" in render_posix(VARIABLES)


def test_fish_gets_its_own_words():
    assert render_fish({"A": "it's \\ here", "B": None}) == "set -gx A 'it\\'s \\\\ here'\nset -e B\n"


def test_json_has_null_for_what_must_not_be_set():
    assert json.loads(render_json(VARIABLES)) == dict(VARIABLES)


@given(value=VALUES)
def test_dotenv_quotes_any_value(value):
    line = render_dotenv({"A": value, "B": None})
    assert line.startswith('A="')
    assert line.endswith('"\n')
    inner = line[3:-2]
    for escaped in ('"', "$"):
        assert inner.count(escaped) == inner.count("\\" + escaped)
