"""What conversions leave of speech, as ITU-T P.862 (PESQ) rates it: each pair of codecs, without and with lost packets.

    python3 scripts/speech_quality.py --bench .build/release/demarc-bench

People speak: sentences of Debian's packages of sounds for Asterisk, in three languages, 16 kHz (G.722). They go through
`demarc-bench speech`, the converter that calls use, in packets of 20 ms. PESQ is that of the package `pesq` from PyPI,
which is fetched into --work; so are the sounds. Rated are the narrow band (P.862.1) and, where both codecs have it, the
wide one (P.862.2).
"""

import argparse
import ctypes
import ctypes.util
import os
import pathlib
import subprocess
import sys

RATE = 16000
LANGUAGES = ("en", "es", "fr")
SECONDS = 10
# Three of them for each language: PESQ wants eight to thirty seconds of a voice.
SAMPLES = 3
CODECS = ("PCMU", "PCMA", "G722", "opus", "G729", "GSM", "L16")
WIDE = ("G722", "opus", "L16-16000")
LOSSES = (0, 1, 3, 5)


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*argv, **options):
    return subprocess.run([str(word) for word in argv], check=True, capture_output=True, **options).stdout


# --- what is fetched ------------------------------------------------------------------------------------
def fetch_pesq(work):
    folder = work / "python"
    if not folder.exists():
        say("fetching and building pesq")
        run(sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, "pesq")
    sys.path.insert(0, str(folder))


def fetch_sounds(work):
    """{language: [paths]}, the longest first."""
    sounds = {}
    for language in LANGUAGES:
        folder = work / language
        if not folder.exists():
            say(f"fetching the sounds of {language}")
            run("apt-get", "download", f"asterisk-core-sounds-{language}-g722", cwd=work)
            archive = next(work.glob(f"asterisk-core-sounds-{language}-g722_*.deb"))
            run("dpkg-deb", "-x", archive, folder)
        sounds[language] = sorted(folder.rglob("*.g722"), key=lambda path: (-path.stat().st_size, path.name))
    return sounds


class G722:
    """spandsp's decoder, which is what Demarc has; the reference has been through it as well."""

    def __init__(self):
        self.spandsp = ctypes.CDLL(ctypes.util.find_library("spandsp") or "libspandsp.so.2")
        self.spandsp.g722_decode_init.restype = ctypes.c_void_p

    def decode(self, data):
        state = ctypes.c_void_p(self.spandsp.g722_decode_init(None, 64000, 0))
        samples = (ctypes.c_int16 * (2 * len(data)))()
        count = self.spandsp.g722_decode(state, samples, data, len(data))
        self.spandsp.g722_decode_free(state)
        return bytes(samples)[: 2 * count]


def voices(work):
    """Ten seconds of each: sentences of one voice in a row."""
    decoder, found = G722(), []
    for language, paths in fetch_sounds(work).items():
        speech = b"".join(decoder.decode(path.read_bytes()) for path in paths[:40])
        size = 2 * RATE * SECONDS
        for index in range(SAMPLES):
            part = speech[index * size: (index + 1) * size]
            if len(part) == size:
                found.append((f"{language}-{index + 1}", part))
    return found


# --- rating ---------------------------------------------------------------------------------------------
def halve(numpy, samples):
    """To 8 kHz by way of the spectrum."""
    spectrum = numpy.fft.rfft(samples)
    return numpy.fft.irfft(spectrum[: len(samples) // 4 + 1], len(samples) // 2) / 2


def rate(numpy, pesq, said, heard, band):
    """MOS-LQO."""
    a, b = (numpy.frombuffer(one, dtype="<i2").astype(float) for one in (said, heard))
    if band == "nb":
        a, b = halve(numpy, a), halve(numpy, b)
    return pesq(RATE if band == "wb" else RATE // 2, a.astype("int16"), b.astype("int16"), band)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default=".build/release/demarc-bench")
    parser.add_argument("--work", default="run/speech-quality", type=pathlib.Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    bench = os.path.abspath(options.bench)
    fetch_pesq(options.work)
    import numpy
    from pesq import pesq
    speech = voices(options.work)
    if not speech:
        sys.exit("no speech was found in the packages of sounds")

    def mean(source, target, loss, band):
        scores = []
        for number, (_, said) in enumerate(speech):
            heard = run(bench, "speech", source, target, loss, number + 1, input=said)
            scores.append(rate(numpy, pesq, said, heard, band))
        return sum(scores) / len(scores)

    print(f"{len(speech)} samples of {SECONDS} s, {len(LANGUAGES)} voices\n")
    print("Narrow band, nothing lost (rows: from; columns: to)\n")
    print("| | " + " | ".join(CODECS) + " |\n|" + "---|" * (len(CODECS) + 1))
    for source in CODECS:
        row = [f"{mean(source, target, 0, 'nb'):.2f}" for target in CODECS]
        print(f"| {source} | " + " | ".join(row) + " |", flush=True)
    print("\nWide band, nothing lost\n")
    print("| | " + " | ".join(WIDE) + " |\n|" + "---|" * (len(WIDE) + 1))
    for source in WIDE:
        row = [f"{mean(source, target, 0, 'wb'):.2f}" for target in WIDE]
        print(f"| {source} | " + " | ".join(row) + " |", flush=True)
    print("\nNarrow band to PCMU, packets lost on the way in\n")
    print("| | " + " | ".join(f"{loss} %" for loss in LOSSES) + " |\n|" + "---|" * (len(LOSSES) + 1))
    for source in CODECS:
        row = [f"{mean(source, 'PCMU', loss, 'nb'):.2f}" for loss in LOSSES]
        print(f"| {source} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
