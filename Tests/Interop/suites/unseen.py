"""What one side asks for beside calls is unseen on the others: transfers, subscriptions, and the registrations that a
PBX keeps, with the canaries of `hiding` in each message of each party."""

import re

from harness.agent import challenges, digest, token
from harness.case import test
from harness.pair import End, audio
from harness.ports import free_port
from harness.process import expect
from harness.world import World

from .hiding import answered, asked, check_hidden, Planted
from .watching import dialogs, DIALOG

MARKS = ("birda", "birdb", "birdc", "birdd")
PHONES = "phones.test"
# What Demarc writes as registrar and as notifier, beside what it writes in calls.
REGISTERED = {"expires", "min-expires", "www-authenticate"}
TOLD = {"event", "subscription-state", "expires"}


class Party(End):
    """An end whose every message has canaries, of a trunk or of a user."""

    def __init__(self, t, world, name, mark):
        trunk = name in world.ports
        agent = t.agent(world=world, user=name, **(
            {"port": world.ports[name]} if trunk else {"password": world.users[name]["password"]}))
        self.side = Planted(agent, mark)
        super().__init__(agent)
        self.world, self.number = world, None if trunk else world.extension(name)
        if not trunk:
            expect(agent.register().status == 200, f"{name} is not registered")

    @property
    def mark(self):
        return self.side.mark

    def another(self):
        """Another dialog of the same party."""
        return End(self.agent)

    def final(self, method):
        return self.agent.final(self.call_id, method)


    def leave(self):
        """Whoever comes after it in this test has its name and not its phone."""
        if self.number:
            expect(self.agent.register(expires=0).status == 200, f"{self.mark} is registered still")
        self.agent.close()


def parties(t, world, *names):
    return [Party(t, world, name, mark) for name, mark in zip(names, MARKS)]


def office(t, trunks=(), transferors=()):
    """A Demarc with further trunks, of which some may hand calls on. No carrier is told of diversions, and nobody has
    to speak."""
    world = World(t.folder, t.program, 40)
    t.defer(world.close)
    world.demarc.start()
    document = world.resources()
    document["trunks"] += trunks
    for peer in document["trunks"] + document["users"]:
        peer.pop("diversion", None)
        peer["mediaTimeout"] = "5m"
        if peer["name"] in transferors:
            peer["transfer"] = "allow"
    world.demarc.apply(document)
    return world


def connect(caller, callee, uri):
    """A call between two ends, answered."""
    caller.dial(uri, audio(free_port()))
    invite = callee.asked()
    answered(callee, invite, 180)
    answered(callee, invite, 200, audio(free_port()))
    expect(caller.outcome().status == 200, "the call was not answered")
    callee.acknowledged(invite)


def refer(end, mark, to, name="refer-to"):
    """A REFER whose every part has canaries: its Refer-To, what that asks for, and its body."""
    word = f"{mark}-{name}"
    end.sequence += 1
    end.agent.send(end.agent.request(
        "REFER", end.remote, end.call_id, end.sequence, end.tag, end.to,
        (f'Refer-To: "{word}" <{to[0]};{word}={word}?X-{word}={word}&Subject={word}{to[1]}>;{word}={word}',
         f"Referred-By: <sip:{word}@{word}.example.com>;{word}={word}"),
        f"{word} 10.99.98.95", content_type="text/plain", sender=end.sender))
    answer = end.agent.final(end.call_id, "REFER")
    expect(answer.status == 202, f"REFER got {answer.start}")


def told(end):
    """What the NOTIFYs of a transfer say, to the last one."""
    found = []
    while True:
        notify = asked(end, "NOTIFY")
        answered(end, notify, 200)
        lines = notify.body.decode().strip().splitlines()
        expect(len(lines) == 1, f"more than a status line is told: {notify}")
        found.append(int(lines[0].split()[1]))
        if notify.get("subscription-state").startswith("terminated"):
            return found


def speaks_on(one, other):
    """What the two that are left say to one another."""
    between(one, other)
    hang_up(one, other)


def hang_up(one, other):
    one.request("BYE")
    answered(other, asked(other, "BYE"), 200)
    expect(one.agent.final(one.call_id, "BYE").status == 200, "BYE was refused")


def reoffered(end):
    """A re-INVITE of Demarc's, answered."""
    invite = end.asked()
    answered(end, invite, 200, audio(free_port()))
    end.acknowledged(invite)


@test("transfer", 60)
def transfer(t):
    """A REFER by a PBX, a carrier or a phone, to a carrier or a phone: of the three none sees anything of another"""
    world = office(t, transferors=("pbx", "east"))
    domain = world.domain
    for transferor, far, target in (
            ("pbx", "east", "north"), ("pbx", "east", "erin"), ("dave", "pbx", "north"), ("east", "pbx", "alice")):
        one, other, third = parties(t, world, transferor, far, target)
        caller, callee = (one, other) if transferor == "pbx" else (other, one)
        connect(caller, callee, f"sip:{callee.number or world.number('+4938')}@{domain}")
        # A carrier reaches the tenant's numbers and nothing else.
        number = "+4940100" if target == "alice" else third.number or world.number("+4930")
        refer(one, one.mark, (f"sip:{number}@{domain}", ""))
        busy = third.another()
        invite = busy.asked()
        answered(busy, invite, 180)
        one.request("SUBSCRIBE", extra=("Event: refer", "Expires: 60"))
        expect(one.final("SUBSCRIBE").status == 200, "the referral was not prolonged")
        answered(busy, invite, 486)
        busy.acknowledged(invite)
        expect(told(one)[-1] == 486, "the refusal was not told")
        refer(one, one.mark, (f"sip:{number}@{domain}", ""), "refer-again")
        invite = third.asked()
        answered(third, invite, 183, audio(free_port()))
        answered(third, invite, 200, audio(free_port()))
        third.acknowledged(invite)
        reoffered(other)
        expect(told(one)[-1] == 200, "the outcome was not told")
        answered(one, asked(one, "BYE"), 200)
        speaks_on(other, third)
        check_hidden([one.side, other.side, third.side], REGISTERED | TOLD | {"referred-by"})
        for party in (one, other, third):
            party.leave()


@test("redirected-transfer", 40)
def redirected_transfer(t):
    """The target of a transfer sends the call on: of four parties none sees anything of another"""
    world = office(t, transferors=("pbx",))
    one, other, third, fourth = everyone = parties(t, world, "pbx", "east", "erin", "alice")
    connect(one, other, f"sip:{world.number('+4938')}@{world.domain}")
    refer(one, one.mark, (f"sip:{third.number}@{world.domain}", ""))
    invite = third.asked()
    word = f"{third.mark}-moved"
    answered(third, invite, 302, extra=(
        f'Contact: "{word}" <sip:{fourth.number}@{word}.example.com;{word}={word}?X-{word}={word}>;q=1;{word}={word}',))
    third.acknowledged(invite)
    invite = fourth.asked()
    answered(fourth, invite, 180)
    answered(fourth, invite, 200, audio(free_port()))
    fourth.acknowledged(invite)
    reoffered(other)
    expect(told(one)[-1] == 200, "the outcome was not told")
    answered(one, asked(one, "BYE"), 200)
    speaks_on(fourth, other)
    check_hidden([party.side for party in everyone], REGISTERED | TOLD | {"referred-by"})


@test("attended-transfer", 40)
def attended_transfer(t):
    """REFER with Replaces: neither of the two that are joined sees the other, nor whoever joined them"""
    world = office(t, transferors=("pbx",))
    one, other, third = parties(t, world, "pbx", "east", "north")
    consultation = one.another()
    connect(one, other, f"sip:{world.number('+4938')}@{world.domain}")
    number = world.number("+4930")
    connect(consultation, third, f"sip:{number}@{world.domain}")
    to_tag = re.search(r";tag=([^;>\s]+)", consultation.to).group(1)
    refer(one, one.mark, (
        f"sip:{number}@{world.domain}",
        f"&Replaces={consultation.call_id}%3Bto-tag%3D{to_tag}%3Bfrom-tag%3D{consultation.tag}"))
    reoffered(third)
    reoffered(other)
    expect(told(one)[-1] == 200, "the outcome was not told")
    for end in (one, consultation):
        answered(end, asked(end, "BYE"), 200)
    speaks_on(third, other)
    check_hidden([one.side, other.side, third.side], TOLD)


@test("stops-here", 30)
def stops_here(t):
    """Whatever Demarc answers itself, in a call and outside of one, is unseen on the other side"""
    world = office(t)
    one, other = parties(t, world, "pbx", "east")
    number = world.number("+4938")
    uri = f"sip:{number}@{world.domain}"
    rows = [("MESSAGE", 405, ()), ("PUBLISH", 405, ("Event: presence",)), ("NOTIFY", 481, (
        "Event: message-summary", "Subscription-State: active")), ("SUBSCRIBE", 489, ("Event: presence",)),
        ("REFER", 403, (f"Refer-To: <{uri}>",)), ("OPTIONS", 200, ()), ("BIRDSONG", 501, ())]
    for method, status, extra in rows:
        call_id = one.agent.mark + token()
        one.agent.send(one.agent.request(
            method, uri, call_id, 1, one.tag, None, extra, f"{one.mark}-body 10.99.98.95", content_type="text/plain"))
        answer = one.agent.final(call_id, method)
        expect(answer.status == status, f"{method} outside of a call got {answer.start}")
    connect(one, other, uri)
    for end in (one, other):
        for method, status, extra in rows:
            end.sequence += 1
            end.agent.send(end.agent.request(
                method, end.remote, end.call_id, end.sequence, end.tag, end.to, extra,
                f"{end.agent.mark}body 10.99.98.95", content_type="text/plain", sender=end.sender))
            answer = end.agent.final(end.call_id, method)
            expect(answer.status == status, f"{method} got {answer.start}")
    hang_up(one, other)
    for side in (one.side, other.side):
        seen = [text.split()[0] for text in side.heard if text.split()[0] in {method for method, _, _ in rows}]
        expect(not seen, f"{side.mark} saw {seen}")
    check_hidden([one.side, other.side])


def watch(party, target, event):
    """A subscription of a user; its dialog."""
    answer, dialog = party.agent.exchange(
        "SUBSCRIBE", f"sip:{target}@{party.world.domain};{party.mark}-param={party.mark}",
        (f"Event: {event};{party.mark}-param={party.mark}", "Expires: 60"))
    expect(answer.status == 200, f"SUBSCRIBE for {event} got {answer.start}")
    return dialog


def notified(party, wanted):
    """The first NOTIFY of which `wanted` holds; all are answered."""
    while True:
        notify = party.agent.expect_request("NOTIFY", 10)
        answered(party, notify, 200)
        if wanted(notify):
            return notify


def is_in(state):
    return lambda notify: any(one.find(f"{DIALOG}state").text == state for one in dialogs(notify))


@test("lamps", 40)
def lamps(t):
    """Who watches a phone, and takes a call that rings there, sees neither the phone nor the caller but for the number;
    and they nothing of the watchers"""
    world = office(t)
    caller, phone, taker, watcher = everyone = parties(t, world, "pbx", "erin", "frank", "grace")
    extension = phone.number
    lamp, other = (watch(party, extension, "dialog") for party in (taker, watcher))
    caller.dial(f"sip:{extension}@{world.domain}", audio(free_port()))
    invite = phone.asked()
    answered(phone, invite, 180)
    ringing = next(one for one in dialogs(notified(taker, is_in("early"))) if one.get("call-id"))
    notified(watcher, is_in("early"))
    replaces = (f"{ringing.get('call-id')};to-tag={ringing.get('remote-tag')};from-tag={ringing.get('local-tag')}"
                ";early-only")
    answer, taken = taker.agent.exchange(
        "INVITE", f"sip:{extension}@{world.domain}", ("Require: replaces", f"Replaces: {replaces}"),
        body=taker.sdp(audio(free_port())))
    expect(answer.status == 200, f"the call was not taken: {answer.start}")
    expect(caller.outcome().status == 200, "the caller was not answered")
    answered(phone, asked(phone, "CANCEL"), 200)
    answered(phone, invite, 487)
    phone.acknowledged(invite)
    notified(watcher, is_in("terminated"))
    for dialog in (lamp, other):
        answer = dialog.request("SUBSCRIBE", ("Event: dialog", "Expires: 0"))
        expect(answer.status == 200, f"the lamp was not given up: {answer.start}")
    # Behind the answers to whatever it was told before.
    for party in (taker, watcher):
        notified(party, lambda notify: notify.get("subscription-state").startswith("terminated"))
    taken.sequence += 1
    taker.agent.send(taker.agent.request(
        "BYE", taken.remote, taken.call_id, taken.sequence, taken.tag, taken.to))
    answered(caller, asked(caller, "BYE"), 200)
    expect(taker.agent.final(taken.call_id, "BYE").status == 200, "BYE was refused")
    check_hidden([party.side for party in everyone], REGISTERED | TOLD)


@test("contacts", 60)
def contacts(t):
    """Of a phone its user's application is told the Contact, and nothing else that it wrote; a mailbox tells nothing"""
    world = office(t)
    application = Party(t, world, "grace", MARKS[0])
    expect(application.agent.register(expires=0).status == 200, "the application is registered still")
    watch(application, "grace", "reg")
    watch(application, "grace", "message-summary")
    phone = Party(t, world, "grace", MARKS[1])
    contact = f"sip:{phone.mark}-REGISTER-contact@"
    notified(application, lambda notify: contact in str(notify))
    expect(phone.agent.register(expires=0).status == 200, "the phone is registered still")
    notified(application, lambda notify: contact in str(notify) and "unregistered" in str(notify))
    check_hidden([application.side, phone.side], REGISTERED | TOLD, (
        rf"NOTIFY <contact [^>]*><uri>{re.escape(contact)}127\.0\.0\.1:{phone.agent.port}[^<]*</uri></contact>",))


# --- Registrations that a PBX keeps ----------------------------------------------------------------------------------

# What a phone and its PBX prove to one another passes as it is (docs/decisions/0026).
PROVED = (r"401-(REGISTER|INVITE) WWW-Authenticate: .*", r"407-(REGISTER|INVITE) Proxy-Authenticate: .*",
          r"200-REGISTER Authentication-Info: .*", r"(REGISTER|INVITE) (Proxy-)?Authorization: .*")
PASSWORD = "anna-secret"


class Kept:
    """A PBX that keeps the registration of a phone, and that phone."""

    def __init__(self, t):
        port = free_port()
        world = office(t, [{
            "name": "office", "tenant": "test", "kind": "pbx", "network": "loopback", "targets": [f"127.0.0.1:{port}"],
            "passesRegistrations": {"domain": PHONES}}])
        self.phone = t.agent(world=world, user="anna", domain=PHONES)
        self.pbx = t.agent(world=world, user="ben", domain=PHONES, port=port)
        self.sides = [Planted(agent, mark) for agent, mark in zip((self.phone, self.pbx), MARKS)]
        self.call_id, self.tag, self.sequence = self.phone.mark + token(), self.phone.mark + token(), 0

    def register(self, status, extra=(), proof=()):
        """A REGISTER of the phone that the PBX answers in this way; (what the PBX saw, what the phone got)."""
        self.sequence += 1
        path = f"Path: <sip:{self.phone.mark}path@127.0.0.1;lr>"
        self.phone.send(self.phone.request(
            "REGISTER", f"sip:{PHONES}", self.call_id, self.sequence, self.tag, f"<sip:anna@{PHONES}>",
            ("Expires: 600", "Supported: path, outbound, gruu", path, *proof)))
        request = self.pbx.expect_request("REGISTER")
        self.pbx.socket.sendto(
            self.pbx.answer_to(request, status, "-", self.pbx.mark + "tag", extra), request.source)
        return request, self.phone.final(self.call_id, "REGISTER")

    def registered(self):
        """The phone's Contact at the PBX."""
        challenge = (f'WWW-Authenticate: Digest realm="{PHONES}", nonce="one", algorithm=MD5',)
        request, answer = self.register(401, challenge)
        proof = digest(challenges(answer)[0], "REGISTER", f"sip:{PHONES}", "anna", PASSWORD)
        _, answer = self.register(200, (
            f"Contact: <{request.contact_uri()}>;expires=600;pub-gruu=\"sip:{self.pbx.mark}gruu@{PHONES}\"",
            f"Contact: <sip:{self.pbx.mark}other@10.99.98.94>;expires=600;{self.pbx.mark}p={self.pbx.mark}p",
            f"Path: <sip:{self.pbx.mark}path@10.99.98.93;lr>"), (f"Authorization: {proof}",))
        expect(answer.status == 200, f"the phone was not registered: {answer}")
        return request.contact_uri()

    def check(self):
        check_hidden(self.sides, REGISTERED | {"path"}, PROVED)


@test("kept-registration", 40)
def kept_registration(t):
    """A phone's REGISTER and its PBX's answers: only the address, the challenge and the answer to it pass"""
    kept = Kept(t)
    kept.registered()
    kept.check()


@test("kept-phone", 60)
def kept_phone(t):
    """Calls between a PBX and a phone that it keeps, both ways, with its challenge; other requests stay here"""
    kept = Kept(t)
    contact = kept.registered()
    phone = End(kept.phone)
    challenge = f'Proxy-Authenticate: Digest realm="{PHONES}", nonce="two", algorithm=MD5'
    for status, extra in ((486, ()), (302, ()), (407, (challenge,))):
        phone.dial(f"sip:ben@{PHONES}", audio(free_port()))
        pbx = End(kept.pbx)
        invite = pbx.asked()
        answered(pbx, invite, 180)
        answered(pbx, invite, status, extra=extra)
        pbx.acknowledged(invite)
        refusal = phone.outcome()
        expect(refusal.status == (480 if status == 302 else status), f"{status} of the PBX became {refusal.start}")
    # The phone answers the PBX's challenge.
    proof = digest(challenges(refusal)[0], "INVITE", f"sip:ben@{PHONES}", "anna", PASSWORD)
    phone.to = f"<{phone.remote}>"
    phone.request("INVITE", phone.sdp(audio(free_port())), (f"Proxy-Authorization: {proof}",))
    pbx = End(kept.pbx)
    invite = pbx.asked()
    expect(any("two" in value for value in invite.all("proxy-authorization")), f"the phone's answer is gone: {invite}")
    answered(pbx, invite, 183, audio(free_port()))
    answered(pbx, invite, 200, audio(free_port()))
    expect(phone.outcome().status == 200, "the PBX did not answer")
    pbx.acknowledged(invite)
    between(phone, pbx)
    hang_up(pbx, phone)
    # Whatever else it asks the PBX for, and the PBX it.
    rows = [("MESSAGE", ()), ("SUBSCRIBE", ("Event: message-summary",)), ("PUBLISH", ("Event: presence",)),
            ("REFER", (f"Refer-To: <sip:ben@{PHONES}>",)), ("OPTIONS", ()),
            ("NOTIFY", ("Event: message-summary", "Subscription-State: active"))]
    for agent, uri in ((kept.phone, f"sip:ben@{PHONES}"), (kept.pbx, contact)):
        for method, extra in rows:
            call_id = agent.mark + token()
            agent.send(agent.request(
                method, uri, call_id, 1, agent.mark + token(), None, extra, f"{agent.mark}body 10.99.98.95",
                content_type="text/plain"))
            agent.final(call_id, method)
    # The PBX calls the phone by the Contact that it was given.
    phone, pbx = End(kept.phone), End(kept.pbx)
    connect(pbx, phone, contact)
    between(pbx, phone)
    hang_up(phone, pbx)
    for side in kept.sides:
        seen = [text.split()[0] for text in side.heard if text.split()[0] in {method for method, _ in rows}]
        expect(not seen, f"{side.mark} saw {seen}")
    kept.check()


def between(one, other):
    """What either may say in a call."""
    for end, far in ((one, other), (other, one)):
        end.offer(audio(free_port()))
        invite = far.asked()
        answered(far, invite, 200, audio(free_port()))
        expect(end.outcome().status == 200, "the re-INVITE was refused")
        far.acknowledged(invite)


@test("kept-refusals", 40)
def kept_refusals(t):
    """What a PBX writes into the fields of its refusals stays with it: the phone gets the status, and times as numbers"""
    kept = Kept(t)
    kept.registered()
    mark = kept.pbx.mark
    for status in (403, 404, 423, 302, 500, 603, 503):
        _, answer = kept.register(status, (
            f"Contact: <sip:{mark}moved@10.99.98.92>", f"Min-Expires: 700;{mark}p={mark}p"))
        expect(answer.status == (503 if status == 302 else status), f"{status} of the PBX became {answer.start}")
    check_hidden(kept.sides, REGISTERED | {"path", "retry-after"}, PROVED)


@test("contacts-call-id", 30)
def contacts_call_id(t):
    """A user's application is not told by which Call-ID a phone registers"""
    world = office(t)
    application = Party(t, world, "grace", MARKS[0])
    expect(application.agent.register(expires=0).status == 200, "the application is registered still")
    watch(application, "grace", "reg")
    phone = Party(t, world, "grace", MARKS[1])
    notify = notified(application, lambda notify: f"{phone.mark}-REGISTER-contact" in str(notify))
    expect(f'callid="{phone.agent.mark}' not in str(notify), f"the phone's Call-ID is told: {notify}")
