"""What commands ask the region, and how they print its answers."""

import json
import re
import stat
import subprocess
import sys

import pytest
from inline_snapshot import snapshot

from fogbank.cli.exits import Exit

SEEN = {
    "time": "2026-01-02T03:04:05.678Z",
    "sourceIp": "203.0.113.2",
    "sourcePort": 1024,
    "host": "ifconfig.me",
    "method": "GET",
    "path": "/",
    "status": 200,
}
STATUS = {
    "region": "default", "version": "0.1.0", "pid": 7, "port": 9443, "project": "demo", "ready": True,
    "uptimeSeconds": 75, "memoryBytes": 50 * 2**20,
    "resources": {"compute.networks": 1, "compute.routers": 0},
    "namespaces": 3, "instances": [],
    "connectors": [
        {"name": "projects/demo/connectors/c", "machines": 2, "maximum": 10, "megabitsPerSecond": 7.25},
    ],
    "operations": [
        {"name": "operation-1", "type": "insert", "target": "x", "status": "RUNNING", "since": "now"}
    ],
    "converging": [
        {"resource": "projects/demo/x", "what": "link a", "why": "no device", "attempts": 2, "since": "t"},
        {"resource": "projects/demo/x", "what": "link b", "why": "no space a", "attempts": 2, "since": "t"},
        {"resource": None, "what": "router c", "why": "too many open files", "attempts": 1, "since": "now"},
    ],
    "unknownFields": [{"method": "compute.v1.networks.insert", "field": "mtuu", "times": 2}],
    "worldVersion": 5, "appliedVersion": 4,
}  # fmt: skip


def test_status_says_what_converges_and_why(talker, fogbank):
    talker.answers["GET /status"] = (200, STATUS)
    text = fogbank("status").out
    assert "default is converging" in text
    assert "version 4 of 5 applied" in text
    assert re.search(r"projects/demo/x +link a \(and 1 more\) +no device +2 +t", text)
    assert re.search(r"the region itself +router c +too many open files +1 +now", text)
    assert "compute.networks" in text
    assert "compute.routers" not in text
    assert re.search(r"projects/demo/connectors/c +2 of 10 +7\.2", text)
    assert re.search(r"networks.insert +mtuu +2", text)


def test_status_draws_the_section_of_a_controller_that_it_does_not_know(talker, fogbank):
    caches = [{"name": "projects/demo/instances/a", "up": True}]
    talker.answers["GET /status"] = (200, STATUS | {"caches": caches, "pools": []})
    text = fogbank("status").out
    assert re.search(r"CACHES +UP *\n", text)
    assert re.search(r"projects/demo/instances/a +True", text)
    assert "POOLS" not in text


def test_drops_are_counted_with_what_they_mean(talker, fogbank):
    counted = [
        {"netns": "vpc/demo/default", "reason": "ports-exhausted", "packets": 12},
        {"netns": "vpc/demo/default", "reason": "no-web", "packets": 1},
    ]
    talker.answers["GET /drops"] = (200, {"drops": counted})
    lines = [line.split() for line in fogbank("drops").out.splitlines()]
    assert lines[1][:3] == ["vpc/demo/default", "12", "ports-exhausted"]
    assert lines[2][2:] == ["no-web", "a", "firewall", "rule"]
    assert json.loads(fogbank("drops", "--format", "json").out) == counted
    talker.answers["GET /drops"] = (200, {"drops": []})
    assert fogbank("drops").err == "No packet was dropped.\n"


def test_status_names_the_process_that_the_host_knows(talker, fogbank):
    talker.answers["GET /status"] = (200, STATUS)
    answer = json.loads(fogbank("status", "--format", "json").out)
    note = json.loads(talker.folders.running.read_text())
    assert answer == STATUS | {"pid": note["pid"]}


def test_internet_add_sends_ports_and_allow_list(talker, fogbank):
    talker.answers["POST /internet/sites"] = (200, {"host": "p.example.com", "address": "192.0.2.32"})
    done = fogbank("internet", "add", "p.example.com", "--allow", "203.0.113.2/32", "--port", "8443")
    assert "p.example.com is at 192.0.2.32" in done.out
    assert talker.heard == [
        ("POST /internet/sites", {"host": "p.example.com", "ports": [8443], "allow": ["203.0.113.2/32"]})
    ]


def test_internet_list_and_remove(talker, fogbank):
    site = {"host": "p.example.com", "address": "192.0.2.32", "ports": [], "allow": ["203.0.113.2/32"]}
    talker.answers["GET /internet/sites"] = (200, {"sites": [site]})
    talker.answers["DELETE /internet/sites/p.example.com"] = (200, {})
    assert "203.0.113.2/32" in fogbank("internet", "list").out
    assert json.loads(fogbank("internet", "list", "--format", "json").out) == [site]
    assert fogbank("internet", "remove", "p.example.com").status == 0


def test_internet_log_prints_the_record_in_both_forms(talker, fogbank):
    talker.answers["GET /internet/log"] = (200, [SEEN, SEEN])
    assert fogbank("internet", "log", "ifconfig.me").out == snapshot("""\
TIME                         SOURCE                 HOST                          METHOD  STATUS  PATH
2026-01-02T03:04:05.678Z     203.0.113.2:1024       ifconfig.me                   GET     200     /
2026-01-02T03:04:05.678Z     203.0.113.2:1024       ifconfig.me                   GET     200     /
""")
    assert json.loads(fogbank("internet", "log", "--format", "json").out) == [SEEN, SEEN]
    assert [asked for asked, _ in talker.heard] == ["GET /internet/log?host=ifconfig.me", "GET /internet/log"]


def test_logs_of_one_service(talker, fogbank):
    line = {"time": "t", "resource": "run/a", "stream": "stderr", "severity": "ERROR", "text": "oh"}
    talker.answers["GET /logs"] = (200, [line])
    assert fogbank("logs", "run/a").out == "t  run/a  oh\n"
    assert talker.heard == [("GET /logs?resource=run%2Fa", None)]
    assert json.loads(fogbank("logs", "--format", "json").out) == [line]
    talker.answers["GET /logs"] = (200, [])
    assert json.loads(fogbank("logs", "--format", "json").out) == []


def test_credentials_are_printed_or_written_for_their_owner_alone(talker, fogbank, tmp_path):
    document = {"type": "authorized_user", "refresh_token": "1//secret"}
    talker.answers["POST /credentials"] = (200, document)
    assert json.loads(fogbank("credentials", "--user", "me@example.com").out) == document
    assert talker.heard == [("POST /credentials", {"user": "me@example.com"})]
    target = tmp_path / "me.json"
    done = fogbank("credentials", "--user", "me@example.com", "--output", str(target))
    assert (done.status, done.out) == (0, "")
    assert json.loads(target.read_text()) == document
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    nowhere = fogbank("credentials", "--user", "me@example.com", "--output", str(tmp_path / "no" / "me.json"))
    assert nowhere.status == Exit.FAILURE
    assert "Cannot write" in nowhere.err


def test_whoever_follows_is_told_that_the_region_went_down(talker, fogbank):
    class Last(list):
        def __iter__(self):
            talker.folders.socket.unlink()
            return super().__iter__()

    talker.answers["GET /internet/log"] = (200, Last([SEEN]))
    done = fogbank("internet", "log", "-f", "--format", "json")
    assert json.loads(done.out) == SEEN
    assert (done.status, done.err) == (Exit.NOT_RUNNING, "error: Region 'default' went down.\n")


def test_whoever_reads_too_slowly_is_told_so(talker, fogbank, monkeypatch):
    monkeypatch.setattr("fogbank.cli.operator._LEAVING_SECONDS", 0.1)
    talker.answers["GET /logs"] = (200, [])
    done = fogbank("logs", "-f")
    assert done.status == Exit.FAILURE
    assert "read too slowly" in done.err


def test_clock_advance_understands_durations(talker, fogbank):
    talker.answers["POST /clock"] = (200, {"now": "2026-01-01T00:00:00Z"})
    for text in ("45s", "20m", "1h30m", "2d"):
        assert fogbank("clock", "advance", text).status == 0
    assert [body["advanceSeconds"] for _, body in talker.heard] == [45, 1200, 5400, 172800]


def test_images_list_is_a_table(talker, fogbank):
    talker.answers["GET /images"] = (200, {"images": [{"reference": "a/b:latest", "digest": "sha256:1"}]})
    assert fogbank("images", "list").out == snapshot("""\
REFERENCE   DIGEST
a/b:latest  sha256:1
""")


def test_trace_ends_with_4_when_prediction_and_packet_disagree(talker, fogbank):
    answer: dict[str, object] = {
        "predicted": {"traces": []},
        "lines": [],
        "observed": None,
        "differences": [],
    }
    talker.answers["POST /trace"] = (200, answer)
    assert fogbank("trace", "run/a", "http://x", "--probe").status == Exit.OK
    answer["observed"] = {"verdict": "connected", "seconds": 0.1, "sightings": []}
    answer["differences"] = ["the source address is 192.0.2.1, not 203.0.113.2"]
    assert fogbank("trace", "run/a", "http://x", "--probe", "--format", "json").status == Exit.DISAGREEMENT
    assert talker.heard[-1][1] == {"source": "run/a", "url": "http://x", "probe": True}


def test_trace_promises_a_packet_only_when_it_knows_from_where_and_to_where(talker, fogbank):
    talker.answers["POST /trace"] = (400, {"error": "No instance of run/a runs."})
    done = fogbank("trace", "run/a", "http://x", "--probe")
    assert done.status == Exit.FAILURE
    assert "No instance of run/a runs." in done.err
    assert "Sending" not in done.err


def test_env_is_read_back_by_a_shell(talker, fogbank):
    talker.answers["GET /environment"] = (
        200,
        {"HTTPS_PROXY": "http://127.0.0.1:9443", "A": "it's $HOME", "B": None},
    )
    script = fogbank("env", "--shell", "bash").out
    done = subprocess.run(
        ["/bin/sh", "-c", f'B=b\n{script}\necho "$HTTPS_PROXY|$A|${{B-unset}}|$FOGBANK_NAME"'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "http://127.0.0.1:9443|it's $HOME|unset|default\n"
    assert json.loads(fogbank("env", "--format", "json").out)["B"] is None


def test_env_speaks_the_language_of_the_shell(talker, fogbank, monkeypatch):
    talker.answers["GET /environment"] = (200, {"A": "a"})
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert "set -gx A 'a'" in fogbank("env").out
    monkeypatch.setenv("SHELL", "/usr/bin/tcsh")
    assert "export A=a" in fogbank("env").out


def test_exec_becomes_the_command_and_ends_with_its_status(talker):
    talker.answers["GET /environment"] = (200, {"A": "from the region"})
    code = "import os,sys; print(os.environ['A']); sys.exit(42)"
    done = subprocess.run(
        [sys.executable, "-m", "fogbank.cli", "exec", "--", sys.executable, "-c", code],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("from the region\n", 42)


def test_exec_of_nothing_that_exists_says_so(talker, fogbank):
    talker.answers["GET /environment"] = (200, {})
    done = fogbank("exec", "--", "no-such-program")
    assert done.status == Exit.FAILURE
    assert "no-such-program" in done.err


def test_settings_come_from_their_declaration(fogbank):
    listed = json.loads(fogbank("settings", "--format", "json").out)
    assert {"name", "port", "project", "region", "ephemeral", "strict_projects"} <= {
        s["name"] for s in listed
    }


def change(action, text, **more):
    return {"action": action, "kind": "x", "text": text, "element": {}, **more}


OLD = {
    "time": "t1",
    "worldVersion": 1,
    "milliseconds": 0.2,
    "actions": [change("remove", "x")],
    "failures": {},
}
NEW = {
    "time": "t2", "worldVersion": 2, "milliseconds": 12,
    "actions": [change("create", f"link {n}") for n in range(20)], "failures": {"namespace/x": "no room"},
}  # fmt: skip


def test_plan_shows_what_would_change_now_and_the_last_passes(talker, fogbank):
    pending = [change("replace", "policy b", oldText="policy a", old={})]
    talker.answers["GET /plan"] = (200, {"pending": pending, "passes": [OLD, NEW]})
    assert fogbank("plan").out == snapshot("""\
Now: 1 change to make.
  Replace  policy a
       by  policy b

t1  version 1: 1 change in 0 ms
  Remove   x

t2  version 2: 20 changes in 12 ms
  Create   link 0
  Create   link 1
  Create   link 2
  Create   link 3
  Create   link 4
  Create   link 5
  Create   link 6
  Create   link 7
  Create   link 8
  Create   link 9
  Create   link 10
  Create   link 11
  … and 8 more; see them with --all
  failed: namespace/x: no room
""")
    assert fogbank("plan", "--all").out.count("Create ") == 20
    shown = json.loads(fogbank("plan", "--last", "1", "--format", "json").out)
    assert shown == {"pending": pending, "passes": [NEW]}


def test_the_plan_of_a_converged_region_is_empty(talker, fogbank):
    talker.answers["GET /plan"] = (200, {"pending": [], "passes": []})
    assert fogbank("plan").out == "Now: nothing would change.\n"


@pytest.mark.parametrize("words", [("status",), ("internet", "list"), ("list",)])
def test_nothing_is_coloured_where_no_person_looks(words, talker, fogbank):
    talker.answers["GET /status"] = (200, STATUS)
    talker.answers["GET /internet/sites"] = (200, {"sites": []})
    assert "\x1b" not in fogbank(*words).out
