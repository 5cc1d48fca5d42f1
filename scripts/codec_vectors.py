"""Makes the speech in Tests/Golden/speech again, and what codecs of others make of it.

    python3 scripts/codec_vectors.py --work /tmp/vectors

In place of the sequences of ITU-T (G.191, G.722, G.729 annexes) and ETSI (GSM 06.10) the tests compare bit by bit with
other people's code: libgsm by SoX for GSM, FFmpeg by the package `av` of PyPI for G.722. Neither shares anything with
spandsp. bcg729 and FFmpeg differ by 21 dB for a reason that we have not found, so there is no G.729 here; Opus is the
library of those who wrote its standard. G.711 needs no speech: its tests have the tables of the recommendation.
"""

import argparse
import pathlib
import subprocess
import sys

WORDS = "The birch canoe slid on the smooth planks."
SECONDS = "1.6"
FOLDER = pathlib.Path(__file__).resolve().parent.parent / "Tests/Golden/speech"


def run(*argv):
    subprocess.run([str(word) for word in argv], check=True)


def raw(rate):
    return ("-t", "raw", "-r", rate, "-e", "signed", "-b", "16", "-c", "1")


def g722(samples):
    """(payload, samples) by FFmpeg."""
    import av
    import numpy

    encoder = av.CodecContext.create("g722", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 16_000, "mono", "s16"
    encoder.open()
    size = encoder.frame_size or 320
    payload = b""
    for start in range(0, len(samples) - size + 1, size):
        frame = av.AudioFrame.from_ndarray(
            samples[start: start + size].reshape(1, -1).copy(), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16_000, start
        payload += b"".join(bytes(packet) for packet in encoder.encode(frame))
    payload += b"".join(bytes(packet) for packet in encoder.encode(None))
    decoder = av.CodecContext.create("g722", "r")
    decoder.sample_rate, decoder.layout = 16_000, "mono"
    made = [frame.to_ndarray().reshape(-1) for start in range(0, len(payload), 160)
            for frame in decoder.decode(av.Packet(payload[start: start + 160]))]
    return payload, numpy.concatenate(made)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True)
    work = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "python").exists():
        run(sys.executable, "-m", "pip", "install", "--quiet", "--target", work / "python", "av", "numpy")
    sys.path.insert(0, str(work / "python"))
    import numpy

    FOLDER.mkdir(exist_ok=True)
    run("espeak-ng", "-v", "en", "-s", "150", "-w", work / "speech.wav", WORDS)
    for rate, name in ((8_000, "narrow"), (16_000, "wide")):
        run("sox", "-D", work / "speech.wav", *raw(rate), FOLDER / f"{name}.s16", "trim", "0.2", SECONDS)
    run("sox", "-D", *raw(8_000), FOLDER / "narrow.s16", "-t", "gsm", FOLDER / "narrow.gsm")
    run("sox", "-D", "-t", "gsm", FOLDER / "narrow.gsm", *raw(8_000), FOLDER / "narrow.gsm.s16")
    payload, samples = g722(numpy.fromfile(FOLDER / "wide.s16", dtype="<i2"))
    (FOLDER / "wide.g722").write_bytes(payload)
    samples.astype("<i2").tofile(FOLDER / "wide.g722.s16")


if __name__ == "__main__":
    main()
