"""What nobody should send, and that the next call does not mind."""

import os
import random
import time

from harness.agent import token
from harness.case import test
from harness.ports import free_port
from harness.process import expect
from harness.sipp import uac, uas

from .sip import carrier, from_pbx


def undisturbed(t, name):
    """A whole call right now."""
    number = t.world.number("+4930")
    north = carrier(t, "north", uas(ring_ms=0))
    from_pbx(t, uac(hold_ms=0), number, name=f"pbx-after-{name}").wait()
    north.wait()
    north.process.stop()


def invite(agent, world, extra=(), body=None, **options):
    uri = f"sip:{world.number('+4930')}@{world.domain}"
    return agent.request(
        "INVITE", uri, token(), 1, token(), extra=extra, body=agent.sdp(free_port()) if body is None else body,
        **options)


def statuses(agent, seconds=0.6):
    found = []
    while (message := agent.receive(seconds)) is not None:
        found.append(message.status)
        if message.status and message.status >= 200:
            break
    return found


@test("unparsable", 40)
def unparsable(t):
    """Garbage, truncation, zero bytes and wrong lengths get 400 or silence, never a call"""
    world = t.world
    agent = t.agent(user="pbx", port=world.ports["pbx"])
    good = invite(agent, world)
    dice = random.Random(7)
    damaged = [
        b"", b"\0", b"\r\n\r\n", b"\xff" * 1400, os.urandom(900), b"INVITE", b"INVITE sip:", b"SIP/2.0",
        b"SIP/2.0 99999999999999999999 X\r\n\r\n", b"OPTIONS " + b"A" * 5000 + b" SIP/2.0\r\n\r\n",
        good.replace(b"CSeq: 1", b"CSeq: 99999999999999999999"), good.replace(b"CSeq: 1 INVITE\r\n", b""),
        good.replace(b"Via: ", b"Via: SIP/2.0/UDP \0\0\0;branch=\0,"), good.replace(b"\r\nCall-ID", b"\0Call-ID"),
        good.replace(b"Max-Forwards: 70", b"Max-Forwards: -1"),
    ]
    damaged += [good[: dice.randrange(1, len(good))] for _ in range(40)]
    for _ in range(200):
        copy = bytearray(good)
        for _ in range(dice.randrange(1, 8)):
            copy[dice.randrange(len(copy))] = dice.randrange(256)
        # Which of these is still a good request is the parser's to say; none may reach a carrier's phone.
        damaged.append(bytes(copy).replace(b"INVITE sip", b"INFO sip"))
    for data in damaged:
        if data:
            agent.send(data)
    time.sleep(0.5)
    while agent.receive(0.05):
        pass
    agent.close()
    undisturbed(t, "unparsable")


@test("content-length", 40)
def content_length(t):
    """A body shorter than its Content-Length is refused with 400, a negative or absurd one as well"""
    world = t.world
    agent = t.agent(user="pbx", port=world.ports["pbx"])
    good = invite(agent, world)
    size = good.split(b"Content-Length: ")[1].split(b"\r\n")[0]
    for wrong in (b"99999", b"-5", b"18446744073709551616", b"abc"):
        agent.send(good.replace(b"Content-Length: " + size, b"Content-Length: " + wrong)
                   .replace(b"branch=z9hG4bK", b"branch=z9hG4bK" + token().encode()))
        answers = statuses(agent)
        expect(answers and answers[-1] == 400, f"Content-Length {wrong.decode()} got {answers}")
    agent.close()
    undisturbed(t, "content-length")


@test("oversize", 40)
def oversize(t):
    """The largest datagram, thousands of headers and very long ones do no harm"""
    world = t.world
    agent = t.agent(user="pbx", port=world.ports["pbx"])
    for extra in (
            tuple(f"X-{index}: {index}" for index in range(5000)),
            tuple(f"Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{index}" for index in range(1000)),
            ("X-Long: " + "a" * 60000,), ("Route: " + ",".join(["<sip:127.0.0.1;lr>"] * 2000),)):
        data = invite(agent, world, extra)[:65000]
        agent.send(data)
    statuses(agent)
    agent.close()
    undisturbed(t, "oversize")


@test("malformed-sdp", 40)
def malformed_sdp(t):
    """An SDP that says nothing usable is refused with 400 or 488 before any carrier hears of it"""
    world = t.world
    agent = t.agent(user="pbx", port=world.ports["pbx"])
    good = agent.sdp(4000)
    for body in (
            "nonsense", "v=0\r\n", good.replace("m=audio 4000", "m=audio 99999"),
            good.replace("m=audio 4000 RTP/AVP 0 8 101", "m=audio"), good.replace("127.0.0.1", "999.1.2.3"),
            good.replace("RTP/AVP 0 8 101", "RTP/AVP " + "0 " * 4000),
            good.replace("m=audio", "m=video"), good + "a=rtpmap:" + "9" * 400 + " X/1\r\n" * 100,
            good.replace("t=0 0", "t=" + "9" * 500)):
        agent.send(invite(agent, world, body=body))
        answers = statuses(agent, 1.5)
        expect(answers, f"no answer to an INVITE with {body[:40]!r}")
    agent.close()
    undisturbed(t, "malformed-sdp")


@test("unknown", 30)
def unknown(t):
    """Unknown methods, required extensions, spent hops and strangers get the RFC's answers"""
    world = t.world
    agent = t.agent(user="pbx", port=world.ports["pbx"])
    uri = f"sip:{world.domain}"
    answer, _ = agent.exchange("FROBNICATE", uri)
    expect(answer.status in (405, 501), f"an unknown method got {answer.start}")
    expect(answer.status == 501 or answer.get("allow"), "405 without Allow (RFC 3261 §21.4.6)")
    answer, _ = agent.exchange(
        "INVITE", f"sip:{world.number('+4930')}@{world.domain}", ("Require: frobnication",),
        agent.sdp(free_port()))
    expect(answer.status == 420, f"a required unknown extension got {answer.start}")
    expect("frobnication" in answer.get("unsupported"), "420 without Unsupported (RFC 3261 §8.2.2.3)")
    spent = invite(agent, world).replace(b"Max-Forwards: 70", b"Max-Forwards: 0")
    agent.send(spent)
    answers = statuses(agent, 1)
    expect(answers[-1:] == [483], f"spent hops got {answers}")
    call_id = token()
    agent.send(agent.request("BYE", uri, call_id, 5, token(), f"<{uri}>;tag=nobody"))
    expect(agent.final(call_id, "BYE").status == 481, "BYE of no dialog did not get 481")
    stranger = t.agent(user="nobody")
    answer, _ = stranger.exchange(
        "INVITE", f"sip:{world.number('+4930')}@{world.domain}", body=stranger.sdp(free_port()))
    expect(answer.status in (401, 403, 407), f"a stranger got {answer.start}")
