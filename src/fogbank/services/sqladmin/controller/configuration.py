"""How a PostgreSQL server is started, and what it is told then, purely.

Until it has been told who may come in, its host-based rules let nobody in but the region, over a Unix socket
in the data folder.
"""

from collections.abc import Iterator

from fogbank.network.elements import DataFolder
from fogbank.resources.fleet import Container
from fogbank.resources.server_images import POSTGRES
from fogbank.resources.world import Json
from fogbank.services.sqladmin.model import PORT, SqlInstance

ADMIN = "cloudsqladmin"
"""The superuser's name at Google, too; nobody knows a password of it, for it has none."""
FOLDER = "/data"
SOCKET = f".s.PGSQL.{PORT}"
RULES, CERTIFICATE, AUTHORITY = "pg_hba.conf", "server.pem", "ca.pem"

_BINARIES = "/usr/lib/postgresql/15/bin"
_ROOT_BYTES = 128 * 1024 * 1024
_CLOSED = "local all all trust"

Statement = tuple[str, str]
"""A database and a statement for it."""

Names = frozenset[str]


def container(instance: SqlInstance) -> Container:
    """Make the server's container; another count of restarts is another container."""
    return Container(
        image=POSTGRES.repository,
        ports=(PORT,),
        command=("/bin/sh", "-c", _script(instance)),
        environment=(("RESTARTS", str(instance.restarts)), ("LC_ALL", "C.UTF-8")),
        memory_bytes=_ROOT_BYTES,
        memory_limit=instance.memory_bytes,
        data=(DataFolder(instance.server, FOLDER),),
    )


def _script(instance: SqlInstance) -> str:
    """Make the cluster where there is none, which only shows when it is whole; then become the server."""
    cluster = f"{FOLDER}/cluster"
    return "\n".join(
        (
            "set -e",
            f"if [ ! -e {cluster} ]; then",
            f"  rm -rf {cluster}.new",
            f"  {_BINARIES}/initdb -D {cluster}.new -U {ADMIN} -E UTF8 --locale=C.UTF-8 --auth=trust -N",
            f"  : > {cluster}.new/postgresql.conf",  # every setting is given below
            f"  mv {cluster}.new {cluster}",
            "fi",
            f"[ -e {FOLDER}/{RULES} ] || echo '{_CLOSED}' > {FOLDER}/{RULES}",
            f"rm -f {cluster}/postmaster.pid",
            f"exec {_BINARIES}/postgres -D {cluster} "
            + " ".join(f"-c {each}" for each in _settings(instance)),
        )
    )


def _settings(instance: SqlInstance) -> Iterator[str]:
    yield from ("listen_addresses='*'", f"port={PORT}", f"unix_socket_directories={FOLDER}")
    yield from (f"hba_file={FOLDER}/{RULES}", "password_encryption=scram-sha-256", "jit=off")
    given = dict(instance.flags)
    if "shared_buffers" not in given:
        yield f"shared_buffers={max(8, instance.memory_bytes // 1024**2 // 16)}MB"
    yield from (f"'{name}={value}'" for name, value in given.items())


def rules(instance: SqlInstance) -> str:
    """Write who may connect: everybody whom the network lets through, with a password."""
    kind = "hostssl" if instance.encrypted_only else "host"
    return f"{_CLOSED}\n{kind} all {ADMIN} all reject\n{kind} all all all scram-sha-256\n"


def opening() -> tuple[str, ...]:
    """List the statements that let clients in, once the rules and the certificate are there."""
    return (
        "ALTER SYSTEM SET ssl = on",
        f"ALTER SYSTEM SET ssl_cert_file = '{FOLDER}/{CERTIFICATE}'",
        f"ALTER SYSTEM SET ssl_key_file = '{FOLDER}/{CERTIFICATE}'",
        "SELECT pg_reload_conf()",
    )


def statements(work: Json, databases: Names, users: Names) -> Iterator[Statement]:
    """List what does one piece of work, given what the server has; doing it again changes nothing."""
    name = str(work.get("name", ""))
    match work["do"]:
        case "set up":
            if "cloudsqlsuperuser" not in users:
                yield "postgres", "CREATE ROLE cloudsqlsuperuser CREATEDB CREATEROLE"
            yield from _user("postgres", str(work.get("password", "")), users)
            yield "postgres", "ALTER DATABASE postgres OWNER TO cloudsqlsuperuser"
        case "create database" if name not in databases:
            yield "postgres", f"CREATE DATABASE {quoted(name)} OWNER cloudsqlsuperuser"
        case "drop database" if name in databases:
            yield "postgres", f"DROP DATABASE {quoted(name)} WITH (FORCE)"
        case "create user" | "set password":
            yield from _user(name, str(work.get("password", "")), users)
        case "drop user" if name in users:
            for database in sorted(databases):
                yield database, f"REASSIGN OWNED BY {quoted(name)} TO cloudsqlsuperuser"
                yield database, f"DROP OWNED BY {quoted(name)}"
            yield "postgres", f"DROP ROLE {quoted(name)}"


def _user(name: str, password: str, users: Names) -> Iterator[Statement]:
    verb = "ALTER" if name in users else "CREATE"
    secret = f"PASSWORD {literal(password)}" if password else "PASSWORD NULL"
    yield "postgres", f"{verb} ROLE {quoted(name)} LOGIN CREATEDB CREATEROLE {secret}"
    yield "postgres", f"GRANT cloudsqlsuperuser TO {quoted(name)}"


def quoted(name: str) -> str:
    """Write an identifier."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def literal(text: str) -> str:
    """Write a string constant, in which a backslash means nothing."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
