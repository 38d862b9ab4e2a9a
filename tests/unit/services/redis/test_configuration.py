"""How a redis-server is started and told what it is."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from fogbank.resources.names import ResourceName
from fogbank.services.redis.controller.configuration import BLOCKED, container, renamed, settings
from fogbank.services.redis.model import Node, RedisInstance

PRIMARY = Node("redis-1-0", 0, "z-a", IPv4Address("10.0.0.4"), primary=True)
REPLICA = Node("redis-1-1", 1, "z-b", IPv4Address("10.0.0.3"), primary=False)
INSTANCE = RedisInstance(
    name=ResourceName("redis.instances", "projects/p/locations/r/instances/cache"),
    network=ResourceName("compute.networks", "projects/p/global/networks/n"),
    region="r",
    range=IPv4Network("10.0.0.0/29"),
    host=IPv4Address("10.0.0.4"),
    tls=False,
    memory_bytes=1 << 30,
    configs=(("maxmemory-policy", "allkeys-lru"),),
    password="word",
    secret="s3",
    persistent=False,
    state="READY",
    nodes=(PRIMARY, REPLICA),
)


def test_the_port_is_opened_last_of_all():
    commands = settings(INSTANCE, PRIMARY)
    assert commands[-1] == ("CONFIG-s3", "SET", "port", "6379")
    assert ("CONFIG-s3", "SET", "requirepass", "word") in commands
    assert ("CONFIG-s3", "SET", "maxmemory", str(1 << 30)) in commands
    assert container(INSTANCE, PRIMARY).command[:3] == ("redis-server", "--port", "0")


def test_a_clients_setting_comes_after_the_default():
    commands = settings(INSTANCE, PRIMARY)
    chosen = [each[3] for each in commands if each[2:3] == ("maxmemory-policy",)]
    assert chosen == ["volatile-lru", "allkeys-lru"]


def test_memory_may_be_kept_free():
    instance = replace(INSTANCE, configs=(("maxmemory-gb", "0.5"),))
    assert ("CONFIG-s3", "SET", "maxmemory", str(1 << 29)) in settings(instance, PRIMARY)


def test_a_replica_follows_the_host_and_the_primary_nobody():
    assert ("REPLICAOF-s3", "NO", "ONE") in settings(INSTANCE, PRIMARY)
    assert ("REPLICAOF-s3", "10.0.0.4", "6379") in settings(INSTANCE, REPLICA)


def test_with_encryption_only_the_encrypted_port_is_opened():
    commands = settings(replace(INSTANCE, tls=True), PRIMARY)
    assert commands[-1] == ("CONFIG-s3", "SET", "tls-port", "6378")
    assert not any(each[2:3] == ("port",) for each in commands)


def test_every_blocked_command_has_another_name_and_the_secret_is_in_it():
    line = container(INSTANCE, PRIMARY).command
    renames = {line[at + 1]: line[at + 2] for at, word in enumerate(line) if word == "--rename-command"}
    assert renames == {name: renamed("s3", name) for name in BLOCKED}
    assert {"CONFIG", "SHUTDOWN", "SLAVEOF", "SAVE"} <= renames.keys()


def test_a_change_of_settings_does_not_restart_a_server():
    changed = replace(INSTANCE, password=None, memory_bytes=1 << 31, configs=())
    assert container(changed, PRIMARY) == container(INSTANCE, PRIMARY)
