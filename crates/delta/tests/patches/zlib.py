"""Writes zlib.tsv: what C zlib makes of the files in zlib.rs with all settings.

    python3 zlib.py >zlib.tsv
"""

import hashlib
import zlib


def noise(seed, length):
    """splitmix64, as in zlib.rs."""
    out, state, mask = bytearray(), seed, (1 << 64) - 1
    while len(out) < length:
        state = (state + 0x9E3779B97F4A7C15) & mask
        word = state
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & mask
        out += (word ^ (word >> 31)).to_bytes(8, "little")
    return bytes(out[:length])


def words(seed, length):
    """64 words in an order that noise gives, each with one byte of noise behind it."""
    vocabulary = noise(seed, 64 * 8)
    order = noise(seed + 1, length)
    out = bytearray()
    for at in range(0, length, 2):
        word = order[at] % 64 * 8
        out += vocabulary[word : word + 2 + order[at] % 7] + order[at + 1 : at + 2]
    return bytes(out)


def runs(seed, length):
    """Bytes, each as often as noise says."""
    order = noise(seed, length)
    return b"".join(bytes([order[at] % 4]) * (order[at + 1] + 1) for at in range(0, length, 2))


FILES = {
    "empty": b"",
    "one": b"\x07",
    "three": b"aaa",
    "zeros": bytes(300_000),
    "noise": noise(1, 150_000),
    "words": words(2, 60_000),
    "runs": runs(3, 4_000),
    "edge": words(4, 40_000)[:65_275],
    "mixed": noise(5, 40_000) + words(6, 20_000) + noise(7, 70_000) + runs(8, 2_000),
    "stored": noise(9, 32_900),
}
SETTINGS = (
    [(level, 15, memory, strategy) for level in range(1, 10) for memory in (8, 9) for strategy in (0, 1, 4)]
    + [(6, 15, memory, strategy) for memory in (8, 9) for strategy in (2, 3)]
    + [(level, window, memory, 0) for level in (1, 6) for window in (9, 12) for memory in (1, 5)]
)

for name, data in FILES.items():
    for level, window, memory, strategy in SETTINGS:
        compressor = zlib.compressobj(level, zlib.DEFLATED, -window, memory, strategy)
        packed = compressor.compress(data) + compressor.flush()
        digest = hashlib.sha256(packed).hexdigest()[:32]
        print(name, level, window, memory, strategy, len(packed), digest, sep="\t")
