"""What a test is, and what it is given."""

import dataclasses
import pathlib
import signal
import traceback
import typing

from .agent import Agent
from .baresip import Phone
from .process import Failure
from .sipp import Sipp, ready
from .world import World

_cases = []


@dataclasses.dataclass
class Case:
    name: str
    summary: str
    seconds: int
    body: typing.Callable

    def run(self, context):
        """Within its time: a test that hangs is a test that failed."""
        def expired(*_):
            raise Failure(f"took longer than {self.seconds} s")
        signal.signal(signal.SIGALRM, expired)
        signal.alarm(self.seconds)
        try:
            self.body(context)
        finally:
            signal.alarm(0)


def test(name, seconds=30):
    """Registers a test under `suite.name`; its docstring says what must hold."""
    def register(body):
        suite = body.__module__.rpartition(".")[2]
        summary = (body.__doc__ or "").strip().splitlines()[0]
        _cases.append(Case(f"{suite}.{name}", summary, seconds, body))
        return body
    return register


def all_cases():
    return list(_cases)


class Bench:
    """Where tests run: the Demarc that many of them share, and a folder for each."""

    def __init__(self, folder, program):
        self.folder, self.program = pathlib.Path(folder), program
        self._world = None

    def world(self):
        """The shared Demarc, started at first need and again where a test has broken it."""
        if self._world and not self._world.demarc.running():
            self._world.close()
            self._world = None
        if self._world is None:
            folder = self.folder / f"demarc-{len(list(self.folder.glob('demarc-*')))}"
            folder.mkdir()
            self._world = World(folder, self.program).start()
        return self._world

    def begin(self, case, suffix=""):
        folder = self.folder / (case.name + suffix)
        folder.mkdir()
        return Context(self, case, folder)

    def close(self):
        if self._world:
            self._world.close()
            self._world = None


class Context:
    """One test's own things; whatever it started is ended when it is over."""

    def __init__(self, bench, case, folder):
        self.bench, self.case, self.folder = bench, case, folder
        self.program = bench.program
        self.remark = ""
        self._cleanups = []

    @property
    def world(self):
        return self.bench.world()

    def defer(self, action):
        self._cleanups.append(action)

    def finish(self, problem):
        """Ends everything; the first problem wins. The shared Demarc must have survived."""
        for action in reversed(self._cleanups):
            try:
                action()
            except Exception:  # the clean-up of one thing must not keep the next from ending
                problem = problem or traceback.format_exc()
        shared = self.bench._world
        if shared and not shared.demarc.running():
            problem = f"Demarc died: {shared.demarc.last_words()}\n" + (problem or "")
        return problem

    # --- peers -------------------------------------------------------------------------------------
    def callee(self, name, text, **options):
        sipp = Sipp(self.folder, name, text, **options)
        self.defer(sipp.process.stop)
        return ready(sipp)

    def caller(self, name, text, **options):
        sipp = Sipp(self.folder, name, text, **options)
        self.defer(sipp.process.stop)
        return sipp

    def phone(self, name, **options):
        phone = Phone(self.folder, name, **options)
        self.defer(phone.stop)
        return phone.start()

    def user(self, name, world=None, **options):
        """A baresip registered as one of the world's users."""
        world = world or self.world
        account = world.users[name]
        phone = self.phone(
            name, user=name, password=account["password"], registrar=world.sip, domain=world.domain,
            **options)
        return phone.registered()

    def agent(self, **options):
        world = options.pop("world", None) or self.world
        options.setdefault("domain", world.domain)
        agent = Agent(options.pop("server", None) or world.address, **options)
        self.defer(agent.close)
        return agent
