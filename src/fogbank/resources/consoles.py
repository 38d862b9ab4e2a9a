"""What virtual machines write on their serial ports, as far as it is kept: the last mebibyte of each.

Positions count all bytes that a port was ever given, so that a client which asks for what came after its last
answer misses nothing and knows when it did (behaviour/compute-machines.md#serial-ports).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

KEPT_BYTES = 1 << 20


@dataclass(slots=True)
class SerialPort:
    """The output of one port; ``first`` is the position of the oldest byte that is kept."""

    first: int = 0
    kept: bytearray = field(default_factory=bytearray)

    @property
    def end(self) -> int:
        """The position behind the newest byte."""
        return self.first + len(self.kept)

    def append(self, content: bytes) -> None:
        """Take what was written."""
        self.kept += content
        if (excess := len(self.kept) - KEPT_BYTES) > 0:
            del self.kept[:excess]
            self.first += excess

    def read(self, start: int) -> tuple[int, bytes]:
        """Return what is kept from ``start`` on, and where it begins; below 0 it counts from the end."""
        begin = self.end + start if start < 0 else start
        begin = min(max(begin, self.first), self.end)
        return begin, bytes(self.kept[begin - self.first :])


class Consoles:
    """Serial port 1 of every machine, by the machine's id."""

    def __init__(self) -> None:
        self._ports: dict[str, SerialPort] = {}
        self._listeners: dict[str, list[Callable[[bytes], None]]] = {}

    def write(self, machine: str, line: str) -> None:
        """Take one line of a machine's output."""
        content = line.encode() + b"\r\n"
        self._ports.setdefault(machine, SerialPort()).append(content)
        for tell in tuple(self._listeners.get(machine, ())):
            tell(content)

    def port(self, machine: str) -> SerialPort:
        """Return what a machine has written: nothing, when it never ran since the region started."""
        return self._ports.get(machine, SerialPort())

    def listen(self, machine: str, tell: Callable[[bytes], None]) -> Callable[[], None]:
        """Have ``tell`` called with what a machine writes from now on; call the result to have it end."""
        listeners = self._listeners.setdefault(machine, [])
        listeners.append(tell)
        return lambda: listeners.remove(tell)

    def keep(self, machines: set[str]) -> None:
        """Drop what all other machines wrote: their instances are gone."""
        self._ports = {name: port for name, port in self._ports.items() if name in machines}
