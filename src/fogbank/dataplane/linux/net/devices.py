"""Interface indexes: chosen by us, so that nothing has to be looked up between two messages to the kernel."""

from fogbank.dataplane.linux.net.rtnetlink import LOOPBACK
from fogbank.errors import DriverError
from fogbank.network.topology import Port

_FIRST_INDEX = 100


class Devices:
    """The interface index of every device that was made, by port; ``lo`` has its own everywhere."""

    def __init__(self) -> None:
        self._indexes: dict[Port, int] = {}
        self._next = _FIRST_INDEX

    def allot(self, port: Port) -> int:
        """Choose an index that no interface of this world ever had."""
        index = self._indexes[port] = self._next
        self._next += 1
        return index

    def find(self, port: Port) -> int | None:
        """Return the index of a device; None when there is no such device."""
        return LOOPBACK if port.device == "lo" else self._indexes.get(port)

    def index(self, port: Port) -> int:
        """Return the index of a device; DriverError when there is no such device."""
        found = self.find(port)
        if found is None:
            raise DriverError(f"there is no device {port.device} in {port.netns}")
        return found

    def forget(self, port: Port) -> None:
        """Forget a device that is gone."""
        self._indexes.pop(port, None)
