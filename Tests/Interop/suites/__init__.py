from . import command, sip, limits, moves, phones, probes, hiding, hostile, recovery, provider, pbx, rest  # noqa: F401
