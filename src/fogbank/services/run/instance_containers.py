"""The containers and volumes of an instance, decided when it starts.

What a container finds in its environment is Google's contract
(https://cloud.google.com/run/docs/container-contract#env-vars). What is in secrets is read once for
variables; files follow new versions while the instance runs.
"""

from collections.abc import Set as AbstractSet

from fogbank.network.topology import Mount, VolumeFile
from fogbank.resources.fleet import Container, InstanceVolume
from fogbank.resources.run import Revision
from fogbank.resources.run_containers import MemoryVolume, RunContainer, RunVolume, SecretVolume
from fogbank.services.run.secrets import Holder, Values

_SECRETS_BYTES = 4 * 1024 * 1024
"""Room for the files of a volume of secrets, and for each a second time while it is replaced (Fogbank)."""


def containers_of(revision: Revision, secrets: Values) -> tuple[Container, ...]:
    """List the containers of a revision; none until its images are resolved."""
    if revision.unresolved:
        return ()
    names = tuple(each.name for each in revision.containers if each.name)
    return tuple(_container(revision, each, names, secrets) for each in revision.containers)


def _container(
    revision: Revision, container: RunContainer, names: tuple[str, ...], secrets: Values
) -> Container:
    given = {
        "K_SERVICE": revision.service.id,
        "K_REVISION": revision.name.id,
        "K_CONFIGURATION": revision.service.id,
    }
    if container.port is not None:
        given = {"PORT": str(container.port), **given}
    return Container(
        image=revision.digests[container.image].rpartition("@")[2],
        ports=(container.port,) if container.port is not None else (),
        name=container.name,
        command=container.command,
        arguments=container.args,
        environment=tuple((dict(container.environment) | given).items()),
        cpu_millis=container.cpu_millis,
        memory_bytes=container.memory_bytes,
        memory_limit=container.memory_bytes,
        secrets=hidden_variables(container, secrets),
        mounts=mounts_of(container),
        hosts=names,
        folder=container.folder,
    )


def hidden_variables(container: RunContainer, secrets: Values) -> tuple[tuple[str, str], ...]:
    """List the variables of a container that have secrets in them."""
    return tuple((name, secrets[each].decode(errors="replace")) for name, each in container.secrets.items())


def mounts_of(container: RunContainer) -> tuple[Mount, ...]:
    """List where a container has its volumes."""
    return tuple(Mount(volume, path) for path, volume in container.mounts)


def volumes_of(revision: Holder, secrets: Values) -> tuple[InstanceVolume, ...]:
    """List the volumes of an instance; one may take no more memory than its containers have.

    See behaviour/cloud-run.md#volumes.
    """
    memory = sum(each.memory_bytes for each in revision.containers)
    return tuple(_volume(each, memory, secrets) for each in revision.volumes)


def _volume(volume: RunVolume, memory: int, secrets: Values) -> InstanceVolume:
    match volume:
        case MemoryVolume(name, size):
            return InstanceVolume(name, min(size or memory, memory))
        case SecretVolume(name, files):
            written = tuple(VolumeFile(each.path, each.mode, secrets[each.source]) for each in files)
            return InstanceVolume(name, _SECRETS_BYTES, written)


def startable(
    revision: Revision, containers: tuple[Container, ...], started: AbstractSet[str]
) -> tuple[Container, ...]:
    """Choose those of an instance's ``containers`` that may run now: what they wait for has ``started``."""
    waiting = {each.name: each.depends_on for each in revision.containers}
    return tuple(each for each in containers if started >= set(waiting[each.name]))
