#!/usr/bin/env python3
"""Compiles relay.bpf.c and writes its instructions down as C, beside where they need a map.

Run by a developer who changed the program; what it writes is committed, so no compiler for BPF is needed to
build and no object file is read to run. With --check nothing is written: the status is 0 where the committed
files are what the source gives, 1 where they are not, and 77 where there is no clang that knows BPF.
"""
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
PROGRAMS = ("relay", "door")
# The order of `ckp_map`.
MAPS = {"addresses": "CKP_ADDRESSES", "entries": "CKP_ENTRIES", "totals": "CKP_TOTALS",
        "programs": "CKP_PROGRAMS"}
FLAGS = ["-target", "bpf", "-mcpu=v3", "-O2", "-ffreestanding", "-Wall", "-Wextra", "-Werror",
         "-Wno-unused-parameter"]


def clang() -> str | None:
    """The clang that came with Swift, since another version would give other instructions."""
    found = [shutil.which("clang")]
    swift = shutil.which("swift")
    if swift:
        found.insert(0, str(pathlib.Path(swift).resolve().parent / "clang"))
    for path in found:
        if path and pathlib.Path(path).exists():
            targets = subprocess.run([path, "--print-targets"], capture_output=True, text=True)
            if " bpf " in targets.stdout:
                return path
    return None


def sections(elf: bytes) -> dict[str, tuple[bytes, int, int]]:
    """Name of each section to its bytes and the two numbers that tell what it is linked with."""
    at, = struct.unpack_from("<Q", elf, 40)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    rows = [struct.unpack_from("<IIQQQQIIQQ", elf, at + index * size) for index in range(count)]
    text = elf[rows[names][4]:]
    return {
        text[row[0]:text.index(b"\0", row[0])].decode(): (elf[row[4]:row[4] + row[5]], row[6], row[7])
        for row in rows}


def relocations(found: dict, program: str) -> list[tuple[int, str]]:
    symbols, names = found[".symtab"][0], found[".strtab"][0]
    places = []
    for offset, info, *_ in struct.iter_unpack("<QQ", found.get(f".reltc/{program}", (b"",))[0]):
        assert info & 0xffffffff == 1, "only 64-bit constants are expected to be filled in"
        name = struct.unpack_from("<I", symbols, (info >> 32) * 24)[0]
        places.append((offset, names[name:names.index(b"\0", name)].decode()))
    return places


def compiled(compiler: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder) / "relay.o"
        subprocess.run(
            [compiler, *FLAGS, "-c", str(HERE / "relay.bpf.c"), "-o", str(target)], check=True)
        found = sections(target.read_bytes())
    files = {}
    for program in PROGRAMS:
        code = found[f"tc/{program}"][0]
        rows = [code[at:at + 8] for at in range(0, len(code), 8)]
        files[f"{program}.inc"] = "".join(
            "    " + ", ".join(f"0x{byte:02x}" for byte in row) + ",\n" for row in rows)
        files[f"{program}-maps.inc"] = "".join(
            f"    {{{offset}, {MAPS[name]}}},\n" for offset, name in relocations(found, program))
    return files


def main() -> int:
    compiler = clang()
    if compiler is None:
        print("no clang with a BPF target beside swift or in PATH", file=sys.stderr)
        return 77
    files = compiled(compiler)
    if "--check" in sys.argv[1:]:
        stale = [name for name, text in files.items()
                 if not (HERE / name).exists() or (HERE / name).read_text() != text]
        if stale:
            print(f"{', '.join(stale)}: not what {compiler} makes of relay.bpf.c; run {__file__}",
                  file=sys.stderr)
        return 1 if stale else 0
    for name, text in files.items():
        (HERE / name).write_text(text)
        print(f"{name}: {text.count(chr(10))} lines")
    return 0


sys.exit(main())
