"""Subscriptions: lamps of baresip and of our own agent, and calls that are taken while they ring."""

import re
import threading
from xml.etree import ElementTree

from harness.case import test
from harness.process import expect, wait_until

DIALOG = "{urn:ietf:params:xml:ns:dialog-info}"
REG = "{urn:ietf:params:xml:ns:reginfo}"


def subscribe(t, watcher, target, event, expires=60):
    """An agent of one of the users, subscribed; and the dialog."""
    agent = t.agent(user=watcher, password=t.world.users[watcher]["password"])
    answer, dialog = agent.exchange(
        "SUBSCRIBE", f"sip:{target}@{t.world.domain}", (f"Event: {event}", f"Expires: {expires}"))
    return agent, answer, dialog


def notify(agent, seconds=5):
    """The next NOTIFY, answered."""
    message = agent.expect_request("NOTIFY", seconds)
    agent.socket.sendto(agent.answer_to(message, 200, "OK"), message.source)
    return message


def dialogs(message):
    root = ElementTree.fromstring(message.body)
    expect(root.tag == f"{DIALOG}dialog-info" and root.get("state") == "full", root.tag)
    return root.findall(f"{DIALOG}dialog")


def until(agent, state, seconds=8):
    """The first document in which a dialog is in this state."""
    while True:
        message = notify(agent, seconds)
        for dialog in dialogs(message):
            if dialog.find(f"{DIALOG}state").text == state:
                return message, dialog


@test("message-waiting", 30)
def message_waiting(t):
    """A phone subscribes to its mailbox and is told what `demarc mailbox set` says. (baresip 1.0 can do it too, but
    every few times its mwi module goes into a loop of SUBSCRIBEs before it reads an answer.)"""
    world = t.world
    watcher, answer, _ = subscribe(t, "dave", "dave", "message-summary")
    expect(answer.status == 200, answer.start)
    expect(b"Messages-Waiting: no" in notify(watcher).body, "messages before there are any")
    world.demarc.command("mailbox", "set", "dave", "--new", "2", "--old", "1")
    body = notify(watcher).body
    expect(b"Messages-Waiting: yes" in body and b"Voice-Message: 2/1 (0/0)" in body, f"{body}")
    listed = [one for one in world.demarc.ask("subscriptions")["items"] if one["watcher"] == "dave"]
    expect([(one["event"], one["notifies"]) for one in listed] == [("message-summary", 2)], f"{listed}")
    expect(world.demarc.ask("mailbox")["items"][0]["new"] == 2, "the mailbox is not listed")
    world.demarc.command("mailbox", "set", "dave")
    expect(b"Messages-Waiting: no" in notify(watcher).body, "the lamp stays lit")


@test("lamp", 40)
def lamp(t):
    """A lamp follows a call between two phones, and tells no names"""
    world = t.world
    erin = t.user("erin")
    frank = t.user("frank")
    watcher, answer, dialog = subscribe(t, "grace", world.extension("erin"), "dialog")
    expect(answer.status == 200 and answer.get("expires") == "60", answer.start)
    expect(dialogs(notify(watcher)) == [], "a call before there is one")
    frank.dial(f"sip:{world.extension('erin')}@{world.domain}")
    erin.wait_event("CALL_INCOMING", 5)
    message, ringing = until(watcher, "early")
    expect(ringing.get("direction") == "recipient", ringing.get("direction"))
    expect(ringing.get("call-id") is None and ringing.find(f"{DIALOG}remote") is None, message.body)
    expect(b"frank" not in message.body and world.extension("frank").encode() not in message.body, message.body)
    erin.answer()
    until(watcher, "confirmed")
    frank.hang_up()
    until(watcher, "terminated")
    expect(dialog.request("SUBSCRIBE", ("Event: dialog", "Expires: 0")).status == 200, "not given up")
    last = notify(watcher)
    expect(last.get("subscription-state").startswith("terminated;reason=timeout"), last.get("subscription-state"))
    expect(dialog.request("SUBSCRIBE", ("Event: dialog", "Expires: 60")).status == 481, "still there")


@test("pickup", 40)
def pickup(t):
    """frank takes a call that rings at erin's baresip: INVITE with Replaces made of dialog-info"""
    world = t.world
    erin = t.user("erin")
    dave = t.user("dave")
    frank, answer, dialog = subscribe(t, "frank", world.extension("erin"), "dialog")
    expect(answer.status == 200, answer.start)
    notify(frank)
    dave.dial(f"sip:{world.extension('erin')}@{world.domain}")
    erin.wait_event("CALL_INCOMING", 5)
    _, ringing = until(frank, "early")
    remote = ringing.find(f"{DIALOG}remote/{DIALOG}target").get("uri")
    expect(world.extension("dave") in remote, remote)
    replaces = (f"{ringing.get('call-id')};to-tag={ringing.get('remote-tag')}"
                f";from-tag={ringing.get('local-tag')};early-only")
    done = threading.Event()

    def lamp_until_done():
        while not done.is_set():
            for message in list(frank.inbox):
                if message.method == "NOTIFY":
                    frank.inbox.remove(message)
                    frank.socket.sendto(frank.answer_to(message, 200, "OK"), message.source)
            done.wait(0.05)
    worker = threading.Thread(target=lamp_until_done, daemon=True)
    answer, taken = frank.exchange(
        "INVITE", f"sip:{world.extension('erin')}@{world.domain}",
        ("Require: replaces", f"Replaces: {replaces}"), body=frank.sdp(40020))
    worker.start()
    expect(answer.status == 200, answer.start)
    dave.established(5)
    closed = erin.closed(5)
    expect(re.search("elsewhere|cancel|487|reset by peer", str(closed), re.I), str(closed))
    call = world.live(world.extension("erin"))
    expect(call["to"] == "user:frank", call["to"])
    # A stranger to the group may not.
    grace = t.agent(user="grace", password=world.users["grace"]["password"])
    refused, _ = grace.exchange(
        "INVITE", f"sip:{world.extension('erin')}@{world.domain}", (f"Replaces: {replaces}",), body=grace.sdp(40022))
    expect(refused.status in (403, 481, 603), refused.start)
    expect(taken.bye().status == 200, "BYE refused")
    dave.closed(5)
    record = world.ended(call["id"])
    expect([one["cause"] for one in record["attempts"]] == ["completed-elsewhere"], record["attempts"])
    done.set()
    dialog.request("SUBSCRIBE", ("Event: dialog", "Expires: 0"))


@test("contacts", 30)
def contacts(t):
    """A user's application is told of the user's contacts: registered, and gone"""
    world = t.world
    watcher, answer, _ = subscribe(t, "grace", "grace", "reg")
    expect(answer.status == 200, answer.start)
    root = ElementTree.fromstring(notify(watcher).body)
    expect(root.find(f"{REG}registration").get("state") in ("init", "terminated"), "registered already")
    phone = t.agent(user="grace", password=world.users["grace"]["password"])
    expect(phone.register().status == 200, "not registered")
    contact = ElementTree.fromstring(notify(watcher, 10).body).find(f"{REG}registration/{REG}contact")
    expect(contact.get("state") == "active" and contact.get("event") == "registered", contact.attrib)
    expect(str(phone.port) in contact.find(f"{REG}uri").text, contact.find(f"{REG}uri").text)
    phone.register(expires=0)
    contact = ElementTree.fromstring(notify(watcher, 10).body).find(f"{REG}registration/{REG}contact")
    expect(contact.get("state") == "terminated" and contact.get("event") == "unregistered", contact.attrib)


@test("refused", 20)
def refused(t):
    """What there is not, what is not yours, and too short a time"""
    world = t.world
    rows = [("1002", "presence", 60, 489), ("1002", "message-summary", 60, 403), ("1002", "reg", 60, 403),
            ("1999", "dialog", 60, 404), ("1002", "dialog", 5, 423)]
    for target, event, expires, status in rows:
        _, answer, _ = subscribe(t, "alice", target, event, expires)
        expect(answer.status == status, f"{event} of {target}: {answer.start}")
        if status == 489:
            expect("message-summary" in answer.get("allow-events"), answer.get("allow-events"))
        if status == 423:
            expect(answer.get("min-expires") == "60", answer.get("min-expires"))
    metrics = world.demarc.metrics()
    wait_until(lambda: "demarc_notifies_total" in metrics, 1, "the metrics")
