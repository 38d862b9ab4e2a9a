"""Every setting of a region, declared once; the command line, the docs and the tests read it from here.

A setting's sentence, default and unit are in its field; ``folders`` says where a region keeps its things.
"""

import os
from dataclasses import dataclass, field, fields
from pathlib import Path


def _setting(default: object, help_: str) -> object:
    return field(default=default, metadata={"help": help_})


@dataclass(frozen=True, slots=True)
class Settings:
    """What a region was started with."""

    name: str = _setting("default", "The region's name: regions with different names run side by side.")  # type: ignore[assignment]
    port: int = _setting(
        9443, "The port of the proxy on 127.0.0.1; 0 selects a free one, as does a default that is taken."
    )  # type: ignore[assignment]
    project: str = _setting("demo", "The project that exists from the start.")  # type: ignore[assignment]
    project_number: str = _setting(  # type: ignore[assignment]
        "", "The number of that project when it is created; by default derived from its id."
    )
    region: str = _setting("asia-northeast3", "The region that clients use when a command names none.")  # type: ignore[assignment]
    as_of: str = _setting(  # type: ignore[assignment]
        "",
        "Behave as Google did on this date (YYYY-MM-DD), where Direct VPC egress changed; by default as now.",
    )
    ephemeral: bool = _setting(False, "Keep no state: use a temporary folder.")  # type: ignore[assignment]
    strict_projects: bool = _setting(  # type: ignore[assignment]
        False, "Refuse projects that were not created; by default they are created on first use."
    )


def describe() -> tuple[tuple[str, object, str], ...]:
    """List every setting's name, default and sentence."""
    return tuple((f.name, f.default, f.metadata["help"]) for f in fields(Settings))


@dataclass(frozen=True, slots=True)
class Folders:
    """Where one region keeps its things; ``root`` is private (0700)."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "world.sqlite"

    @property
    def authority(self) -> Path:
        """Certificates and keys."""
        return self.root / "authority"

    @property
    def bundle(self) -> Path:
        """The system's roots and the region's own, for clients."""
        return self.authority / "bundle.pem"

    @property
    def credentials(self) -> Path:
        """The service-account key that clients use."""
        return self.authority / "credentials.json"

    @property
    def gcloud(self) -> Path:
        """The private configuration folder of gcloud."""
        return self.root / "gcloud"

    @property
    def socket(self) -> Path:
        """The operator's socket: how the command line talks to a running region."""
        return self.root / "operator.sock"

    @property
    def docker_socket(self) -> Path:
        """The socket of the region's own docker engine."""
        return self.root / "docker.sock"

    @property
    def docker_config(self) -> Path:
        """The configuration folder of docker's client; `gcloud auth configure-docker` writes there."""
        return self.root / "docker-config"

    @property
    def docker_data(self) -> Path:
        """What the region's own docker engine keeps."""
        return self.root / "docker"

    @property
    def running(self) -> Path:
        """Written when the region is ready: its settings, process id and port, as JSON."""
        return self.root / "running.json"

    @property
    def log(self) -> Path:
        """What the region's own program prints."""
        return self.root / "fogbank.log"

    @property
    def log_entries(self) -> Path:
        """What Cloud Logging has: SQLite."""
        return self.root / "logs.sqlite"

    @property
    def registry(self) -> Path:
        """Images: an OCI layout."""
        return self.root / "registry"

    @property
    def data(self) -> Path:
        """What servers of managed services keep: one folder each."""
        return self.root / "data"

    @property
    def site_access_log(self) -> Path:
        """What third parties saw: one JSON object a line."""
        return self.root / "access.jsonl"


def state_home() -> Path:
    """Where all regions of this user keep their state (XDG_STATE_HOME)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "fogbank"


def cache_home() -> Path:
    """Where things that can be made again are kept (XDG_CACHE_HOME): unpacked images."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fogbank"


def folders(name: str) -> Folders:
    """Return the folders of the region called ``name``."""
    return Folders(state_home() / name)
