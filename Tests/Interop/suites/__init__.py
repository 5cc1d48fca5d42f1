from . import command, sip, limits, moves, phones, probes, hiding, hostile, numbers, recovery, provider, pbx, rest  # noqa: F401
