"""Phones of a PBX behind Demarc: Kamailio keeps their registrations and challenges them; baresip and linphone come
to it through Demarc, and call one another that way. These have a Demarc of their own."""

import re

from harness import audio
from harness.agent import challenges, digest
from harness.baresip import Phone
from harness.case import test
from harness.kamailio import PBX
from harness.linphone import Linphone
from harness.process import expect, wait_until
from harness.world import World

DOMAIN = "pbx.test"
ACCOUNTS = {"anna": "anna-secret", "ben": "ben-secret"}
WORDS = "Glue the sheet to the dark blue background."


class Office:
    """The PBX, the Demarc before it, and its phones."""

    def __init__(self, t, **passing):
        self.t = t
        self.pbx = PBX(t.folder, DOMAIN, ACCOUNTS)
        t.defer(self.pbx.stop)
        self.pbx.start()
        self.world = world = World(t.folder, t.program, 40)
        t.defer(world.close)
        world.demarc.start()
        self.document = world.resources()
        self.document["trunks"].append({
            "name": "office", "tenant": "test", "kind": "pbx", "network": "loopback", "targets": [self.pbx.address],
            "probe": {"interval": "1s", "failures": 2, "successes": 1},
            "passesRegistrations": {"domain": DOMAIN, **passing}})
        world.demarc.apply(self.document)

    def phone(self, user, password=None, **options):
        phone = Phone(
            self.t.folder, user, user=user, password=password or ACCOUNTS[user], registrar=self.world.sip,
            domain=DOMAIN, **options)
        self.t.defer(phone.stop)
        return phone.start()

    def bindings(self):
        return {item["user"]: item for item in self.world.demarc.registrations()}

    def outcome(self, name):
        return self.world.demarc.metrics()[f'demarc_passed_registrations_total{{outcome="{name}"}}']


def talk(office, caller, callee, number):
    """A call through Demarc, the PBX and Demarc again, heard at the callee; both of its halves have records."""
    caller.dial(f"sip:{number}@{DOMAIN}")
    # What each phone tells of this call is taken here: else it would stand for the next one.
    caller.established()
    callee.established()
    words, _ = audio.spoken(WORDS)
    seconds = len(words) / audio.RATE + 1.5
    callee.wait_heard(seconds, seconds + 10)
    caller.hang_up()
    callee.closed()
    likeness = audio.check_likeness(f"{callee.name} heard", words, callee.heard())

    halves = {(f"phone:{caller.name}@{DOMAIN}", "trunk:office"), ("trunk:office", f"phone:{number}@{DOMAIN}")}

    def closed():
        found = office.world.demarc.records()
        return halves <= {(r["from"], r["to"]) for r in found if r["state"] == "ended" and r["status"] == 200}
    wait_until(closed, 8, f"the records of both halves, {halves}")
    challenged = [r for r in office.world.demarc.records() if r.get("cause") == "authentication-required"]
    expect(challenged and challenged[0]["status"] == 407, "the PBX's challenge was not passed on")
    return likeness


@test("baresip", 90)
def baresip(t):
    """Two baresips register with the PBX through Demarc, with its challenge, and call one another, each heard"""
    office = Office(t)
    _, says = audio.spoken(WORDS)
    ben = office.phone("ben", says=says, answer="auto").registered()
    anna = office.phone("anna", says=says, answer="auto").registered()
    found = office.bindings()
    expect(set(found) == {f"anna@{DOMAIN}", f"ben@{DOMAIN}"}, f"registered: {found}")
    one = found[f"anna@{DOMAIN}"]
    expect(one["kind"] == "phone" and one["passedTo"] == "office" and len(one["token"]) == 32, f"{one}")
    expect("phone of office" in office.world.demarc.command("registrations"), "`demarc registrations` does not say so")
    # The PBX knows the phones by names of ours alone.
    contacts = office.pbx.contacts()
    expect(any(one["token"] in contact for contact in contacts), f"the PBX has {contacts}")
    expect(not any(str(anna.port) in contact for contact in contacts), f"the phone's address: {contacts}")
    t.remark = str(talk(office, anna, ben, "ben"))
    ben.seen.clear()
    talk(office, ben, anna, "anna")


@test("linphone", 90)
def linphone(t):
    """linphone registers through Demarc and calls a baresip of the same PBX"""
    office = Office(t)
    words, says = audio.spoken(WORDS)
    ben = office.phone("ben", answer="auto").registered()
    phone = Linphone(t.folder, "anna", ACCOUNTS["anna"], office.world.sip, DOMAIN, says)
    t.defer(phone.stop)
    phone.registered()
    expect(set(office.bindings()) == {f"anna@{DOMAIN}", f"ben@{DOMAIN}"}, f"{office.bindings()}")
    phone.type(f"call sip:ben@{DOMAIN}")
    ben.established(15)
    seconds = len(words) / audio.RATE + 1.5
    ben.wait_heard(seconds, seconds + 10)
    phone.type("terminate")
    ben.closed()
    t.remark = str(audio.check_likeness("ben heard", words, ben.heard()))


@test("wrong-password", 40)
def wrong_password(t):
    """The PBX refuses a wrong password, and nothing is registered anywhere"""
    office = Office(t)
    phone = office.phone("anna", password="guess")
    wait_until(lambda: "401" in phone.process.text() or "REGISTER_FAIL" in str(phone.seen), 10, "the refusal")
    expect(not office.bindings() and not office.pbx.contacts(), "something is registered")


@test("pbx-restarts", 120)
def pbx_restarts(t):
    """The PBX dies: phones are told when to come back and why; it comes back without memory, and they find it again"""
    office = Office(t)
    ben = office.phone("ben", answer="auto").registered()
    office.pbx.stop()
    agent = t.agent(world=office.world, user="anna", password=ACCOUNTS["anna"], domain=DOMAIN)

    def refused():
        answer = agent.register()
        return answer.status in (503, 504) and answer
    answer = wait_until(refused, 20, "a refusal", 0.5)
    expect(re.fullmatch(r"\d+", answer.all("retry-after")[0]), str(answer))
    expect(office.outcome("unanswered") >= 1, "it was not counted")
    office.pbx.start()
    # What it knew is gone; the phone's next REGISTER, within its minute, is carried to it.
    wait_until(lambda: office.pbx.contacts(), 75, "the phone to be known again", 0.5)
    anna = office.phone("anna").registered()
    anna.dial(f"sip:ben@{DOMAIN}")
    anna.established()
    anna.hang_up()
    ben.closed()


@test("refreshes", 60)
def refreshes(t):
    """Refreshes of a phone whose Contact is not where it is are answered by Demarc; the PBX hears of them seldom"""
    office = Office(t)
    agent = t.agent(world=office.world, user="anna", domain=DOMAIN)
    # What it believes its address to be, behind a NAT.
    agent.address = "192.168.7.7"
    uri = f"sip:{DOMAIN}"

    def register(sequence, *extra):
        agent.send(agent.request(
            "REGISTER", uri, "one-phone", sequence, "tag", f"<sip:anna@{DOMAIN}>", ("Expires: 3600", *extra)))
        return agent.final("one-phone", "REGISTER")
    challenged = register(1)
    expect(challenged.status == 401, str(challenged))
    proof = digest(challenges(challenged)[0], "REGISTER", uri, "anna", ACCOUNTS["anna"])
    first = register(2, f"Authorization: {proof}")
    expect(first.status == 200 and "expires=60" in first.all("contact")[0], str(first))
    asked = office.pbx.registers()
    expect(asked == 2, f"{asked} REGISTERs at the PBX")
    for sequence in range(3, 8):
        expect(register(sequence).status == 200, "a refresh was refused")
    expect(office.pbx.registers() == asked, f"{office.pbx.registers()} REGISTERs at the PBX, not {asked}")
    expect(office.outcome("answeredHere") == 5, "they were not counted")
