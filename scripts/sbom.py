"""What the program is made of, as a bill of materials: CycloneDX 1.5 in JSON, to standard output.

    python3 scripts/sbom.py [--program .build/release/demarc]

The Swift packages are those that the build has resolved, with the licence that lies in their checkouts; the libraries
of the system are those that the program is linked with, by the Debian packages that own them.
"""

import argparse
import hashlib
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
# By a sentence that each licence has.
LICENCES = [("Apache-2.0", "Apache License"), ("MIT", "Permission is hereby granted, free of charge"),
            ("BSD-3-Clause", "Neither the name of"), ("BSD-2-Clause", "Redistribution and use in source")]


def output(*argv):
    return subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=True).stdout


def licence(folder):
    for path in sorted(folder.glob("LICEN[CS]E*")):
        text = path.read_text(errors="replace")
        for name, sentence in LICENCES:
            if sentence in text:
                return [{"license": {"id": name}}]
    return []


def swift_packages():
    """Those that Package.resolved pins, by the place that they came from."""
    pins = json.loads((ROOT / "Package.resolved").read_text())["pins"]
    for pin in sorted(pins, key=lambda one: one["identity"]):
        place = pin["location"].removesuffix(".git")
        version = pin["state"].get("version") or pin["state"]["revision"]
        owner = place.removeprefix("https://")
        yield {
            "type": "library", "name": owner.partition("/")[2], "version": version,
            "purl": f"pkg:swift/{owner}@{version}", "scope": "required",
            "licenses": licence(ROOT / ".build/checkouts" / place.rpartition("/")[2]),
        }


def system_libraries(program):
    """Each Debian package that owns a library of the program; Swift's runtime, which no package owns."""
    found, swift = {}, set()
    for line in output("ldd", program).splitlines():
        path = re.search(r"=> (/\S+)", line)
        if not path:
            continue
        real = pathlib.Path(path.group(1)).resolve()
        owner = subprocess.run(["dpkg", "--search", real], capture_output=True, text=True).stdout
        owner = owner or subprocess.run(["dpkg", "--search", f"*/{real.name}"], capture_output=True, text=True).stdout
        name = owner.partition(":")[0]
        if name:
            found[name] = output("dpkg-query", "--show", "--showformat=${Version}", name)
        else:
            swift.add(real.name)
    for name, version in sorted(found.items()):
        yield {"type": "library", "name": name, "version": version, "scope": "required",
               "purl": f"pkg:deb/debian/{name}@{version}"}
    if swift:
        version = re.search(r"Swift version (\S+)", output("swift", "--version")).group(1)
        yield {"type": "platform", "name": "swift-runtime", "version": version, "scope": "required",
               "licenses": [{"license": {"id": "Apache-2.0"}}], "description": ", ".join(sorted(swift))}
    # Opened at run time where it is installed, and never linked (docs/decisions/0034).
    yield {"type": "library", "name": "libbcg729-0", "scope": "optional",
           "licenses": [{"license": {"id": "GPL-3.0-or-later"}}]}


def bill(program):
    version = re.search(r"[\d.]+", output(program, "--version")).group(0)
    digest = hashlib.sha256(pathlib.Path(program).read_bytes()).hexdigest()
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {
            "type": "application", "name": "demarc", "version": version,
            "licenses": [{"license": {"id": "Apache-2.0"}}], "hashes": [{"alg": "SHA-256", "content": digest}]}},
        "components": [*swift_packages(), *system_libraries(program)],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=str(ROOT / ".build/release/demarc"))
    options = parser.parse_args()
    json.dump(bill(options.program), sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
