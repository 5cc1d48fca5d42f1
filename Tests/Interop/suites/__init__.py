from . import command, sip, limits, moves, phones, probes, hiding, hostile, numbers, recovery, provider, pbx, dialogs, rest  # noqa: F401
