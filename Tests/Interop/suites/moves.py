"""Calls that ring in several places at once, that are forwarded, deflected and transferred."""

import time

from harness import audio
from harness.audio import spoken
from harness.case import test
from harness.process import expect, wait_until

WORDS = "The birch canoe slid on the smooth planks."
RING = "+4940110"


def attempts(record):
    return sorted((attempt["status"], attempt.get("cause") or "") for attempt in record["attempts"])


@test("ring-together", 60)
def ring_together(t):
    """Two phones of a user and one of another ring at once: the one that answers is heard, the others stop"""
    world = t.world
    words, says = spoken(WORDS)
    desk = t.user("dave", says=says)
    sofa = t.phone(
        "dave-sofa", user="dave", password=world.users["dave"]["password"], registrar=world.sip,
        domain=world.domain).registered()
    erin = t.user("erin")
    frank = t.user("frank", says=says)
    frank.dial(f"sip:{RING}@{world.domain}")
    for phone in (desk, sofa, erin):
        phone.wait_event("CALL_INCOMING", 5)
    desk.answer()
    frank.established(5)
    for phone in (sofa, erin):
        phone.closed(5)
    seconds = len(words) / audio.RATE + 1.5
    frank.wait_heard(seconds, seconds + 8)
    call = world.live(RING)
    frank.hang_up()
    desk.closed(5)
    likeness = audio.check_likeness("frank heard", words, frank.heard())
    audio.check_likeness("dave heard", words, desk.heard())
    record = world.ended(call["id"])
    expect(attempts(record) == [
        (200, ""), (487, "completed-elsewhere"), (487, "completed-elsewhere")], attempts(record))
    expect(record["to"] == "user:dave", record["to"])
    t.remark = str(likeness)


@test("two-answer", 30)
def two_answer(t):
    """Both branches answer at once: one call, and the other is acknowledged and ended"""
    world = t.world
    one = t.agent(user="dave", password=world.users["dave"]["password"])
    two = t.agent(user="erin", password=world.users["erin"]["password"])
    caller = t.agent(user="frank", password=world.users["frank"]["password"])
    for agent in (one, two):
        expect(agent.register().status == 200, "not registered")
    answer, dialog = None, None
    invites = {}

    def answer_both():
        for agent in (one, two):
            invites[agent] = agent.expect_request("INVITE", 5)
        for agent, invite in invites.items():
            agent.socket.sendto(
                agent.answer_to(invite, 200, "OK", "t" + agent.user, body=agent.sdp(40000)), invite.source)
    import threading
    worker = threading.Thread(target=answer_both)
    worker.start()
    answer, dialog = caller.exchange("INVITE", f"sip:{RING}@{world.domain}", body=caller.sdp(40002))
    worker.join()
    expect(answer.status == 200, answer.start)
    for agent in (one, two):
        agent.expect_request("ACK", 5)
    # Only the loser is hung up; its BYE says that the call is in good hands.
    def bye(agent):
        return next((m for m in agent.inbox if m.method == "BYE"), None) or agent.receive(0.2)
    found = {}

    def lost():
        for agent in (one, two):
            message = bye(agent)
            if message and message.method == "BYE":
                found[agent] = message
        return found
    wait_until(lost, 5, "the BYE of the branch that lost", 0.05)
    expect(len(found) == 1, "both were hung up")
    loser, message = next(iter(found.items()))
    expect("completed elsewhere" in message.get("reason").lower(), f"Reason {message.get('reason')}")
    loser.socket.sendto(loser.answer_to(message, 200, "OK"), message.source)
    winner = two if loser is one else one
    expect(dialog.bye().status == 200, "BYE refused")
    end = winner.expect_request("BYE", 5)
    winner.socket.sendto(winner.answer_to(end, 200, "OK"), end.source)
    for agent in (one, two):
        agent.register(expires=0)


def sip_user(t, name):
    agent = t.agent(user=name, password=t.world.users[name]["password"])
    expect(agent.register().status == 200, f"{name} is not registered")
    t.defer(lambda: agent.register(expires=0))
    return agent


def refuse(agent, status, reason, extra=()):
    invite = agent.expect_request("INVITE", 5)
    agent.socket.sendto(agent.answer_to(invite, status, reason, "no", extra=extra), invite.source)
    agent.expect_request("ACK", 5)
    return invite


@test("busy", 30)
def busy(t):
    """Busy forwards to an outside number: the carrier is told by whom, the record too"""
    world = t.world
    grace = sip_user(t, "grace")
    north = t.agent(user="north", port=world.ports["north"])
    frank = t.agent(user="frank", password=world.users["frank"]["password"])
    import threading
    found = {}

    def callees():
        refuse(grace, 486, "Busy Here")
        found["invite"] = invite = north.expect_request("INVITE", 5)
        north.socket.sendto(
            north.answer_to(invite, 200, "OK", "north", body=north.sdp(40004)), invite.source)
        north.expect_request("ACK", 5)
    worker = threading.Thread(target=callees)
    worker.start()
    number = world.extension("grace")
    answer, dialog = frank.exchange("INVITE", f"sip:{number}@{world.domain}", body=frank.sdp(40006))
    worker.join()
    expect(answer.status == 200, answer.start)
    expect(any(m.status == 181 for m in frank.inbox), "no 181")
    invite = found["invite"]
    expect("reason=user-busy" in invite.get("diversion"), f"Diversion {invite.get('diversion')}")
    expect(len(invite.all("history-info")) == 2, f"History-Info {invite.all('history-info')}")
    call = world.live(number)
    dialog.bye()
    end = north.expect_request("BYE", 5)
    north.socket.sendto(north.answer_to(end, 200, "OK"), end.source)
    record = world.ended(call["id"])
    last = record["attempts"][-1]
    expect(last.get("forwardedBy") == "user:grace", last)


@test("dead-hops", 40)
def dead_hops(t):
    """A silent trunk, a closed port and a user without a phone: the caller is answered all the same"""
    world = t.world
    # Nobody answers at the mute trunk's port, and nobody listens at the shut one's. No other test uses them: a
    # target that is known to be dead is passed over.
    mute = t.agent(user="mute", port=world.ports["mute"])
    frank = t.agent(user="frank", password=world.users["frank"]["password"])
    began = time.monotonic()
    answer, dialog = frank.exchange(
        "INVITE", f"sip:+4940111@{world.domain}", body=frank.sdp(40008), seconds=15)
    waited = time.monotonic() - began
    expect(answer.status == 200, answer.start)
    mute.expect_request("INVITE", 1)
    expect(waited < 8, f"answered after {waited:.1f} s")
    call = world.live("+4940111")
    dialog.bye()
    record = world.ended(call["id"])
    expect([a["target"] for a in record["attempts"]] == ["trunk:mute", "trunk:shut", "application:echo"],
           record["attempts"])
    t.remark = f"answered after {waited:.1f} s"


@test("deflection", 30)
def deflection(t):
    """A phone's 302 leads to another user's baresip, and one that names itself is refused with 482"""
    world = t.world
    grace = sip_user(t, "grace")
    erin = t.user("erin", answer="auto")
    frank = t.agent(user="frank", password=world.users["frank"]["password"])
    import threading
    number = world.extension("grace")

    def redirect(to):
        return threading.Thread(target=lambda: refuse(
            grace, 302, "Moved Temporarily", (f"Contact: <sip:{to}@{world.domain}>",)))
    worker = redirect(world.extension("erin"))
    worker.start()
    answer, dialog = frank.exchange("INVITE", f"sip:{number}@{world.domain}", body=frank.sdp(40010))
    worker.join()
    expect(answer.status == 200, answer.start)
    erin.established(5)
    dialog.bye()
    erin.closed(5)
    worker = redirect("grace")
    worker.start()
    answer, _ = frank.exchange("INVITE", f"sip:{number}@{world.domain}", body=frank.sdp(40010))
    worker.join()
    expect(answer.status == 482, answer.start)


@test("redirecting-carrier", 30)
def redirecting_carrier(t):
    """A carrier's 302 is followed to a number of the tenant; one to the world outside is a refusal and calls nobody"""
    world = t.world
    moved = t.agent(user="moved", port=world.ports["moved"])
    north = t.agent(user="north", port=world.ports["north"])
    frank = t.agent(user="frank", password=world.users["frank"]["password"])
    import threading
    for to, status, cause in (
            (world.number("+4930"), 480, "carrier-rejected"), (world.extension("dave"), 480, "carrier-rejected"),
            ("+4940103", 200, "normal-clearing")):
        number = world.number("+4928")
        worker = threading.Thread(target=lambda: refuse(
            moved, 302, "Moved Temporarily", (f"Contact: <sip:{to}@carrier.test>",)))
        worker.start()
        answer, dialog = frank.exchange("INVITE", f"sip:{number}@{world.domain}", body=frank.sdp(40012))
        worker.join()
        expect(answer.status == status, f"after a redirection to {to}: {answer.start}")
        if status == 200:
            dialog.bye()
        record = world.record(number)
        expect(record["cause"] == cause, f"after a redirection to {to}: {record['cause']}")
    expect(record["attempts"][-1].get("forwardedBy") == "trunk:moved", f"{record['attempts']}")
    expect(north.receive(0.2) is None, "somebody outside was called")


@test("redirected-to-the-same-number", 30)
def redirected_to_the_same_number(t):
    """A carrier's 302 to the number that was called, at another of its hosts, is a refusal: the next carrier is tried"""
    world = t.world
    moved, south = (t.agent(user=name, port=world.ports[name]) for name in ("moved", "south"))
    frank = t.agent(user="frank", password=world.users["frank"]["password"])
    import threading
    number = world.number("+4927")

    def carriers():
        refuse(moved, 302, "Moved Temporarily", (f"Contact: <sip:{number}@other.carrier.test>",))
        refuse(south, 486, "Busy Here")
    worker = threading.Thread(target=carriers)
    worker.start()
    answer, _ = frank.exchange("INVITE", f"sip:{number}@{world.domain}", body=frank.sdp(40012), seconds=8)
    worker.join()
    expect(answer.status == 486, f"the second carrier is busy, and the caller got {answer.start}")
    told = [attempt["status"] for attempt in world.record(number)["attempts"]]
    expect(told == [302, 486], f"the carriers said 302 and 486, the record has {told}")


def notes(record):
    return " / ".join(record.get("notes") or [])


@test("transfer", 60)
def transfer(t):
    """baresip hands its call on with REFER: the two that are left hear each other, and each call has its record"""
    world = t.world
    words, says = spoken(WORDS)
    other_words, other_says = spoken("The juice of lemons makes fine punch.")
    dave = t.user("dave", answer="auto", says=says)
    erin = t.user("erin", answer="auto", says=other_says)
    frank = t.user("frank")
    first, second = world.extension("dave"), world.extension("erin")
    frank.dial(f"sip:{first}@{world.domain}")
    frank.established(5)
    call = world.live(first)
    frank.command("transfer", f"sip:{second}@{world.domain}")
    erin.established(8)
    frank.closed(8)
    made = world.live(second)
    time.sleep(max(len(words), len(other_words)) / audio.RATE + 2.5)
    erin.hang_up()
    dave.closed(5)
    likeness = audio.check_likeness("erin heard", words, erin.heard())
    # dave hears somebody else than before in the flow that it knows: baresip 1.0 plays nothing of another source
    # whose numbers are lower.
    audio.check_likeness("dave heard", other_words, dave.heard())
    record, old = world.ended(made["id"]), world.ended(call["id"])
    expect((record["from"], record["to"]) == ("user:frank", "user:erin"), record)
    expect(f"transfer of {call['id']} by user:frank" in notes(record), notes(record))
    expect(f"goes on with {made['id']}" in notes(old), notes(old))
    t.remark = str(likeness)


def answer_notify(agent, seconds=8):
    """The status that the next NOTIFY tells of, and whether it is the last."""
    message = agent.expect_request("NOTIFY", seconds)
    agent.socket.sendto(agent.answer_to(message, 200, "OK"), message.source)
    expect(message.get("event").startswith("refer"), message.get("event"))
    status = int(str(message).split("SIP/2.0 ")[-1].split()[0])
    return status, message.get("subscription-state").startswith("terminated")


@test("attended-transfer", 60)
def attended_transfer(t):
    """REFER with Replaces: the far ends of a phone's two calls hear each other, and the phone is in neither"""
    world = t.world
    _, says = spoken(WORDS)
    dave = t.user("dave", answer="auto")
    erin = t.user("erin", answer="auto", says=says)
    frank = t.agent(user="frank", password=world.users["frank"]["password"])
    answer, one = frank.exchange(
        "INVITE", f"sip:{world.extension('dave')}@{world.domain}", body=frank.sdp(40020))
    expect(answer.status == 200, answer.start)
    answer, two = frank.exchange(
        "INVITE", f"sip:{world.extension('erin')}@{world.domain}", body=frank.sdp(40022))
    expect(answer.status == 200, answer.start)
    target = (f"sip:{world.extension('erin')}@{world.domain}?Replaces={two.call_id}"
              f"%3Bto-tag%3D{two.remote_tag}%3Bfrom-tag%3D{two.tag}")
    began = time.monotonic()
    answer = one.request("REFER", (f"Refer-To: <{target}>",))
    expect(answer.status == 202, answer.start)
    told = [answer_notify(frank)]
    while not told[-1][1]:
        told.append(answer_notify(frank))
    expect([status for status, _ in told] == [100, 200], told)
    for dialog in (one, two):
        end = frank.wait(
            lambda m, dialog=dialog: m.method == "BYE" and m.get("call-id") == dialog.call_id, 5, "BYE")
        frank.socket.sendto(frank.answer_to(end, 200, "OK"), end.source)
    joined = time.monotonic() - began
    # erin has been speaking since she answered: what is heard is what is left of it, and then once more.
    calls = [world.live(world.extension(name))["id"] for name in ("dave", "erin")]
    time.sleep(2)
    erin.hang_up()
    dave.closed(5)
    for call in calls:
        expect("goes on with" in notes(world.ended(call)), call)
    _, received = dave.packets()
    expect(received > 50, f"dave received {received} packets")
    t.remark = f"joined after {joined:.2f} s"


@test("transfer-refused", 30)
def transfer_refused(t):
    """A busy target: the phone hears why, and its call goes on; outside of a call REFER gets 403"""
    world = t.world
    erin = sip_user(t, "erin")
    dave = t.user("dave", answer="auto")
    frank = t.agent(user="frank", password=world.users["frank"]["password"])
    answer, one = frank.exchange(
        "INVITE", f"sip:{world.extension('dave')}@{world.domain}", body=frank.sdp(40024))
    expect(answer.status == 200, answer.start)
    import threading
    worker = threading.Thread(target=lambda: refuse(erin, 486, "Busy Here"))
    worker.start()
    answer = one.request(
        "REFER", (f"Refer-To: <sip:{world.extension('erin')}@{world.domain}>",))
    expect(answer.status == 202, answer.start)
    told = [answer_notify(frank)]
    while not told[-1][1]:
        told.append(answer_notify(frank))
    worker.join()
    expect(told[-1] == (486, True), told)
    answer, _ = frank.exchange(
        "REFER", f"sip:{world.extension('dave')}@{world.domain}",
        (f"Refer-To: <sip:{world.extension('erin')}@{world.domain}>",))
    expect(answer.status == 403, answer.start)
    expect(one.bye().status == 200, "BYE refused")
    dave.closed(5)
