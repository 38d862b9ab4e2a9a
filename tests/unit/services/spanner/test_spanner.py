"""Spanner: calls are authorized, and passed on as they came."""

import json

import pytest
from aiohttp import web
from tests.serving import Region

from fogbank.dataplane.linux import spanner_emulator
from fogbank.errors import ApiError
from fogbank.resources.predefined_roles import roles_with
from fogbank.services.spanner import METHODS, SERVICE, controller
from fogbank.services.spanner.controller import EmulatorClient

INSTANCES = "/v1/projects/demo/instances"


class StandIn:
    """An emulator that keeps what it was asked and answers as it was told."""

    def __init__(self):
        self.asked = []

    async def call(self, verb, path, query, body):
        self.asked.append((verb, path, dict(query), body))
        return {}


bodies: list[str] = []
"""What the stand-in was sent."""


@pytest.fixture
async def emulator(monkeypatch):
    """Answer on a port what the test puts into ``answers``, in place of the emulator."""
    answers: list[tuple[int, str]] = []
    bodies.clear()

    async def answer(request):
        bodies.append(await request.text())
        status, text = answers.pop(0)
        return web.Response(status=status, text=text, content_type="application/json")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    client = EmulatorClient()
    monkeypatch.setattr(client._emulator, "start", lambda: None)
    client._emulator.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield client, answers
    await client.close()
    await runner.cleanup()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_method_asks_for_a_permission_of_spanners(method):
    assert "roles/spanner.admin" in roles_with(method.permission)


def test_readers_read_and_do_not_write():
    needed = {name.rpartition(".")[2]: method.permission for name, method in METHODS.items()}
    for verb in ("executeSql", "read", "beginTransaction"):
        assert "roles/spanner.databaseReader" in roles_with(needed[verb])
    for verb in ("commit", "executeBatchDml", "rollback"):
        assert "roles/spanner.databaseReader" not in roles_with(needed[verb])
        assert "roles/spanner.databaseUser" in roles_with(needed[verb])


async def test_a_call_is_passed_on_as_it_came(tmp_path):
    stand_in = StandIn()
    region = Region(tmp_path, [SERVICE], backends={"spanner": stand_in})
    await region.calls.invoke(
        "me", "spanner.v1.projects.instances.list", {"parent": "projects/demo", "pageSize": 5}
    )
    body = {"sql": "SELECT 1"}
    session = "projects/demo/instances/i/databases/d/sessions/s"
    await region.calls.invoke(
        "me", "spanner.v1.projects.instances.databases.sessions.executeSql", {"session": session}, body
    )
    assert stand_in.asked == [
        ("GET", INSTANCES, {"pageSize": 5}, {}),
        ("POST", f"/v1/{session}:executeSql", {}, body),
    ]
    await region.store.close()


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (404, '{"code": 5, "message": "Not Found"}', (404, "NOT_FOUND", "Not Found")),
        (
            500,
            '{"code": 13, "message": "failed to marshal error message"}',
            (404, "NOT_FOUND", "Resource not found: projects/p/instances/i"),
        ),
        (409, '{"code": 6, "message": "there"}', (409, "ALREADY_EXISTS", "there")),
        (502, "no JSON", (502, "INTERNAL", "no JSON")),
    ],
)
async def test_refusals_are_the_emulators(emulator, status, text, expected):
    client, answers = emulator
    answers.append((status, text))
    with pytest.raises(ApiError) as caught:
        await client.call("GET", "/v1/projects/p/instances/i", {}, {})
    assert (caught.value.code, caught.value.status, caught.value.message) == expected


async def test_what_the_emulator_does_not_do_is_not_built(emulator):
    client, answers = emulator
    answers.append((501, '{"code": 12, "message": "no backups"}'))
    with pytest.raises(ApiError, match="no backups") as caught:
        await client.call("GET", "/v1/x", {}, {})
    assert (caught.value.code, caught.value.status) == (400, "UNIMPLEMENTED")


async def test_answers_that_stream_come_one_by_one(emulator):
    lines = [{"result": {"values": [str(number)]}} for number in range(3)]
    client, answers = emulator
    answers.append((200, "\n".join(map(json.dumps, lines)) + "\n\n"))
    got = [each async for each in client.stream("POST", "/v1/x", {}, {"sql": "SELECT 1"})]
    assert got == [each["result"] for each in lines]


async def test_a_field_that_the_emulator_is_too_old_for_is_left_out(emulator):
    client, answers = emulator
    unknown = {"code": 3, "message": 'proto: (line 1:32): unknown field "mutationKey"'}
    answers += [(400, json.dumps(unknown)), (200, "{}"), (200, "{}")]
    body = {"options": {"readWrite": {}, "mutationKey": {}}, "params": {"mutationKey": "x"}}
    for _ in range(2):
        assert await client.call("POST", "/v1/x:beginTransaction", {}, body) == {}
    kept = {"options": {"readWrite": {}}, "params": {"mutationKey": "x"}}
    assert [json.loads(each) for each in bodies] == [body, kept, kept]


async def test_an_error_before_a_stream_is_what_the_query_did_wrong(emulator):
    client, answers = emulator
    answers.append((500, json.dumps({"error": {"code": 3, "message": "Unrecognized name: nope"}})))
    with pytest.raises(ApiError, match="Unrecognized name: nope") as caught:
        _ = [each async for each in client.stream("POST", "/v1/x", {}, {"sql": "SELECT nope"})]
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


async def test_a_line_of_the_stream_may_be_longer_than_a_buffer(emulator):
    client, answers = emulator
    long = {"result": {"values": ["x" * 3_000_000]}}
    answers.append((200, json.dumps(long) + "\n" + json.dumps({"result": {}})))
    got = [each async for each in client.stream("POST", "/v1/x", {}, {"sql": "SELECT 1"})]
    assert got == [long["result"], {}]


async def test_a_line_that_is_too_long_is_refused_with_a_way_out(emulator, monkeypatch):
    monkeypatch.setattr(controller, "_LONGEST_LINE", 1_000_000)
    client, answers = emulator
    answers.append((200, json.dumps({"result": {"values": ["x" * 3_000_000]}}) + "\n"))
    with pytest.raises(ApiError, match="Read fewer columns") as caught:
        _ = [each async for each in client.stream("POST", "/v1/x", {}, {"sql": "SELECT 1"})]
    assert (caught.value.code, caught.value.status) == (400, "RESOURCE_EXHAUSTED")


async def test_a_machine_without_the_emulator_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setattr(spanner_emulator, "emulator_folder", lambda: None)
    with pytest.raises(ApiError, match="gcloud components install cloud-spanner-emulator") as caught:
        await EmulatorClient().call("GET", "/v1/x", {}, {})
    assert caught.value.code == 400


def test_the_emulator_is_found_beside_gcloud(monkeypatch, tmp_path):
    folder = tmp_path / "sdk" / "bin" / "cloud_spanner_emulator"
    folder.mkdir(parents=True)
    for name in ("gateway_main", "emulator_main"):
        (folder / name).touch()
    gcloud = tmp_path / "sdk" / "bin" / "gcloud"
    monkeypatch.setattr("shutil.which", lambda _name: str(gcloud))
    assert spanner_emulator.emulator_folder() == folder
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert spanner_emulator.emulator_folder() is None
