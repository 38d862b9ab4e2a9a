"""Secrets of instances while they run: read when one starts, and files rewritten when a version comes.

A version that is disabled later takes nothing away from an instance that has it
(behaviour/cloud-run.md#secrets).
"""

from collections.abc import Iterable
from dataclasses import replace

from fogbank.control.controller import Runtime
from fogbank.resources.fleet import Instance
from fogbank.resources.run import read_revision
from fogbank.resources.run_containers import SecretVolume
from fogbank.resources.secrets import SECRETS, VERSIONS
from fogbank.resources.world import Change, Put
from fogbank.services.run.instance_containers import volumes_of
from fogbank.services.run.secrets import Holder, SecretsRefusedError, Values, read_secrets


class SecretValues:
    """Reads secrets for revisions and executions."""

    def __init__(self, runtime: Runtime) -> None:
        self._store, self._access, self._clock = runtime.store, runtime.access, runtime.clock

    def read(self, revision: Holder) -> Values:
        """Read the secrets of a revision or an execution; SecretsRefusedError when it may not have one."""
        return read_secrets(self._store.world, self._access, revision, self._clock.now())

    def refreshed(self, instance: Instance) -> Instance | None:
        """Return ``instance`` with the files that it should have now; None when nothing has changed."""
        revision = read_revision(instance.definition)
        if not any(isinstance(each, SecretVolume) for each in revision.volumes):
            return None
        try:
            volumes = volumes_of(revision, self.read(revision))
        except SecretsRefusedError:
            return None
        return None if volumes == instance.volumes else replace(instance, volumes=volumes)


def about_secrets(changes: Iterable[Change]) -> bool:
    """Return whether ``changes`` may change what a file of an instance should have in it."""
    return any(isinstance(each, Put) and each.resource.name.collection in _COLLECTIONS for each in changes)


_COLLECTIONS = frozenset({SECRETS, VERSIONS})
