"""Name servers: dnsmasq as an honest one, and a small one that stalls, cuts off and lies."""

import socket
import struct
import threading

from .process import Process, expect, wait_until

TYPES = {"A": 1, "CNAME": 5, "SOA": 6, "AAAA": 28, "SRV": 33, "NAPTR": 35}


class Dnsmasq:
    """dnsmasq for the zone `test`, on one address; `lines` are its own configuration."""

    def __init__(self, folder, address, port, lines):
        self.folder, self.address, self.port = folder, address, port
        self.process, self._starts = None, 0
        self.start(lines)

    def start(self, lines):
        self.stop()
        self._starts += 1
        path = self.folder / f"dnsmasq-{self._starts}.conf"
        path.write_text("\n".join([
            "no-resolv", "no-hosts", "no-daemon", "bind-interfaces", f"listen-address={self.address}",
            f"port={self.port}", "local=/test/", "log-queries", "user=", "group=", *lines, ""]))
        self.process = Process(f"dnsmasq-{self._starts}", ["dnsmasq", "--conf-file=" + str(path)], self.folder)

        def answers():
            expect(self.process.running(), f"dnsmasq ended: {self.process.text()[-400:]}")
            return ask((self.address, self.port), "up.test", "A") is not None
        wait_until(answers, 5, "dnsmasq to answer", 0.05)

    def stop(self):
        if self.process:
            self.process.stop()


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.rstrip(".").split(".") if label) + b"\0"


def ask(server, host, kind, seconds=0.5):
    """The bytes of the reply to one question, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(seconds)
        asker.sendto(struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + name(host) + struct.pack("!2H", TYPES[kind], 1), server)
        try:
            return asker.recv(4096)
        except OSError:
            return None


class Liar:
    """Answers A questions from a table, in the way that `manner` says; counts what it was asked.

    honest · drop · truncate (a TC bit over UDP, whole by TCP) · forge (replies with a wrong id, a wrong question
    and a stranger's records, and only then the right one) · refuse (SERVFAIL)
    """

    def __init__(self, address, port, table, manner="honest", ttl=60):
        self.address, self.port, self.table, self.manner, self.ttl = address, port, dict(table), manner, ttl
        self.questions, self.streams, self.sources = [], 0, set()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, port))
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((address, port))
        self.tcp.listen(8)
        self.open = True
        for work in (self._datagrams, self._connections):
            threading.Thread(target=work, daemon=True).start()

    def close(self):
        self.open = False
        for end in (self.udp, self.tcp):
            end.close()

    def _datagrams(self):
        while self.open:
            try:
                query, source = self.udp.recvfrom(4096)
            except OSError:
                return
            self.sources.add(source[1])
            host, kind, end = self._read(query)
            self.questions.append((host, kind))
            for reply in self._replies(query, host, kind, end):
                self.udp.sendto(reply, source)

    def _connections(self):
        while self.open:
            try:
                peer, _ = self.tcp.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(2)
                try:
                    length = struct.unpack("!H", peer.recv(2))[0]
                    query = peer.recv(length)
                    self.streams += 1
                    host, kind, end = self._read(query)
                    reply = self._honest(query, host, kind, end)
                    whole = struct.pack("!H", len(reply)) + reply
                    # In two pieces: whoever reads a stream must put it together.
                    peer.sendall(whole[:5])
                    peer.sendall(whole[5:])
                    peer.recv(1)
                except (OSError, struct.error):
                    pass

    @staticmethod
    def _read(query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        return ".".join(labels).lower(), struct.unpack("!H", query[at + 1:at + 3])[0], at + 5

    def _honest(self, query, host, kind, end, identifier=None, question=None, addresses=None, flags=0x8180):
        found = addresses if addresses is not None else self.table.get(host, []) if kind == 1 else []
        if flags == 0x8180 and host not in self.table and addresses is None:
            flags = 0x8183
        head = struct.pack("!6H", identifier if identifier is not None else struct.unpack("!H", query[:2])[0],
                           flags, 1, len(found), 0, 0)
        asked = question or query[12:end]
        answers = b"".join(
            b"\xc0\x0c" + struct.pack("!2HIH", 1, 1, self.ttl, 4) + socket.inet_aton(address) for address in found)
        return head + asked + answers

    def _replies(self, query, host, kind, end):
        own = struct.unpack("!H", query[:2])[0]
        if self.manner == "drop":
            return
        if self.manner == "refuse":
            yield self._honest(query, host, kind, end, addresses=[], flags=0x8182)
            return
        if self.manner == "truncate":
            yield self._honest(query, host, kind, end, addresses=[], flags=0x8380)
            return
        if self.manner == "forge":
            evil = ["127.0.0.66"]
            yield self._honest(query, host, kind, end, identifier=own ^ 1, addresses=evil)
            yield self._honest(
                query, host, kind, end, question=name("evil.test") + struct.pack("!2H", 1, 1), addresses=evil)
            yield b"\x00" * 11
            if kind == 1:
                # The right id and question, and a record of somebody else's name beside the answer.
                right = self._honest(query, host, kind, end)
                stray = name("stray.test") + struct.pack("!2HIH", 1, 1, 60, 4) + socket.inet_aton(evil[0])
                yield right[:6] + struct.pack("!H", struct.unpack("!H", right[6:8])[0] + 1) + right[8:] + stray
                return
        yield self._honest(query, host, kind, end)
