"""How packets are marked, read from the wire: the DSCP of what leaves a port, whatever it travels by."""

import socket
import threading

from .namespaces import inside

_ALL = 0x0003


class Capture:
    """What an interface, the loopback unless another is named, sees from now on; needs CAP_NET_RAW."""

    def __init__(self, interface="lo", namespace=None):
        with inside(namespace):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL))
        self.socket.bind((interface, _ALL))
        self.socket.settimeout(0.1)
        self._seen = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while not self._closing.is_set():
            try:
                packet = self.socket.recv(2048)
            except (TimeoutError, socket.timeout):
                continue
            except OSError:
                return
            found = _mark(packet)
            if found:
                family, protocol, port, dscp = found
                key = (family, protocol, port)
                self._seen.setdefault(key, {}).setdefault(dscp, 0)
                self._seen[key][dscp] += 1

    def of(self, family, protocol, port):
        """{DSCP: packets} of what left the port; protocol is "udp" or "tcp". Loopback shows each packet twice."""
        return dict(self._seen.get((family, protocol, port), {}))

    def close(self):
        self._closing.set()
        self.socket.close()
        self._thread.join(1)


def _mark(packet):
    """(4 or 6, "udp" or "tcp", source port, DSCP); None for what is neither, and for later fragments."""
    if len(packet) < 40:
        return None
    if packet[0] >> 4 == 4:
        size, protocol, mark = 4 * (packet[0] & 15), packet[9], packet[1]
        if int.from_bytes(packet[6:8], "big") & 0x1FFF:
            return None
    elif packet[0] >> 4 == 6:
        size, protocol, mark = 40, packet[6], (packet[0] << 4 | packet[1] >> 4) & 0xFF
    else:
        return None
    name = {6: "tcp", 17: "udp"}.get(protocol)
    if name is None or len(packet) < size + 2:
        return None
    return packet[0] >> 4, name, int.from_bytes(packet[size: size + 2], "big"), mark >> 2
