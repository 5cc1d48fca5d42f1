"""The program under test: started with a configuration of its own, and asked by its own command."""

import csv
import io
import json
import pathlib
import re
import signal

from .namespaces import prefix
from .process import Failure, Process, expect, run, wait_until


class Demarc:
    # Gauges of the metrics that are 0 when no call is left.
    LEFT_OVERS = ("demarc_calls_active", "demarc_sip_transactions", 'demarc_media_ports{state="leased"}')

    def __init__(self, program, folder, sip_port, media_ports, ipv6, media_addresses=("127.0.0.1",),
                 namespace=None):
        self.program, self.folder = str(pathlib.Path(program).resolve()), pathlib.Path(folder)
        self.sip_port, self.ipv6, self.media_addresses = sip_port, ipv6, media_addresses
        self.namespace = namespace
        self.first_media_port, self.media_port_count = media_ports
        # A Unix socket's path has to be short, and a test's folder may not be.
        self.socket = self.folder / "s"
        self.process = None
        self._starts = 0
        # Settings beside those that every test has.
        self.settings = {}
        # What is run in the program's place, where something has to come before it.
        self.launcher = self.program

    def configuration(self):
        last = self.first_media_port + self.media_port_count - 1
        listeners = [{"name": "v4", "address": self.media_addresses[0], "port": self.sip_port}]
        media = [{"name": address, "address": address, "ports": f"{self.first_media_port}-{last}"}
                 for address in self.media_addresses]
        if self.ipv6:
            listeners.append({"name": "v6", "address": "::1", "port": self.sip_port})
            few = min(last, self.first_media_port + 39)
            media.append({"name": "v6", "address": "::1", "ports": f"{self.first_media_port}-{few}"})
        return {
            "listeners": listeners, "media": media, "api": {"socket": str(self.socket)},
            "store": {"path": str(self.folder / "demarc.db")}, **self.settings,
        }

    # --- life --------------------------------------------------------------------------------------
    def launch(self):
        """Starts the process and does not wait."""
        self._starts += 1
        # JSON is YAML.
        path = self.folder / "demarc.yaml"
        path.write_text(json.dumps(self.configuration(), indent=1))
        self.process = Process(
            f"demarc-{self._starts}", [*prefix(self.namespace), self.launcher, "run", "--config", path], self.folder)

    def wait_ready(self, seconds=15):
        def ready():
            expect(self.process.running(), f"Demarc did not start: {self.last_words()}")
            code, _ = self.try_command("status", seconds=5)
            return code == 0
        wait_until(ready, seconds, "Demarc to answer its own command", 0.02)
        return self

    def start(self):
        self.launch()
        return self.wait_ready()

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.running()

    def kill(self):
        self.process.kill()

    def ask_to_end(self):
        self.process.child.send_signal(signal.SIGTERM)

    def ended(self, seconds):
        return self.process.wait(seconds)

    def stop(self):
        """Ends it by force where calls keep it from ending: a second signal does not wait for them."""
        if self.process is None:
            return
        if self.process.running():
            self.ask_to_end()
            try:
                self.process.child.wait(2)
            except Exception:  # it drains: the second signal ends it
                self.ask_to_end()
        self.process.stop(3)

    def last_words(self):
        lines = self.process.text().strip().splitlines()
        return " | ".join(lines[-8:]) if lines else "it said nothing"

    # --- the command -------------------------------------------------------------------------------
    def try_command(self, *words, seconds=15):
        """(exit code, output) of `demarc words… --socket …`."""
        return run([self.program, *words, "--socket", self.socket], seconds)

    def command(self, *words, seconds=15):
        code, output = self.try_command(*words, seconds=seconds)
        if code != 0:
            raise Failure(f"`demarc {' '.join(map(str, words))}` ended with {code}: {output.strip()[:1500]}")
        return output

    def ask(self, *words):
        return json.loads(self.command(*words, "-o", "json"))

    def apply(self, document):
        path = self.folder / "resources.yaml"
        path.write_text(json.dumps(document, indent=1))
        return self.command("apply", "-f", path)

    def calls(self):
        return self.ask("calls")["items"]

    def call(self, identifier):
        return self.ask("call", "show", identifier)

    def registrations(self):
        return self.ask("registrations")["items"]

    def records(self, **filters):
        """Every record that matches, the newest first; the filters are those of `demarc cdrs`."""
        words = [word for name, value in filters.items() for word in (f"--{name}", value)]
        found, cursor = [], []
        while True:
            page = self.ask("cdrs", "list", "--limit", "1000", *words, *cursor)
            found += page["items"]
            if not page.get("nextCursor"):
                return found
            cursor = ["--cursor", page["nextCursor"]]

    def closed_records(self, count, seconds=5, **filters):
        """The matching records, the newest first, once they are so many and all are closed: a call's record closes a
        moment after its last response was sent."""
        def closed():
            found = self.records(**filters)
            return len(found) == count and all(one["state"] in ("ended", "interrupted") for one in found) and found
        return wait_until(closed, seconds, f"{count} closed records", 0.1)

    def exported(self, kind):
        """Every record as `demarc cdrs export` writes it: csv or jsonl."""
        output = self.command("cdrs", "export", "--format", kind)
        if kind == "csv":
            return list(csv.DictReader(io.StringIO(output)))
        return [json.loads(line) for line in output.splitlines() if line.strip()]

    def metrics(self):
        """{name or name{labels}: value} of /metrics, fetched over the local socket."""
        import http.client
        import socket

        class Local(http.client.HTTPConnection):
            def connect(inner):  # noqa: N805
                inner.sock = socket.socket(socket.AF_UNIX)
                inner.sock.settimeout(10)
                inner.sock.connect(str(self.socket))

        connection = Local("localhost")
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        expect(response.status == 200, f"/metrics answered {response.status}")
        found = {}
        for line in text.splitlines():
            match = re.fullmatch(r"([a-zA-Z_:][^ ]*) ([-+0-9.eEInfNa]+)", line)
            if match and not line.startswith("#"):
                found[match.group(1)] = float(match.group(2))
        return found
