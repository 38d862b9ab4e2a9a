"""The docker engine's configuration: what it gets, and what keeps it apart from the machine."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from fogbank.dataplane.linux import docker_engine
from fogbank.dataplane.linux.containers.user_namespace import SHIFTED
from fogbank.dataplane.linux.docker_engine import DockerEngine, render_engine

CONFIG: Any = render_engine(Path("/bundle"), "/state/docker", SHIFTED)


def test_the_engine_has_every_namespace_of_its_own_and_ids_of_nobody():
    kinds = {each["type"] for each in CONFIG["linux"]["namespaces"]}
    assert kinds == {"pid", "mount", "ipc", "uts", "network", "user"}
    assert all("path" not in each for each in CONFIG["linux"]["namespaces"])
    (mapping,) = CONFIG["linux"]["uidMappings"]
    assert (mapping["containerID"], mapping["hostID"], mapping["size"]) == (0, 0x70000000, 65536)


def test_of_the_host_it_sees_its_data_and_control_groups_that_it_may_not_write():
    binds = {each["destination"]: each for each in CONFIG["mounts"] if each["type"] == "none"}
    assert {path: each["source"] for path, each in binds.items()} == {
        "/var/lib/docker": "/state/docker",
        "/sys/fs/cgroup": "/bundle/groups",
    }
    assert "ro" in binds["/sys/fs/cgroup"]["options"]
    assert all("nodev" in each["options"] for each in binds.values())


def test_it_asks_for_no_bridge_no_rules_and_no_control_groups_and_takes_the_socket_over():
    process = CONFIG["process"]
    assert {"--rootless", "--bridge=none", "--iptables=false", "--ip6tables=false", "--host=fd://"} <= set(
        process["args"]
    )
    assert {"LISTEN_FDS=1", "LISTEN_PID=1", "HTTPS_PROXY=http://127.0.0.1:3128"} <= set(process["env"])
    withheld = {"CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_BOOT", "CAP_SYS_TIME", "CAP_BPF"}
    assert withheld.isdisjoint(process["capabilities"]["bounding"])


def test_an_engine_that_gets_no_proxy_is_ended(tmp_path, monkeypatch):
    crun = tmp_path / "crun"
    crun.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho it runs\nexec sleep 60\n")
    crun.chmod(0o755)
    engine: Any = DockerEngine.__new__(DockerEngine)
    engine._folder = tmp_path

    def refuse(process):
        raise OSError("no network")

    monkeypatch.setattr(docker_engine, "_proxy_socket", refuse)
    with socket.socket() as listener, pytest.raises(OSError, match="no network"):
        engine._serve(str(crun), tmp_path, listener, lambda _socket: None)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
