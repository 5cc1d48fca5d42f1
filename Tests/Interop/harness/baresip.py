"""baresip phones: a folder of configuration each, driven over the control port, recording what they hear."""

import json
import pathlib
import queue
import re
import socket
import threading
import time
import typing

from . import audio
from .namespaces import inside, prefix
from .ports import free_port, free_range
from .process import Failure, Process, expect, wait_until

_CONFIG = """\
poll_method epoll
sip_listen {listen}
net_interface {address}
audio_player aubridge,sink
audio_source aufile,{wav}
audio_alert aubridge,sink
ausrc_srate {rate}
ausrc_channels 1
audio_txmode thread
rtp_stats yes
rtp_ports {first}-{last}
statmode_default off
jitter_buffer_delay {jitter}
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
module_app debug_cmd.so
ctrl_tcp_listen 127.0.0.1:{control}
snd_path {recordings}
"""
# Pictures without a camera or a screen: stripes that move, and are shown nowhere.
_VIDEO = """\
video_source fakevideo,nil
video_display fakevideo,nil
video_size {width}x{height}
video_fps {fps}
video_bitrate 256000
module vp8.so
module fakevideo.so
"""


def _module_path():
    for pattern in ("/usr/lib/baresip/modules", "/usr/lib/*/baresip/modules"):
        for path in sorted(pathlib.Path("/").glob(pattern.lstrip("/"))):
            return str(path)
    raise Failure("baresip's modules are not where Debian puts them")


class Pictures(typing.NamedTuple):
    running: bool
    sent: int
    shown: int
    key_frames: int
    at: float

    def rate(self, before):
        """Pictures shown a second since then."""
        return (self.shown - before.shown) / (self.at - before.at)


class Phone:
    """One baresip. `says` is the samples it speaks in each call, followed by silence; `video` is width, height and
    pictures a second of what it shows, by VP8; `rate` is that of the samples it speaks."""

    def __init__(
            self, folder, name, says=None, user=None, password=None, registrar=None, domain=None,
            codecs="PCMU/8000/1,PCMA/8000/1", answer="manual", address="127.0.0.1", expires=60,
            jitter="5-10", more="", transport=None, cafile=None, namespace=None,
            modules=(), video=None, rate=audio.RATE):
        self.name, self.namespace, self.video = name, namespace, video
        self.address = address
        self.folder = pathlib.Path(folder) / f"baresip-{name}"
        self.recordings = self.folder / "recordings"
        self.recordings.mkdir(parents=True)
        self.port = free_port()
        self.control_port = free_port()
        self.rtp_port = free_range(16)
        wav = self.folder / "says.wav"
        says = audio.silence(1) if says is None else says
        # The end of the file would end the call.
        audio.write_wav(wav, audio.numpy.concatenate([says, audio.silence(90, rate)]), rate)
        bracketed = f"[{address}]" if ":" in address else address
        config = _CONFIG.format(
            listen=f"{bracketed}:{self.port}", address=address, wav=wav, first=self.rtp_port,
            last=self.rtp_port + 15, control=self.control_port, recordings=self.recordings,
            jitter=jitter, rate=rate).replace("/usr/lib/baresip/modules", _module_path())
        for module in modules:
            config = config.replace("module g711.so\n", f"module g711.so\nmodule {module}.so\n")
        if video:
            width, height, fps = video
            config += _VIDEO.format(width=width, height=height, fps=fps)
        (self.folder / "config").write_text(config)
        user = user or name
        if registrar:
            account = (
                f'<sip:{user}@{domain}>;auth_user={user};auth_pass={password};'
                f'outbound="sip:{registrar}";regint={expires}')
        else:
            account = f"<sip:{user}@{bracketed}:{self.port}>;regint=0"
        if transport:
            account = account.replace(f"{domain}>", f"{domain};transport={transport}>")
        if cafile:
            with open(self.folder / "config", "a") as config:
                config.write(f"sip_cafile {cafile}\n")
        account += f";audio_codecs={codecs};answermode={answer}"
        if more:
            account += ";" + more
        (self.folder / "accounts").write_text(account + "\n")
        (self.folder / "contacts").write_text("")
        self.events = queue.Queue()
        self.seen = []
        self.process = None
        self._socket = None

    # --- life --------------------------------------------------------------------------------------
    def start(self, seconds=10):
        argv = ["baresip", "-s", "-f", self.folder]
        if ":" in self.address:
            argv.insert(1, "-6")
        self.process = Process(f"baresip-{self.name}", prefix(self.namespace) + argv, self.folder.parent)
        deadline = time.monotonic() + seconds
        while True:
            try:
                with inside(self.namespace):
                    self._socket = socket.create_connection(("127.0.0.1", self.control_port), 2)
                self._socket.settimeout(None)
                break
            except OSError:
                if time.monotonic() > deadline or not self.process.running():
                    raise Failure(f"{self.name}: baresip did not start, see {self.process.log}") from None
                time.sleep(0.1)
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def stop(self):
        if self.process is None:
            return
        if self.process.running():
            try:
                self.command("quit")
                self.process.child.wait(3)
            except Exception:  # whatever happened, the process ends below
                pass
        self.process.stop()
        self._socket.close()

    def kill(self):
        self.process.kill()

    # --- control -----------------------------------------------------------------------------------
    def _read(self):
        buffer = b""
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            buffer += data
            while b":" in buffer:
                size, _, rest = buffer.partition(b":")
                if len(rest) < int(size) + 1:
                    break
                message = json.loads(rest[: int(size)].decode(errors="replace"))
                buffer = rest[int(size) + 1:]
                self.seen.append(message)
                self.events.put(message)

    def command(self, name, params=""):
        message = json.dumps({"command": name, "params": params, "token": name}).encode()
        self._socket.sendall(b"%d:%s," % (len(message), message))

    def reply(self, name, params="", seconds=5):
        """What a command answers."""
        self.command(name, params)
        return self.wait_message(
            lambda message: message.get("response") and message.get("token") == name, seconds,
            f"an answer to {name}").get("data", "")

    def wait_message(self, matches, seconds, what):
        deadline = time.monotonic() + seconds
        while True:
            try:
                message = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise Failure(f"{self.name}: waited {seconds:g} s for {what}") from None
            if matches(message):
                return message

    def wait_event(self, kind, seconds=10):
        return self.wait_message(
            lambda message: message.get("event") and message.get("type") == kind, seconds, kind)

    # --- a call ------------------------------------------------------------------------------------
    def registered(self, seconds=10):
        # The event may have come before the control connection did.
        wait_until(
            lambda: "OK" in self.reply("reginfo"), seconds, f"{self.name} to be registered", 0.1)
        return self

    def dial(self, uri):
        self.command("dial", uri)

    def answer(self):
        self.command("accept")

    def established(self, seconds=10):
        return self.wait_event("CALL_ESTABLISHED", seconds)

    def hang_up(self):
        self.command("hangup")
        self.closed(5)

    def closed(self, seconds=10):
        """The end of a call, whoever ended it, or that it never came about."""
        return self.wait_event("CALL_CLOSED", seconds)

    def heard(self):
        """Samples of the newest recording of what the phone received."""
        return self._recording("dec")

    def packets(self):
        """How many RTP packets the phone sent and received in its last call, by its own count at the end."""
        def counted():
            return re.findall(r"packets:\s+(\d+)\s+(\d+)", self.process.text())
        sent, received = wait_until(counted, 5, f"{self.name}'s counts")[-1]
        return int(sent), int(received)

    def pictures(self):
        """What it sent and shows of its call's video, so far."""
        text = self.reply("video_debug")
        # Nothing is said of a video that never began.
        counts = [re.search(where + r"=(\d+)", text) for where in (
            r"source:.* frames", r"vidisp:.* frames", "n_keyframes")]
        return Pictures(
            "started: yes" in text, *(int(count.group(1)) if count else 0 for count in counts), time.monotonic())

    def said(self):
        return self._recording("enc")

    def _recording(self, kind):
        files = sorted(
            self.recordings.glob(f"dump-*-{kind}.wav"), key=lambda path: path.stat().st_mtime)
        expect(files, f"{self.name} recorded nothing")
        return audio.read_growing_wav(files[-1])

    def wait_heard(self, seconds, timeout):
        """Waits until so many seconds have been recorded."""
        def enough():
            files = list(self.recordings.glob("dump-*-dec.wav"))
            return files and len(self.heard()) >= seconds * audio.RATE
        wait_until(enough, timeout, f"{self.name} to hear {seconds:g} s", 0.2)
