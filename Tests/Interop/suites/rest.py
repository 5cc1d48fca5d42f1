"""The last word: what is left in the shared Demarc after everything, and what its books say."""

from harness.case import test
from harness.process import expect


@test("nothing-is-left", 90)
def nothing_is_left(t):
    """No session, transaction or leased port outlives its call"""
    t.world.at_rest()


@test("books", 30)
def books(t):
    """Every record is closed and has a cause, and both exports name the same calls, numbers and times"""
    demarc = t.world.demarc
    records = {record["id"]: record for record in demarc.records()}
    for record in records.values():
        expect(record["state"] in ("ended", "interrupted"), f"open: {record}")
        expect(record.get("cause"), f"no cause: {record}")
    for kind in ("csv", "jsonl"):
        rows = demarc.exported(kind)
        expect(len(rows) == len(records), f"{len(rows)} rows in {kind}, {len(records)} records")
        for row in rows:
            record = records.get(row["id"])
            expect(record, f"{kind} names a call that is no record: {row}")
            pairs = [("called_number", "calledNumber"), ("cause", "cause"), ("setup", "setup"), ("to", "to")]
            for column, field in pairs:
                expect((row.get(column) or "") == (record.get(field) or ""), f"{kind} {column}: {row}, {record}")
    t.remark = f"{len(records)} records"
