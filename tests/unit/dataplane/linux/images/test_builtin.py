"""The images that every region has, made from this machine's Python."""

import marshal
import subprocess
import sys
from pathlib import Path

import pytest

from fogbank.dataplane.linux.images.builtin import BuiltInImages, find_or_make, open_store
from fogbank.dataplane.linux.images.python_runtime import compiled, program_interpreter
from fogbank.errors import DriverError

NETCHECK = "us-docker.pkg.dev/fogbank/samples/netcheck"
HELLO = "us-docker.pkg.dev/cloudrun/container/hello"


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_both_images_are_there_from_the_start_and_asking_early_waits(cache, tmp_path):
    registry, images = open_store(tmp_path / "registry", cache)
    netcheck, hello = registry.resolve(NETCHECK), registry.resolve(HELLO)
    assert netcheck != hello
    assert registry.resolve("gcr.io/cloudrun/hello") == hello
    image = images.get(netcheck)
    assert (image.root / image.config.entrypoint[0].lstrip("/")).exists()
    assert "netcheck" in image.config.entrypoint[-1]


def test_a_second_region_takes_them_from_the_cache(cache, tmp_path, monkeypatch):
    find_or_make(cache / "built-in")
    monkeypatch.delattr("fogbank.dataplane.linux.images.builtin.make")
    registry, _ = open_store(tmp_path / "registry", cache)
    assert registry.resolve(NETCHECK)


def test_made_twice_they_are_the_same_to_the_byte(cache, tmp_path):
    assert find_or_make(tmp_path / "other") == find_or_make(cache / "built-in")


def test_an_image_that_could_not_be_made_says_why(tmp_path, monkeypatch):
    def broken(_cache):
        raise DriverError("no Python here")

    monkeypatch.setattr("fogbank.dataplane.linux.images.builtin.find_or_make", broken)
    registry, _ = open_store(tmp_path / "registry", tmp_path / "cache")
    with pytest.raises(DriverError, match="no Python here"):
        registry.resolve(NETCHECK)


def test_other_images_wait_for_nothing(tmp_path):
    BuiltInImages(tmp_path).wait_for("docker.io/library/nginx")


def test_the_dynamic_loader_is_read_from_the_program():
    program = Path(sys.executable).resolve().read_bytes()
    loader = program_interpreter(program)
    assert loader is None or Path(loader).exists()
    assert program_interpreter(b"#!/bin/sh\n") is None


def test_compiled_modules_are_the_same_every_time_and_load():
    file = Path(__file__)
    once, again = compiled(file, "/x.py"), compiled(file, "/x.py")
    assert once == again
    assert marshal.loads(once[16:]).co_filename == "/x.py"


def test_the_samples_run_without_the_standard_librarys_slow_parts():
    program = "import sys; import fogbank.samples.netcheck as n; print(sorted(sys.modules))"
    source = str(Path(find_or_make.__code__.co_filename).parents[4])
    command = [sys.executable, "-S", "-B", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": source})
    slow = {"typing", "dataclasses", "urllib.parse", "http.client", "email", "ssl", "asyncio", "pathlib"}
    assert slow.isdisjoint(eval(done.stdout))
