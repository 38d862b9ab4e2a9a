"""Talks to a redis-server over its Unix socket, as its administrator. It blocks: call it in a thread."""

import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from fogbank.errors import DriverError
from fogbank.services.redis.controller.configuration import ADMIN
from fogbank.unix_sockets import address_of

SECONDS = 10.0
"""How long one command may take."""


class Refused(DriverError):
    """The server has answered with an error."""


def administer(path: Path, secret: str, commands: Iterable[Sequence[str]]) -> list[str]:
    """Give ``commands`` one after the other and return the answers; Refused at the first that is refused.

    DriverError when there is no server at ``path``.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(SECONDS)
            with address_of(path) as address:
                connection.connect(address)
            with connection.makefile("rb") as answers:
                return [
                    _ask(connection, answers, command) for command in (("AUTH", ADMIN, secret), *commands)
                ][1:]
    except (OSError, ValueError) as error:
        raise DriverError(f"the redis-server at {path} does not answer: {error}") from error


def _ask(connection: socket.socket, answers: BinaryIO, command: Sequence[str]) -> str:
    words = [word.encode() for word in command]
    parts = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    connection.sendall(b"*%d\r\n%s" % (len(words), parts))
    return _read(answers, command[0])


def _read(answers: BinaryIO, command: str) -> str:
    """Read an answer of one line, or one text."""
    line = answers.readline()
    if not line:
        raise OSError("it closed the connection")
    kind, rest = line[:1], line[1:].strip().decode()
    if kind == b"-":
        if rest.startswith("LOADING"):
            raise OSError("it still reads its data")
        raise Refused(f"redis-server refuses {command.partition('-')[0]}: {rest}")
    if kind == b"$" and int(rest) >= 0:
        return answers.read(int(rest) + 2)[:-2].decode()
    return rest
