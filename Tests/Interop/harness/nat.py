"""A piece of internet: one public namespace, and homes behind NATs of four kinds (RFC 4787 §4, §5).

    phone 10.84.N.2 ── 10.84.N.1 [NAT N] 10.83.N.2 ── 10.83.N.1 public; 10.83.0.1, .2, .3 are its hosts

The kernel's own NAT is port-restricted: it keeps a port's mapping for as long as it can and lets in only what
answers. The other kinds are made of it:

  full cone     what comes to a mapped port is passed in, whoever sent it, by a map of the ports in use
  address       the same, of hosts that were sent something from that port
  port          the kernel's own
  symmetric     a random port for each destination: exact

The first three are exact while no two hosts behind one NAT want the same port: the second would get another port, of
which the maps know nothing, and for each destination a new one. Here there is one host behind each.

A mapping lives as long as the kernel keeps the connection (`timeout`); the maps of the first two follow it."""

from . import namespaces
from .namespaces import command, inside
from .process import Failure

KINDS = ("full-cone", "address", "port", "symmetric")
HOSTS = ("10.83.0.1", "10.83.0.2", "10.83.0.3")
_TIMEOUT = 120

# An unsolicited datagram that got as far as our own input would leave an entry, and the next one out a new port.
_RULES = """\
table ip demarc {{
  map inside {{ type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout {timeout}s; size 4096; }}
  set known {{ type inet_service . ipv4_addr; flags dynamic,timeout; timeout {timeout}s; size 4096; }}
  chain remember {{ type filter hook postrouting priority srcnat - 1; {remember} }}
  chain out {{ type nat hook postrouting priority srcnat; oifname "wan" {translate} }}
  chain in {{ type nat hook prerouting priority dstnat; {admit} }}
  chain own {{ type filter hook input priority 0; iifname "wan" ct state new drop; }}
  chain pass {{
    type filter hook forward priority 0; policy drop;
    iifname "lan" accept
    ct state established,related accept
    ct status dnat accept
  }}
}}
"""
_REMEMBER = 'oifname "wan" meta l4proto udp update @inside { udp sport : ip saddr . udp sport }'
_ADMIT = "dnat ip to udp dport map @inside;"


class Home:
    """A namespace for phones behind a namespace that translates."""

    def __init__(self, internet, number, kind, timeout=_TIMEOUT, ports=None):
        self.kind, self.timeout = kind, timeout
        self.address, self.public = f"10.84.{number}.2", f"10.83.{number}.2"
        self.router = internet.make(f"nat{number}")
        self.namespace = internet.make(f"home{number}")
        outside, inside_ = f"10.83.{number}.1", f"10.84.{number}.1"
        command("ip", "-batch", "-", stdin=f"""\
link add lan netns {self.router} type veth peer name eth netns {self.namespace}
link add wan netns {self.router} type veth peer name home{number} netns {internet.namespace}
""")
        for namespace, device, address in (
                (self.namespace, "eth", self.address), (self.router, "lan", inside_),
                (self.router, "wan", self.public), (internet.namespace, f"home{number}", outside)):
            command("ip", "-n", namespace, "-batch", "-", stdin=f"""\
addr add {address}/24 dev {device}
link set {device} up
""")
        command("ip", "-n", self.namespace, "route", "add", "default", "via", inside_)
        command("ip", "-n", self.router, "route", "add", "default", "via", outside)
        self._set("ip_forward", 1)
        for name in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
            self._set(f"netfilter/{name}", timeout)
        self.translate(ports)

    def _set(self, name, value):
        path = f"/proc/sys/net/{name if '/' in name else 'ipv4/' + name}"
        with inside(self.router), open(path, "w") as file:
            file.write(str(value))

    def translate(self, ports=None):
        """(Re)places the rules; `ports` are those that mappings get, "20000-29999", and then each destination gets one
        of its own, as behind a symmetric NAT. What was mapped is forgotten."""
        if ports and self.kind in ("full-cone", "address"):
            raise Failure(f"a {self.kind} NAT keeps its ports here")
        translate = {
            "symmetric": f"meta l4proto udp masquerade to :{ports or '20000-60000'} fully-random",
        }.get(self.kind, f"meta l4proto udp masquerade to :{ports}" if ports else "masquerade")
        remember, admit = {
            "full-cone": (_REMEMBER, f'iifname "wan" meta l4proto udp {_ADMIT}'),
            "address": (
                f"{_REMEMBER} update @known {{ udp sport . ip daddr }}",
                f'iifname "wan" meta l4proto udp udp dport . ip saddr @known {_ADMIT}'),
        }.get(self.kind, ("", ""))
        rules = _RULES.format(timeout=self.timeout, remember=remember and remember + ";", translate=translate + ";",
                              admit=admit)
        self._exec("nft", "flush", "ruleset")
        self._exec("nft", "-f", "-", stdin=rules)
        self._exec("conntrack", "-F")

    def forward(self, address, port, ports):
        """What comes to the router's public address at these UDP ports is passed to a host inside, whoever sent it; a
        host inside that sends there is turned round, and is seen with the router's own address (RFC 4787 §6)."""
        self._exec("nft", "-f", "-", stdin=f"""\
table ip forwarded {{
  chain in {{
    type nat hook prerouting priority dstnat - 1;
    ip daddr {self.public} udp dport {{ {port}, {ports} }} dnat to {address}
  }}
  chain turn {{
    type nat hook postrouting priority srcnat - 2;
    ip saddr {self.address.rpartition(".")[0]}.0/24 ip daddr {address} masquerade
  }}
}}
""")

    def _exec(self, *words, stdin=None):
        return command(*namespaces.prefix(self.router), *words, stdin=stdin)


class Internet:
    """The public namespace; `home` adds one behind a NAT. `close` removes all of it."""

    def __init__(self):
        namespaces.require("ip", "nft", "conntrack")
        self._names = []
        self.homes = []
        self.namespace = self.make("public")
        try:
            for host in HOSTS:
                command("ip", "-n", self.namespace, "addr", "add", f"{host}/32", "dev", "lo")
        except BaseException:
            self.close()
            raise

    def make(self, label):
        name = namespaces.make(label)
        self._names.append(name)
        return name

    def home(self, kind, **options):
        home = Home(self, len(self.homes) + 1, kind, **options)
        self.homes.append(home)
        return home

    def close(self):
        while self._names:
            namespaces.remove(self._names.pop())
