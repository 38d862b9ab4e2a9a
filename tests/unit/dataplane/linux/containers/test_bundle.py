"""A container's configuration, as crun reads it."""

from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from fogbank.dataplane.linux.containers.bundle import (
    User,
    command_line,
    environment,
    find_user,
    render_bundle,
)
from fogbank.dataplane.linux.containers.user_namespace import (
    FIRST_ID,
    IDS,
    SHIFTED,
    IdRange,
    UserNamespace,
    same_ids,
)
from fogbank.dataplane.linux.images.store import ImageConfig
from fogbank.network.topology import NetnsName, Workload

SPACE = NetnsName("instance/a")
PASSWD = "root:x:0:0:root:/root:/bin/sh\n# comment\napp:x:1000:1001:App:/home/app:/bin/sh\nbroken\n"
GROUP = "root:x:0:\napp:x:1001:\nextra:x:2000:other,app\n"
words = st.lists(st.text(min_size=1, max_size=3), max_size=2).map(tuple)


def workload(**fields) -> Workload:
    return Workload("a", SPACE, "sha256:0", 8080, **fields)


@given(st.builds(workload, command=words, arguments=words), st.builds(ImageConfig, words, words))
def test_a_command_replaces_the_entrypoint_and_drops_the_images_arguments(wanted, image):
    line = command_line(wanted, image)
    if wanted.command:
        assert line == wanted.command + wanted.arguments
    elif wanted.arguments:
        assert line == image.entrypoint + wanted.arguments
    else:
        assert line == image.entrypoint + image.command


def test_the_services_environment_wins_over_the_images():
    image = ImageConfig(environment=(("A", "image"), ("B", "image"), ("PATH", "/app")))
    merged = environment(workload(environment=(("A", "service"), ("PORT", "8080"))), image, User())
    assert merged == {"PATH": "/app", "HOME": "/root", "A": "service", "B": "image", "PORT": "8080"}


def test_a_user_is_found_in_the_images_own_files():
    assert find_user("app", PASSWD, GROUP) == User(1000, 1001, (2000,), "/home/app")
    assert find_user("1000", PASSWD, GROUP) == User(1000, 1001, (2000,), "/home/app")
    assert find_user("app:extra", PASSWD, GROUP) == User(1000, 2000, (), "/home/app")
    assert find_user("4711:4712", PASSWD, GROUP) == User(4711, 4712, (), "/")
    assert find_user("4711", "", "") == User(4711, 0, (), "/")


def test_an_unknown_user_is_root():
    assert find_user("stranger", PASSWD, GROUP) == User(0, 0, (), "/root")
    assert find_user("stranger", "", "") == User()


ROOT = User()


def rendered(user: User = ROOT, ids: UserNamespace = SHIFTED) -> dict:
    image = ImageConfig(entrypoint=("/app",), folder="/srv")
    return render_bundle(workload(), image, user, root="/r", network="/n", open_files=20_000, ids=ids)


def test_the_process_gets_what_cloud_run_gives():
    assert rendered()["process"] == snapshot(
        {
            "terminal": False,
            "user": {"uid": 0, "gid": 0, "additionalGids": []},
            "args": ["/app"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
            "cwd": "/srv",
            "noNewPrivileges": True,
            "oomScoreAdj": 500,
            "capabilities": {
                "bounding": [
                    "CAP_CHOWN",
                    "CAP_DAC_OVERRIDE",
                    "CAP_FOWNER",
                    "CAP_FSETID",
                    "CAP_KILL",
                    "CAP_NET_BIND_SERVICE",
                    "CAP_SETGID",
                    "CAP_SETUID",
                ],
                "effective": [
                    "CAP_CHOWN",
                    "CAP_DAC_OVERRIDE",
                    "CAP_FOWNER",
                    "CAP_FSETID",
                    "CAP_KILL",
                    "CAP_NET_BIND_SERVICE",
                    "CAP_SETGID",
                    "CAP_SETUID",
                ],
                "permitted": [
                    "CAP_CHOWN",
                    "CAP_DAC_OVERRIDE",
                    "CAP_FOWNER",
                    "CAP_FSETID",
                    "CAP_KILL",
                    "CAP_NET_BIND_SERVICE",
                    "CAP_SETGID",
                    "CAP_SETUID",
                ],
                "inheritable": [],
                "ambient": [],
            },
            "rlimits": [
                {"type": "RLIMIT_NOFILE", "hard": 20000, "soft": 20000},
                {"type": "RLIMIT_CORE", "hard": 0, "soft": 0},
                {"type": "RLIMIT_NPROC", "hard": 4096, "soft": 4096},
            ],
        }
    )


def test_another_user_than_root_has_no_capability():
    capabilities = rendered(User(1000, 1000))["process"]["capabilities"]
    assert capabilities["effective"] == capabilities["permitted"] == []


def test_only_the_network_is_shared_and_sys_is_not_there():
    bundle = rendered()
    assert [netns["type"] for netns in bundle["linux"]["namespaces"] if "path" in netns] == ["network"]
    assert {mount["destination"] for mount in bundle["mounts"]} == {"/proc", "/dev", "/dev/pts", "/dev/shm"}


def test_a_data_folder_is_mounted_where_the_container_wants_it():
    data = {"/data": "/folders/a"}
    bundle = render_bundle(
        workload(), ImageConfig(), ROOT, root="/r", network="/n", open_files=9, data=data, ids=SHIFTED
    )
    assert bundle["mounts"][-1] == {  # type: ignore[index]
        "destination": "/data",
        "type": "none",
        "source": "/folders/a",
        "options": ["bind", "rw", "nosuid", "nodev"],
    }


def test_a_containers_users_are_strangers_on_the_machine():
    linux = rendered()["linux"]
    assert {"type": "user"} in linux["namespaces"]
    assert (
        linux["uidMappings"] == linux["gidMappings"] == [{"containerID": 0, "hostID": FIRST_ID, "size": IDS}]
    )


def test_a_user_with_a_high_number_is_one_stranger_more():
    linux = rendered(User(1_000_660_000, 0))["linux"]
    more = {"containerID": 1_000_660_000, "hostID": FIRST_ID + IDS, "size": 1}
    assert linux["uidMappings"][1:] == [more]
    assert linux["gidMappings"][1:] == []


def test_an_ordinary_users_ranges_are_mapped_to_themselves_each():
    ids = same_ids("         0       1000          1\n         1     100000      65536\n")
    assert ids == UserNamespace((IdRange(0, 0, 1), IdRange(1, 1, 65536)))
    assert ids.root == 0
    assert rendered(User(70_000, 0), ids)["linux"]["uidMappings"][2:] == []


def test_without_a_user_namespace_processes_are_not_counted_for_all_containers_together():
    bundle = rendered(ids=UserNamespace())
    assert {"type": "user"} not in bundle["linux"]["namespaces"]
    assert "RLIMIT_NPROC" not in {limit["type"] for limit in bundle["process"]["rlimits"]}
