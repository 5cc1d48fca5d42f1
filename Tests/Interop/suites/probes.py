"""sipsak, and linphone's command line client."""

from harness.audio import spoken
from harness.case import test
from harness.conversation import FIRST
from harness.linphone import registered_user
from harness.process import expect, run


@test("sipsak-options")
def sipsak_options(t):
    """sipsak's OPTIONS is answered with 200"""
    code, output = run(["sipsak", "-v", "-s", f"sip:{t.world.sip}"], 10)
    expect(code == 0, f"sipsak says {code}: {output}")


@test("sipsak-register")
def sipsak_register(t):
    """sipsak registers a contact, and is refused with a wrong password"""
    world = t.world
    argv = ["sipsak", "-U", "-C", "sip:frank@127.0.0.1:5999", "-x", "60", "-u", "frank", "-s",
            f"sip:frank@{world.sip}", "-v"]
    code, output = run([*argv, "-a", world.users["frank"]["password"]], 10)
    expect(code == 0, f"sipsak says {code}: {output}")
    found = [binding for binding in world.demarc.registrations() if binding["user"] == "frank"]
    expect(found and "127.0.0.1:5999" in found[0]["contact"], f"registrations: {found}")
    code, output = run([*argv, "-a", "guess"], 10)
    expect(code != 0, f"a wrong password was accepted: {output}")


@test("linphone", 60)
def linphone(t):
    """linphone registers and hears its own words from the echo application"""
    world = t.world
    words, says = spoken(FIRST)
    phone = registered_user(t, world, "erin", says)
    expect([b for b in world.demarc.registrations() if b["user"] == "erin"], "linphone is not registered")
    record, likeness = phone.hear_echo(world, words)
    expect(record["cause"] == "normal-clearing", f"ended with {record['cause']}")
    t.remark = str(likeness)
