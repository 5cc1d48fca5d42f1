#!/usr/bin/env python3
"""Writes Sources/Policy/Numbers/NumberClassTable.swift: prefixes of numbers that cost more than a call does.

Run by a developer when numbering plans have changed (needs Python's phonenumbers, Debian's python3-phonenumbers, which
is libphonenumber's metadata); its output is committed, so nothing of it is needed to build or to run. With `--examples`
it writes Tests/PolicyTests/NumberExamples.swift: libphonenumber's own example of each type in each region, which the
table is tested with. The examples are not made from the patterns that the table is made from.

A prefix belongs to a class when every number that begins with it is of the class or of no type at all; where one prefix
has numbers of several types still at DEPTH digits, the costly one counts.
"""
import pathlib
import re._parser as parser
import sys

import phonenumbers
from phonenumbers import PhoneMetadata, shortnumberinfo

DEPTH = 7
ROOT = pathlib.Path(__file__).resolve().parent.parent
# Letter of the table: the fields of the metadata. The first that may be counts.
CLASSES = {"p": "premium_rate", "n": "personal_number", "c": "shared_cost"}
OTHERS = ("fixed_line", "mobile", "toll_free", "voip", "uan", "pager", "voicemail")
# Global networks have a country code and no country (ITU-T E.164, list of assigned codes).
GLOBAL = {"870": "s", "878": "n", "881": "s", "882": "s", "883": "s", "888": "s", "808": "c", "979": "p"}
# US territories are called like the United States (FCC, rate integration).
LIKE_US = {"US", "CA", "PR", "VI", "GU", "AS", "MP"}

DIGITS = frozenset("0123456789")


def expand(pattern: str) -> list[tuple[frozenset, ...]]:
    """Each way through the pattern, as the sets of digits that may stand at each place, cut at DEPTH."""
    return sorted(set(walk(list(parser.parse(pattern)))), key=lambda w: [sorted(s) for s in w])


def walk(items) -> list[tuple]:
    ways = [()]
    for op, value in items:
        name = str(op)
        if name == "LITERAL":
            more = [(frozenset(chr(value)),)]
        elif name == "IN":
            more = [(digits(value),)]
        elif name == "BRANCH":
            more = [way for branch in value[1] for way in walk(list(branch))]
        elif name == "SUBPATTERN":
            more = walk(list(value[-1]))
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, inner = value
            once = walk(list(inner))
            more, row = [], [()]
            for count in range(min(int(most), DEPTH) + 1):
                if count >= min(int(least), DEPTH):
                    more += row
                row = cut([a + b for a in row for b in once])
        else:
            raise ValueError(f"{name} in a pattern")
        ways = cut([a + b for a in ways for b in more])
    return ways


def digits(parts) -> frozenset:
    found = set()
    for op, value in parts:
        name = str(op)
        if name == "LITERAL":
            found.add(chr(value))
        elif name == "RANGE":
            found |= {chr(code) for code in range(value[0], value[1] + 1)}
        elif name == "CATEGORY":
            found |= DIGITS
        else:
            raise ValueError(f"{name} in a set")
    return frozenset(found)


def cut(ways):
    return list(dict.fromkeys(way[:DEPTH] for way in ways))


def may_begin(ways, prefix: str) -> bool:
    """Some number of the pattern begins with the prefix."""
    return any(len(way) >= len(prefix) and all(d in s for d, s in zip(prefix, way)) for way in ways)


def prefixes(costly, others, prefix="") -> list[str]:
    if not may_begin(costly, prefix):
        return []
    if prefix and not may_begin(others, prefix) or len(prefix) == DEPTH:
        return [prefix]
    found = [one for digit in "0123456789" for one in prefixes(costly, others, prefix + digit)]
    children = {prefix + digit for digit in "0123456789"}
    return [prefix] if prefix and children <= set(found) else found


def pattern(description) -> str | None:
    text = description.national_number_pattern if description else None
    return None if text in (None, "NA") else text


def regions(code: int):
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]:
        if region == "001":
            yield PhoneMetadata.metadata_for_nongeo_region(code, None)
        else:
            yield PhoneMetadata.metadata_for_region(region, None)


def ways_of(metadata, fields):
    return [way for data in metadata for field in fields
            for text in [pattern(getattr(data, field))] if text for way in expand(text)]


def rows() -> dict[str, str]:
    table: dict[str, str] = {}
    for code in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE):
        if str(code) in GLOBAL:
            table[str(code)] = GLOBAL[str(code)]
            continue
        metadata = list(regions(code))
        seen = list(OTHERS)
        for letter, field in reversed(CLASSES.items()):
            for prefix in prefixes(ways_of(metadata, [field]), ways_of(metadata, seen)):
                # The costlier class is written later and takes it.
                table[f"{code}{prefix}"] = letter
            seen.append(field)
        # Service codes, of the region that the code belongs to first.
        short = PhoneMetadata.short_metadata_for_region(metadata[0].id, None)
        text = short and pattern(short.premium_rate)
        if text:
            # What is for text messages cannot be called; SIM cards and free services are no matter of ours.
            others = [w for f in ("emergency", "toll_free", "sms_services")
                      for t in [pattern(getattr(short, f))] if t for w in expand(t)]
            for prefix in prefixes(expand(text), others):
                if not may_begin(others, prefix):
                    table[f"{code}*{prefix}"] = "p"
    # A row inside another of its class says nothing.
    return {p: c for p, c in table.items()
            if next((table[p[:n]] for n in range(len(p) - 1, 0, -1) if p[:n] in table), None) != c}


def zones() -> list[str]:
    """Areas that share a country code with another country and are abroad for it."""
    found = []
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1]:
        if region in LIKE_US:
            continue
        data = PhoneMetadata.metadata_for_region(region, None)
        area = {way for way in expand(data.general_desc.national_number_pattern)}
        for digits in (f"{n:03}" for n in range(200, 1000)):
            fixed = [w for f in ("fixed_line", "mobile") for t in [pattern(getattr(data, f))] if t for w in expand(t)]
            if may_begin(list(area), digits) and may_begin(fixed, digits):
                found.append("1" + digits)
    return sorted(set(found)) + ["76", "77"]


def pack(table: dict[str, str]) -> list[str]:
    """Lines of a country code, a class and the prefixes behind the code, those of one length and stem as `90[0-4]`."""
    codes = sorted({str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE})
    by_row: dict[tuple[str, str], list[str]] = {}
    for prefix, letter in sorted(table.items()):
        code = next(c for c in codes if prefix.startswith(c))
        by_row.setdefault((code, letter), []).append(prefix[len(code):])
    lines = []
    for (code, letter), rest in by_row.items():
        stems: dict[str, str] = {}
        for one in sorted(rest, key=lambda p: (len(p), p)):
            stems.setdefault(one[:-1] if one else "", "")
            stems[one[:-1]] += one[-1:]
        words, line = [s + (f"[{d}]" if len(d) > 1 else d) or "-" for s, d in stems.items()], f"{code} {letter}"
        for word in words:
            if len(line) + len(word) > 94:
                lines.append(line)
                line = f"{code} {letter}"
            line += " " + word
        lines.append(line)
    return lines


def write_table() -> None:
    table = rows()
    text = "\n".join("    " + line for line in pack(table))
    areas = "\n".join("    " + " ".join(zones()[i:i + 14]) for i in range(0, len(zones()), 14))
    path = ROOT / "Sources/Policy/Numbers/NumberClassTable.swift"
    path.write_text(f'''// Made by scripts/number_classes.py from libphonenumber's metadata, version {phonenumbers.__version__}
// (Copyright The Libphonenumber Authors, Apache License 2.0). Do not edit.

/// Prefixes of E.164 numbers that cost more than an ordinary call to their country.
enum NumberClassTable {{
  /// Country code, class, and prefixes behind the code; `90[13]`: 901 and 903; `-`: the whole code; `*`: service codes
  /// that are dialled within the country. p: premium rate, n: personal, c: shared cost, s: satellite and other global
  /// networks.
  static let text = """
{text}
    """

  /// Areas that are abroad for the country whose code they share.
  static let areas = """
{areas}
    """
}}
''')
    print(f"{len(table)} prefixes, {path.stat().st_size} bytes")


def write_examples() -> None:
    kinds = {"p": phonenumbers.PhoneNumberType.PREMIUM_RATE, "n": phonenumbers.PhoneNumberType.PERSONAL_NUMBER,
             "c": phonenumbers.PhoneNumberType.SHARED_COST, "f": phonenumbers.PhoneNumberType.FIXED_LINE,
             "m": phonenumbers.PhoneNumberType.MOBILE, "t": phonenumbers.PhoneNumberType.TOLL_FREE}
    lines = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for letter, kind in kinds.items():
            example = phonenumbers.example_number_for_type(region, kind)
            if example and phonenumbers.number_type(example) == kind:
                lines.append(f"    {letter} {region} "
                             + phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164))
    text = "\n".join(lines)
    path = ROOT / "Tests/PolicyTests/NumberExamples.swift"
    path.write_text(f'''// Made by scripts/number_classes.py --examples from libphonenumber {phonenumbers.__version__}: its example of each
// type in each region (Copyright The Libphonenumber Authors, Apache License 2.0). Do not edit.

/// Type, region and number. p: premium rate, n: personal, c: shared cost, f: fixed line, m: mobile, t: free of charge.
enum NumberExamples {{
  static let text = """
{text}
    """
}}
''')
    print(f"{len(lines)} examples, {path.stat().st_size} bytes")


write_examples() if "--examples" in sys.argv else write_table()
