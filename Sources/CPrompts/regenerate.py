#!/usr/bin/env python3
"""Speaks the words of the quality test with espeak-ng and writes them down as G.711 µ-law.

Run by a developer when a word is added (needs espeak-ng and sox); its output, prompts.ulaw and
prompts.inc, is committed, so neither is needed to build or to run.
"""
import pathlib
import subprocess
import tempfile

# The order is the order of `SpokenWord` in Sources/MediaEngine/SpokenResult.swift.
WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred point percent loss jitter milliseconds"
).split() + ["M, O, S", "good", "fair", "poor", "quality test", "no audio received"]

HERE = pathlib.Path(__file__).parent


def speak(text: str, folder: pathlib.Path) -> bytes:
    wav = folder / "word.wav"
    ulaw = folder / "word.ul"
    subprocess.run(
        ["espeak-ng", "-v", "en-us", "-s", "165", "-p", "45", "-w", wav, text], check=True)
    # 200 Hz to 3.4 kHz, silence cut and 5 ms faded at both ends, peaks at -6 dB, 8 kHz µ-law.
    trim = ["silence", "1", "0.01", "0.6%", "fade", "t", "0.005", "reverse"]
    subprocess.run(
        ["sox", "-D", wav, "-r", "8000", "-e", "u-law", "-b", "8", "-t", "ul", ulaw, "highpass",
         "200", "lowpass", "3400", *trim, *trim, "gain", "-n", "-6"], check=True)
    return ulaw.read_bytes()


def main() -> None:
    blob = b""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for word in WORDS:
            samples = speak(word, pathlib.Path(name))
            rows.append(f"    {{{len(blob)}, {len(samples)}}},  // {word}\n")
            blob += samples
    (HERE / "prompts.ulaw").write_bytes(blob)
    (HERE / "prompts.inc").write_text("".join(rows))
    print(f"{len(WORDS)} words, {len(blob)} bytes")


main()
