"""Speech, tones and G.711, and how like each other two recordings are. Samples are float arrays, ±32767."""

import dataclasses
import pathlib
import tempfile
import wave

import numpy

from .process import Failure, expect, run

RATE = 8000


# --- files -------------------------------------------------------------------------------------------
def read_wav(path):
    """(rate, samples) of a 16-bit file; of several channels the first."""
    with wave.open(str(path), "rb") as file:
        expect(file.getsampwidth() == 2, f"{path} is not 16-bit PCM")
        data = numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return file.getframerate(), data[:: file.getnchannels()].astype(float)


def read_growing_wav(path):
    """Samples, at our rate, of a file whose header may not yet, or never, tell its length (the writer was killed)."""
    data = pathlib.Path(path).read_bytes()
    start = data.find(b"data")
    if start < 28:
        return numpy.zeros(0)
    body = data[start + 8:]
    channels = max(1, int.from_bytes(data[22:24], "little"))
    samples = numpy.frombuffer(body[: len(body) // (2 * channels) * 2 * channels], dtype="<i2")[::channels].astype(float)
    rate = int.from_bytes(data[24:28], "little")
    return samples if rate == RATE else resample(samples, rate, RATE)


def write_wav(path, samples, rate=RATE):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(numpy.clip(samples, -32768, 32767).astype("<i2").tobytes())


def speech(text, rate=RATE, voice="en", speed=150):
    """espeak-ng's reading of a text, with its peak at half of full scale."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "speech.wav"
        code, output = run(["espeak-ng", "-v", voice, "-s", speed, "-w", path, text])
        expect(code == 0, f"espeak-ng failed: {output}")
        own_rate, samples = read_wav(path)
    samples = resample(samples, own_rate, rate)
    return samples * (16384 / max(1.0, numpy.abs(samples).max()))


def silence(seconds, rate=RATE):
    return numpy.zeros(int(seconds * rate))


def spoken(text, **options):
    """Speech, and the same after a moment of silence, as a phone plays it: the media finds its way first."""
    words = speech(text, **options)
    return words, numpy.concatenate([silence(0.8), words])


def resample(samples, rate, new_rate):
    """By way of the spectrum: exact for what fits into both bands."""
    if rate == new_rate or len(samples) == 0:
        return samples
    count = int(round(len(samples) * new_rate / rate))
    spectrum = numpy.fft.rfft(samples)
    kept = numpy.zeros(count // 2 + 1, dtype=complex)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    return numpy.fft.irfft(kept, count) * (count / len(samples))


# --- G.711 (the tables are built from the Recommendation's segments) ---------------------------------
def _ulaw_table():
    code = ~numpy.arange(256) & 0xFF
    exponent, mantissa = code >> 4 & 7, code & 15
    magnitude = ((mantissa << 3) + 132 << exponent) - 132
    return numpy.where(code & 0x80, -magnitude, magnitude).astype(float)


def _alaw_table():
    code = numpy.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    magnitude = numpy.where(
        exponent == 0, (mantissa << 4) + 8, (mantissa << 4) + 264 << numpy.maximum(exponent, 1) - 1)
    return numpy.where(code & 0x80, magnitude, -magnitude).astype(float)


_TABLES = {"PCMU": _ulaw_table(), "PCMA": _alaw_table()}


def g711_decode(codec, data):
    return _TABLES[codec][numpy.frombuffer(data, dtype=numpy.uint8)]


def g711_encode(codec, samples):
    """The nearest code word of each sample."""
    table = _TABLES[codec]
    order = numpy.argsort(table, kind="stable")
    levels = table[order]
    middles = (levels[1:] + levels[:-1]) / 2
    return order[numpy.searchsorted(middles, samples)].astype(numpy.uint8).tobytes()


# --- measurements ------------------------------------------------------------------------------------
@dataclasses.dataclass
class Likeness:
    """How a recording compares with what was sent."""

    lag_ms: float
    correlation: float
    gain: float
    snr_db: float
    worst_window: float

    def __str__(self):
        return (
            f"correlation {self.correlation:.4f}, worst 250 ms {self.worst_window:.3f}, "
            f"gain {self.gain:.2f}, SNR {self.snr_db:.0f} dB, lag {self.lag_ms:.0f} ms")

    def good(self, correlation=0.98, window=0.90):
        return (
            self.correlation >= correlation and self.worst_window >= window
            and 0.8 <= self.gain <= 1.25)


def compare(sent, heard, rate=RATE):
    """Aligns `heard` to `sent` and compares them where `sent` speaks, whole and in windows of 250 ms.

    The windows find short gaps that the whole hides. What was sent and not heard at all counts as a gap.
    """
    expect(len(heard) > rate // 2, f"only {len(heard) / rate:.2f} s were heard")
    size = 1 << int(numpy.ceil(numpy.log2(len(sent) + len(heard))))
    product = numpy.fft.irfft(numpy.fft.rfft(heard, size) * numpy.conj(numpy.fft.rfft(sent, size)), size)
    lag = int(numpy.argmax(numpy.abs(product)))
    if lag > size // 2:
        lag -= size
    aligned = numpy.zeros(len(sent))
    start, end = max(0, -lag), min(len(sent), len(heard) - lag)
    if end > start:
        aligned[start:end] = heard[start + lag: end + lag]
    gain = float(sent @ aligned / (sent @ sent + 1e-9))
    noise = float(((aligned - gain * sent) ** 2).sum())
    power = float((sent @ sent) * gain * gain)
    window, worst = rate // 4, 1.0
    for first in range(0, len(sent) - window, window // 2):
        s, h = sent[first: first + window], aligned[first: first + window]
        if s @ s > window * 200.0**2:
            worst = min(worst, _correlation(s, h))
    return Likeness(
        lag / rate * 1000, _correlation(sent, aligned), gain,
        10 * float(numpy.log10((power + 1e-9) / (noise + 1e-9))), worst)


def _correlation(a, b):
    return float(a @ b / numpy.sqrt((a @ a) * (b @ b) + 1e-9))


def check_likeness(what, sent, heard, **limits):
    """The likeness; a Failure where it is not good enough."""
    likeness = compare(sent, heard)
    if not likeness.good(**limits):
        raise Failure(f"{what}: {likeness}")
    return likeness


def tone_share(samples, frequency, rate=RATE):
    """Part of the power that lies within ±10 Hz of a frequency (0 to 1), by the spectrum's own bins."""
    spectrum = numpy.abs(numpy.fft.rfft(samples * numpy.hanning(len(samples)))) ** 2
    bins = numpy.fft.rfftfreq(len(samples), 1 / rate)
    return float(spectrum[numpy.abs(bins - frequency) <= 10].sum() / (spectrum.sum() + 1e-9))


def level_dbm0(samples):
    """Level of a signal where a sine at G.711's full scale is 3.17 dBm0 (µ-law)."""
    rms = float(numpy.sqrt(numpy.mean(samples**2))) if len(samples) else 0.0
    full = 32124 / numpy.sqrt(2)
    return 20 * float(numpy.log10(max(rms, 1e-3) / full)) + 3.17


def trim(samples, threshold=100.0):
    """Without the silence before and after."""
    loud = numpy.nonzero(numpy.abs(samples) > threshold)[0]
    return samples[loud[0]: loud[-1] + 1] if len(loud) else samples[:0]
