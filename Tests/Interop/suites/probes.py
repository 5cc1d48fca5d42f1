"""sipsak, and linphone's command line client."""

import time

from harness import audio
from harness.case import test
from harness.linphone import Linphone
from harness.process import expect, run

from .phones import FIRST, spoken


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
    phone = Linphone(
        t.folder, "erin", world.users["erin"]["password"], world.sip, world.domain,
        audio.numpy.concatenate([says, audio.silence(2)]))
    t.defer(phone.stop)
    phone.registered()
    expect([b for b in world.demarc.registrations() if b["user"] == "erin"], "linphone is not registered")
    phone.type(f"call sip:9001@{world.domain}")
    call = world.live("9001", 10)
    seconds = len(words) / audio.RATE + 2
    time.sleep(seconds)
    phone.type("terminate all")
    record = world.ended(call["id"], 5)
    expect(record["cause"] == "normal-clearing", f"ended with {record['cause']}")
    # It writes its recording when it ends.
    phone.stop()
    t.remark = str(audio.check_likeness("echo", words, phone.heard()))
