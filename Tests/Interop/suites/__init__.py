from . import command, sip, limits, phones, probes, hiding, hostile, recovery, rest  # noqa: F401
