"""The command, as somebody types it."""

import json
import pathlib

from harness.case import test
from harness.process import expect, run

EXAMPLES = pathlib.Path(__file__).resolve().parents[3] / "examples"


@test("examples")
def examples(t):
    """The files in examples/ are right, as `demarc check` sees them"""
    settings = {
        "loopback.yaml": (EXAMPLES / "demarc.yaml").read_text(),
        "phones-of-a-pbx.yaml": (EXAMPLES / "demarc.yaml").read_text(),
        # As the comment at its head says.
        "carriers-and-pbx.yaml": "".join(
            line[4:] + "\n" for line in (EXAMPLES / "carriers-and-pbx.yaml").read_text().splitlines()
            if line.startswith("#   ")),
    }
    found = {path.name for path in EXAMPLES.glob("*.yaml")} - {"demarc.yaml"}
    expect(found == set(settings), f"examples/ has {sorted(found)}, this test knows {sorted(settings)}")
    for name, text in settings.items():
        config = t.folder / f"for-{name}"
        config.write_text(text)
        code, output = run([t.program, "check", "-f", EXAMPLES / name, "--config", config])
        expect(code == 0, f"{name}: {output}")


@test("whole-or-not")
def whole_or_not(t):
    """A document with a mistake changes nothing, and is told with line, column and the nearest match"""
    world = t.world
    before = world.demarc.ask("status")["revision"]
    for word, meant in (("maxCals", "maxCalls"), ("nroth", "north")):
        document = world.resources()
        document["users"][0]["extension"] = "7777"
        if word == "maxCals":
            document["trunks"][1]["maxCals"] = 5
        else:
            document["routes"][0]["carriers"][0]["trunk"] = "nroth"
        path = t.folder / f"{word}.yaml"
        path.write_text(json.dumps(document, indent=1))
        code, output = world.demarc.try_command("apply", "-f", path)
        expect(code == 1, f"exit code {code}")
        line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if word in text)
        expect(f"{word}.yaml:{line}:" in output, f"no line {line} for {word}: {output}")
        expect(f"did you mean `{meant}`" in output, f"no suggestion of {meant}: {output}")
    expect(world.demarc.ask("status")["revision"] == before, "the revision changed")
    expect("7777" not in world.demarc.command("get", "users"), "a part of a document was applied")


@test("no-server")
def no_server(t):
    """Without a server the command says so and ends with 3"""
    code, output = run([t.program, "calls", "--socket", t.folder / "nobody"])
    expect(code == 3 and output.strip(), f"exit code {code}: {output}")
