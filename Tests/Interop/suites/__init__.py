from . import command, sip, limits, moves, phones, probes, hiding, hostile, recovery, rest  # noqa: F401
