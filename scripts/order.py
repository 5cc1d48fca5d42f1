"""180 and 200 that a callee sends back to back leave Demarc in that order, each time.

    python3 scripts/order.py [--calls 10000] [--rate 200] [--reverse] [--demarc PATH] [--results FILE] [--keep]

With --reverse the callee sends them the other way round: then the run has to fail.
"""

import dataclasses
import sys

from campaign import PORT_REST, Office, arguments, at_rest, carry_out, sample
from harness.order import back_to_back  # noqa: E402


def order(options, verdict, folder):
    pairs = min(2 * options.calls, int(options.rate * 2 * (PORT_REST + 1) * 1.3)) + 100
    office = Office(options.demarc, folder / "office", {"pbx": {}}, {"north": {}}, {"+4930": ["north"]}, pairs)
    try:
        office.start()
        before = sample(office.demarc)
        found = back_to_back(office.address, office.domain, office.ports["pbx"], office.ports["north"], "+4930100001",
                             options.calls, options.rate, reverse=options.reverse)
        print(found)
        verdict.check(found.perfect(), str(found))
        after = at_rest(office.demarc, before)
        verdict.check(after["transactions"] == 0 and after["calls_active"] == 0, f"left: {after}")
        verdict.figures.update({**dataclasses.asdict(found), "rate": options.rate})
    finally:
        office.close()


def main():
    parser = arguments("order", __doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=200, help="calls a second")
    parser.add_argument("--reverse", action="store_true", help="200 before 180: has to fail")
    options = parser.parse_args()
    return carry_out("order", order, options)


if __name__ == "__main__":
    sys.exit(main())
