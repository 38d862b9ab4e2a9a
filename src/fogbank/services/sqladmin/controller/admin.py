"""Talks to a PostgreSQL server over its Unix socket, as its administrator. It blocks: call it in a thread."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fogbank.errors import DriverError
from fogbank.services.sqladmin.controller.configuration import ADMIN
from fogbank.unix_sockets import address_of

SECONDS = 30.0
"""How long one statement may take."""


class Refused(DriverError):
    """The server has answered with an error."""


def administer(path: Path, statements: Iterable[str], database: str = "postgres") -> list[list[Any]]:
    """Give ``statements`` one after the other; return the rows of the last one.

    Refused at the first that is refused; DriverError when there is no server at ``path``.
    """
    import pg8000.native as pg  # at the first instance: nobody else needs it

    rows: list[list[Any]] = []
    try:
        with address_of(path) as address:
            connection = pg.Connection(ADMIN, database=database, unix_sock=address, timeout=SECONDS)
        try:
            for each in statements:
                rows = connection.run(each) or []
        finally:
            connection.close()
    except pg.DatabaseError as error:
        raise _refused(error) from error
    except (OSError, pg.InterfaceError) as error:
        raise DriverError(f"the PostgreSQL at {path} does not answer: {error}") from error
    return rows


def _refused(error: Exception) -> DriverError:
    told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    if told.get("C", "").startswith("57P"):  # it starts up, or goes down
        return DriverError(f"PostgreSQL is not ready: {told.get('M')}")
    return Refused(f"PostgreSQL refuses: {told.get('M', error)}")
