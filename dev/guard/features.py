"""The features of the attack classifier, the same to the bit as `core/guard/src/attack.rs`.

Words in lower case with digits as `0`, alone, in twos and in threes; pieces of words of three to five bytes; words in capitals; what stands
between words. Each is a 32-bit hash; the model has one weight for each of `SIZE` places.
"""

import re

import numpy as np

SIZE = 1 << 19
WORD_BYTES_MAX = 24
MASK32 = 0xFFFFFFFF
FNV = 0x811C9DC5

_WORDS = re.compile(rb"[0-9A-Za-z'\x80-\xff]+")
_MARK = bytes(b for b in range(256) if b not in b" \n\r\t,.")
_LOWER = bytes((b"0"[0] if 48 <= b <= 57 else (b + 32 if 65 <= b <= 90 else b)) for b in range(256))


def fnv(data):
    value = FNV
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & MASK32
    return value


def pair(a, b):
    rotated = ((b << 15) | (b >> 17)) & MASK32
    mixed = ((a * 0x9E3779B1) & MASK32) ^ rotated
    return ((mixed ^ (mixed >> 15)) * 0x85EBCA6B) & MASK32


def spread(feature):
    mixed = ((feature ^ (feature >> 16)) * 0x7FEB352D) & MASK32
    return (mixed ^ (mixed >> 15)) & (SIZE - 1)


_word_cache = {}
_mark_cache = {}


def _word(word):
    """A word's identifier and the places of the features that it has alone."""
    known = _word_cache.get(word)
    if known is None:
        lower = word.translate(_LOWER)
        identifier = fnv(lower)
        alone = [spread(identifier)]
        if len(word) > 1 and all(65 <= b <= 90 for b in word):
            alone.append(spread(pair(identifier, 1)))
        if len(word) >= 4:
            padded = b"^" + lower + b"$"
            for size in (3, 4, 5):
                for at in range(len(padded) - size + 1):
                    alone.append(spread(pair(fnv(padded[at : at + size]), size + 16)))
        known = (identifier, alone)
        if len(_word_cache) < 2_000_000:
            _word_cache[word] = known
    return known


def _mark(between):
    known = _mark_cache.get(between)
    if known is None:
        kept = bytes(b for b in between if b not in b" \n\r\t,.")[:3]
        known = fnv(kept) if kept else None
        if len(_mark_cache) < 500_000:
            _mark_cache[between] = known
    return known


def weigh(text):
    """For each word: where it begins and ends (bytes), and the places of the features that end in it."""
    data = text.encode()
    words, gap, last, last_but_one = [], 0, 0, 0
    for found in _WORDS.finditer(data):
        word = found.group()[:WORD_BYTES_MAX]
        identifier, alone = _word(word)
        places = list(alone)
        two = pair(last, identifier)
        places.append(spread(two))
        places.append(spread(pair(pair(last_but_one, last), identifier)))
        mark = _mark(data[gap : found.start()])
        if mark is not None:
            places.append(spread(pair(mark, 2)))
            places.append(spread(pair(mark, identifier)))
            places.append(spread(pair(pair(last, 3), mark)))
        words.append((found.start(), found.end(), places))
        last_but_one, last, gap = last, identifier, found.end()
    return words


def windows(words, window, stride):
    """The windows that inference looks at: from word, to word."""
    at = 0
    while at < len(words):
        to = min(at + window, len(words))
        yield at, to
        if to == len(words):
            return
        at += stride


def rows(windows_of_words):
    """Windows as one compressed matrix: the places of all, where each begins, and how many each has."""
    places, starts = [], [0]
    for words in windows_of_words:
        for _, _, features in words:
            places.extend(features)
        starts.append(len(places))
    return np.array(places, dtype=np.int32), np.array(starts, dtype=np.int64)
