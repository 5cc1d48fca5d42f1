"""Two agents with a call between them through Demarc, who say in SDP whatever a test wants, at any time and in either
direction."""

import re

from .agent import token
from .process import expect


class Line:
    """A media line as it arrived: kind, port, transport, formats, and what stands below it."""

    def __init__(self, text, session):
        self.text = text
        self.kind, port, self.transport, *self.formats = text.splitlines()[0][2:].split()
        self.port = int(port)
        found = re.search(r"(?m)^c=IN IP[46] (\S+)", text) or re.search(r"(?m)^c=IN IP[46] (\S+)", session)
        self.address = found.group(1) if found else None

    @property
    def target(self):
        return (self.address, self.port)

    def __repr__(self):
        return self.text


def lines(message):
    """The media lines of a message's SDP."""
    session, *media = re.split(r"(?m)^(?=m=)", message.body.decode())
    return [Line(text, session) for text in media]


def audio(port, formats="0 8 101", more="a=sendrecv\r\n"):
    return (f"m=audio {port} RTP/AVP {formats}\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
            f"a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n{more}")


class End:
    """One side of the call."""

    def __init__(self, agent):
        self.agent, self.tag = agent, agent.mark + token()
        self.call_id = self.remote = self.to = self.sender = None
        self.sequence = self.version = self.taken_last = 0

    def sdp(self, *media):
        """A session description with the media lines; its version goes up each time (RFC 3264 §8)."""
        self.version += 1
        return (f"v=0\r\no=- 77 {self.version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                + "".join(media))

    # --- to ask ------------------------------------------------------------------------------------
    def dial(self, uri, *media):
        self.call_id, self.remote, self.to = self.agent.mark + token(8), uri, f"<{uri}>"
        self.offer(*media)

    def offer(self, *media):
        """An INVITE with these lines; `outcome` is what comes of it."""
        self.request("INVITE", self.sdp(*media))

    def request(self, method, body=b"", extra=()):
        self.sequence += 1
        self.branch = "z9hG4bK" + token()
        self.agent.send(self.agent.request(
            method, self.remote, self.call_id, self.sequence, self.tag, self.to, extra, body, self.branch,
            sender=self.sender))

    def outcome(self, seconds=5):
        """The final response to our INVITE, acknowledged."""
        answer = self.agent.wait(
            lambda m: m.status and m.status >= 200 and m.get("call-id") == self.call_id
            and m.get("cseq") == f"{self.sequence} INVITE", seconds, "a final response to INVITE")
        branch = self.branch
        if answer.status < 300:
            self.remote, self.to, branch = answer.contact_uri(), answer.get("to"), None
        self.agent.send(self.agent.request(
            "ACK", self.remote, self.call_id, self.sequence, self.tag, answer.get("to"), branch=branch,
            sender=self.sender))
        return answer

    # --- to be asked -------------------------------------------------------------------------------
    def asked(self, seconds=5):
        """The next INVITE, whose dialog is ours from now on."""
        invite = self.agent.wait(
            lambda m: m.method == "INVITE" and (self.call_id is None or m.get("call-id") == self.call_id)
            and int(m.get("cseq").split()[0]) > self.taken_last, seconds, "INVITE")
        self.taken_last = int(invite.get("cseq").split()[0])
        if self.call_id is None:
            self.call_id, self.to, self.sender = invite.get("call-id"), invite.get("from"), invite.get("to")
        self.remote = invite.contact_uri()
        return invite

    def reply(self, invite, status, reason, *media):
        body = self.sdp(*media) if media else b""
        self.agent.socket.sendto(
            self.agent.answer_to(invite, status, reason, self.tag, body=body), invite.source)

    def acknowledged(self, invite, seconds=5):
        """The ACK of our reply."""
        number = invite.get("cseq").split()[0]
        return self.agent.wait(
            lambda m: m.method == "ACK" and m.get("call-id") == self.call_id and m.get("cseq").split()[0] == number,
            seconds, "ACK")

    def ended(self, seconds=5):
        bye = self.agent.wait(
            lambda m: m.method == "BYE" and m.get("call-id") == self.call_id, seconds, "BYE")
        self.agent.socket.sendto(self.agent.answer_to(bye, 200, "OK"), bye.source)


class Pair:
    """The PBX calls a number that leads to a carrier; both are agents of ours."""

    def __init__(self, t, number, callee="east", world=None, namespace=None):
        self.t, self.number, self.world = t, number, world or t.world
        ports = self.world.ports
        self.caller, self.callee = (
            End(t.agent(world=self.world, user=name, port=ports[name], namespace=namespace))
            for name in ("pbx", callee))

    def connect(self, offer, answer):
        """The call itself; (what the callee was offered, what the caller was answered), as media lines. An answer may
        be made of the offer."""
        self.caller.dial(f"sip:{self.number}@{self.world.domain}", *offer)
        return self.completed(self.caller, self.callee, answer)

    def change(self, asking, offer, answer):
        """A re-INVITE from one end, accepted by the other."""
        asking.offer(*offer)
        return self.completed(asking, self.other(asking), answer)

    def completed(self, asking, asked, answer):
        invite = asked.asked()
        if callable(answer):
            answer = answer(lines(invite))
        asked.reply(invite, 200, "OK", *answer)
        final = asking.outcome()
        expect(final.status == 200, f"the answer is {final}")
        asked.acknowledged(invite)
        offered, answered = lines(invite), lines(final)
        expect(len(offered) == len(answer), f"{len(offered)} lines were offered and {len(answer)} answered: {invite}")
        return offered, answered

    def other(self, end):
        return self.callee if end is self.caller else self.caller

    def hang_up(self, end=None):
        """Either end says BYE; the closed record of the call."""
        end = end or self.caller
        end.request("BYE")
        self.other(end).ended()
        answer = end.agent.final(end.call_id, "BYE")
        expect(answer.status == 200, f"BYE got {answer.start}")
        return type(self.world).record(self.world, self.number)
