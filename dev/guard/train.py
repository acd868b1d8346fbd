"""Trains the attack classifier: logistic regression on hashed features of windows, with eight bits a weight.

    python train.py <unpacked packages> <cargo registry sources> <weights file> [<parity file>]

Everything random has a fixed seed: the same packages give the same weights. Two rounds: the second drops windows of attacks that look harmless
(most of a long mail is), and adds the harmless windows that looked worst.
"""

import json
import random
import struct
import sys
from array import array
from pathlib import Path

import numpy as np

import features
import own
import sources

WINDOW, STRIDE = 24, 6
SEED = 20261128


def matrix(windows):
    places, starts = array("i"), array("q", [0])
    for words in windows:
        for _, _, parts in words:
            places.extend(parts)
        starts.append(len(places))
    return np.frombuffer(places, dtype=np.int32), np.frombuffer(starts, dtype=np.int64)


def scores(weights, bias, places, starts):
    """The margin of each row: its weights' sum over the root of its length."""
    lengths = np.diff(starts)
    sums = np.add.reduceat(weights[places], starts[:-1]) if len(places) else np.zeros(0)
    return sums / np.sqrt(lengths) + bias


def fit(places, starts, labels, importance, epochs, rate=0.08, decay=2e-6, seed=SEED):
    """Adam on batches of rows; dense moments are cheap at this size."""
    rng = np.random.default_rng(seed)
    weights = np.zeros(features.SIZE, dtype=np.float32)
    bias = 0.0
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    rows = len(labels)
    lengths = np.diff(starts)
    step = 0
    for epoch in range(epochs):
        order = rng.permutation(rows)
        lost = 0.0
        for at in range(0, rows, 4096):
            batch = order[at : at + 4096]
            spans = [places[starts[i] : starts[i + 1]] for i in batch]
            joined = np.concatenate(spans)
            sizes = lengths[batch]
            begin = np.concatenate([[0], np.cumsum(sizes)[:-1]])
            value = 1.0 / np.sqrt(sizes)
            margin = np.add.reduceat(weights[joined], begin) * value + bias
            guess = 1.0 / (1.0 + np.exp(-margin))
            weight = importance[batch]
            lost += float(-(weight * (labels[batch] * np.log(guess + 1e-9) + (1 - labels[batch]) * np.log(1 - guess + 1e-9))).sum())
            error = (guess - labels[batch]) * weight / weight.sum()
            gradient = np.bincount(joined, np.repeat(error * value, sizes), minlength=features.SIZE).astype(np.float32)
            gradient += decay * weights
            step += 1
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient * gradient - second)
            pace = rate * (0.5 ** (epoch / 3)) * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            weights -= pace * first / (np.sqrt(second) + 1e-8)
            bias -= pace * float(error.sum()) * 0.1
        print(f"  epoch {epoch}: {lost / importance.sum():.4f}", flush=True)
    return weights, bias


def text_score(weights, bias, text):
    words = features.weigh(text)
    if len(words) < 4:
        return -99.0
    places, starts = matrix([words[a:b] for a, b in features.windows(words, WINDOW, STRIDE)])
    return float(scores(weights, bias, places, starts).max())


def main():
    root, registry, output = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    r = random.Random(SEED)
    benign = sources.benign_train(root, registry, r)
    harmless, harmful, groups = [], [], []
    for text in benign:
        words = features.weigh(text)
        at = r.randrange(STRIDE)
        harmless += [words[a : a + WINDOW] for a in range(at if len(words) > WINDOW else 0, len(words), WINDOW) if len(words[a : a + WINDOW]) > 3]
        # A short result is one short window.
        if len(words) > 12 and r.random() < 0.3:
            size = r.randrange(6, WINDOW)
            a = r.randrange(max(1, len(words) - size))
            harmless.append(words[a : a + size])
    # Our own injections, alone and within harmless texts.
    for i in range(20000):
        kind = r.random()
        text = own.injection(r) if kind < 0.86 else own.leak(r) if kind < 0.93 else own.jailbreak(r)
        if r.random() < 0.35:
            words = features.weigh(text)
            spans = [words[a:b] for a, b in features.windows(words, WINDOW, STRIDE)]
            harmful += spans
            groups += [("own", i)] * len(spans)
            continue
        around = r.choice(benign)
        cut = r.randrange(len(around) + 1)
        gap = r.choice(["\n", " ", "\n\n", "  ", "\n- ", '", "', " <!-- ", "\n\n\n"])
        before, after = around[max(0, cut - 600) : cut] + gap, r.choice(["\n", " ", "\n\n", '"', " -->"]) + around[cut : cut + 600]
        words = features.weigh(before + text + after)
        low, high = len(before.encode()), len((before + text).encode())
        inside = sum(1 for start, end, _ in words if start >= low and end <= high)
        for a, b in features.windows(words, WINDOW, STRIDE):
            held = sum(1 for start, end, _ in words[a:b] if start >= low and end <= high)
            if held >= 0.7 * min(inside, WINDOW):
                harmful.append(words[a:b])
                groups.append(("own", i))
    for i, (text, source) in enumerate(sources.attacks(root, r)):
        words = features.weigh(text[:4000])
        spans = [words[a:b] for a, b in features.windows(words, WINDOW, WINDOW // 2)][:12]
        harmful += spans
        groups += [(source, i)] * len(spans)
    print(f"{len(benign)} harmless texts, {len(harmless)} harmless and {len(harmful)} harmful windows", flush=True)

    places, starts = matrix(harmless + harmful)
    labels = np.concatenate([np.zeros(len(harmless)), np.ones(len(harmful))]).astype(np.float32)
    importance = np.ones(len(labels), dtype=np.float32)
    # Most of what the two large collections hold is harmless filling: they wait until the first round can tell.
    later = {"llmail-inject", "satml-ctf-2024"}
    importance[len(harmless) :] = np.array([1.0 if source == "own" else 0.0 if source in later else 0.5 for source, _ in groups], dtype=np.float32)
    weights, bias = fit(places, starts, labels, importance, 3)
    # Second round.
    margin = scores(weights, bias, places, starts)
    best = {}
    for group, value in zip(groups, margin[len(harmless) :]):
        best[group] = max(best.get(group, -99.0), value)
    for k, group in enumerate(groups):
        value = margin[len(harmless) + k]
        if group[0] in later:
            importance[len(harmless) + k] = 0.5 if value > 1.0 else 0.0
        elif group[0] != "own" and value < 0.0 and value < best[group] - 0.5:
            importance[len(harmless) + k] = 0.0
    worst = np.argsort(margin[: len(harmless)])[-len(harmless) // 20 :]
    importance[worst] *= 5.0
    print(f"dropped {int((importance == 0).sum())} windows of attacks that look harmless", flush=True)
    weights, bias = fit(places, starts, labels, importance, 6)

    scale = float(np.percentile(np.abs(weights[weights != 0]), 99.97)) / 127
    rounded = np.clip(np.round(weights / scale), -127, 127).astype(np.int8)
    weights = rounded.astype(np.float32) * scale

    rows = sources.tune(root, registry, random.Random(SEED + 1))
    bad = np.array([text_score(weights, bias, text) for text, attack in rows if attack])
    good = np.sort([text_score(weights, bias, text) for text, attack in rows if not attack])
    at_one = float(np.quantile(good, 0.99))
    at_few = float(np.quantile(good, 0.995))
    area = float(np.mean(np.searchsorted(good, bad) / len(good)))
    print(f"tune: {len(bad)} attacks, {len(good)} harmless; AUC {area:.3f}; found at 1 % false {np.mean(bad > at_one):.3f}", flush=True)
    # 0.7 (MEDIUM) stands at one harmless text in a hundred; the slope makes 0.9 (HIGH) stand one and a half margins above.
    slope = (np.log(0.9 / 0.1) - np.log(0.7 / 0.3)) / max(1.0, at_few - at_one + 0.8)
    shift = at_one - np.log(0.7 / 0.3) / slope
    print(f"1 % at {at_one:.3f}, slope {slope:.3f}, shift {shift:.3f}")
    head = b"RGA1" + struct.pack("<I", 1) + struct.pack("<6f", WINDOW, STRIDE, scale, bias, slope, shift)
    output.write_bytes(head + rounded.tobytes())
    if len(sys.argv) > 4:
        s = random.Random(7)
        texts = [own.injection(s) for _ in range(10)] + [own.benign(s) for _ in range(10)] + ["", "a", "Caf\u00e9 \u2014 na\u00efve", "x" * 100]
        score = lambda text: 1.0 / (1.0 + np.exp(-(text_score(weights, bias, text) - shift) * slope)) if len(features.weigh(text)) >= 4 else 0.0
        Path(sys.argv[4]).write_text(json.dumps([{"text": text, "score": round(float(score(text)), 5)} for text in texts], indent=1) + "\n")


if __name__ == "__main__":
    main()
