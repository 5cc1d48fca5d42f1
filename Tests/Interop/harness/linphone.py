"""linphone's command line client, in file mode: no sound card, no display."""

import pathlib
import subprocess
import time

from . import audio
from .ports import free_port
from .process import Process, wait_until

_CONFIG = """\
[sip]
bind_address=127.0.0.1
sip_port={udp}
sip_tcp_port={tcp}
sip_tls_port={tls}
guess_hostname=0
use_ipv6=0
register_only_when_network_is_up=0
default_proxy=0
{sip}[rtp]
audio_rtp_port={rtp}
[proxy_0]
reg_proxy=<sip:{registrar};transport={transport}>
reg_route=<sip:{registrar};transport={transport};lr>
reg_identity=sip:{user}@{domain}
reg_expires=120
reg_sendregister=1
publish=0
[auth_info_0]
username={user}
passwd={password}
realm={domain}
domain={domain}
"""


def registered_user(t, world, user, says, **options):
    """A linphone that has registered as one of the world's users, and says that when it is called."""
    phone = Linphone(
        t.folder, user, world.users[user]["password"], world.sip, world.domain,
        audio.numpy.concatenate([says, audio.silence(2)]), **options)
    t.defer(phone.stop)
    phone.registered()
    return phone


class Linphone:
    def __init__(self, folder, user, password, registrar, domain, says, sip="", transport="udp"):
        self.user = user
        self.folder = pathlib.Path(folder) / f"linphone-{user}"
        home = self.folder / "home"
        (home / ".local/share/linphone").mkdir(parents=True)
        self.says, self.record = self.folder / "says.wav", self.folder / "heard.wav"
        audio.write_wav(self.says, says)
        config = self.folder / "linphonerc"
        # 0 is none of it, -1 any port.
        ports = {"udp": 0, "tcp": 0, "tls": 0, transport: free_port() if transport == "udp" else -1}
        config.write_text(_CONFIG.format(
            **ports, transport=transport, rtp=free_port(), registrar=registrar, user=user, password=password,
            domain=domain, sip=sip))
        self.process = Process(
            f"linphone-{user}", ["linphonec", "-c", config], folder, stdin=subprocess.PIPE,
            env={"HOME": str(home), "DISPLAY": ""})
        # An IPv6 address of any interface would be offered otherwise.
        self.type("ipv6 disable", "soundcard use files", f"play {self.says}", f"record {self.record}")

    def type(self, *lines):
        for line in lines:
            self.process.child.stdin.write(line.encode() + b"\n")
            self.process.child.stdin.flush()
            time.sleep(0.3)

    def wait_text(self, text, seconds):
        wait_until(lambda: text in self.process.text(), seconds, f"linphone to say '{text}'", 0.1)

    def registered(self, seconds=15):
        # linphonec prints it by itself, or on being asked.
        def done():
            if "successful" in self.process.text() or "registered, identity" in self.process.text():
                return True
            self.type("status register")
            return False
        wait_until(done, seconds, "linphone to register", 0.3)

    def hear_echo(self, world, words, **limits):
        """Calls the echo application and says its words, which it hears again; the closed record and the likeness.

        It has ended then: that is when it writes its recording."""
        self.type(f"call sip:9001@{world.domain}")
        call = world.live("9001", 10)
        time.sleep(len(words) / audio.RATE + 2)
        self.type("terminate all")
        record = world.ended(call["id"], 5)
        self.stop()
        return record, audio.check_likeness("echo", words, self.heard(), **limits)

    def heard(self):
        return audio.read_growing_wav(self.record)

    def stop(self):
        if self.process.running():
            try:
                self.type("quit")
                self.process.child.wait(4)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                pass
        self.process.stop()
