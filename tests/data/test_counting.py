"""Entropies and n-grams, against dictionaries and plain recursion."""

import math
from collections import Counter, defaultdict

import pytest
import torch

from dldna.data import bits_per_character, entropy, load, ngram

V = 5


def text(n, seed=0, vocab=V):
    """A chain whose next token depends on the one before it."""
    draw = torch.Generator().manual_seed(seed)
    t = [0]
    for r in torch.rand(n - 1, generator=draw).tolist():
        t.append((t[-1] + int(3 * r * r + r)) % vocab)
    return torch.tensor(t)


class Brute:
    """The same smoothing from dictionaries of tuples, term by term."""

    def __init__(self, t, vocab, order):
        self.vocab, self.order = vocab, order
        self.c = {}
        t = t.tolist()
        for k in range(1, order + 1):
            grams = [tuple(t[i : i + k]) for i in range(len(t) - k + 1)]
            if k == order:
                self.c[k] = Counter(grams)
                continue
            before = defaultdict(set)
            for i in range(1, len(t) - k + 1):
                before[tuple(t[i : i + k])].add(t[i - 1])
            self.c[k] = Counter({g: len(b) for g, b in before.items()})

    def discount(self, k, c):
        if c == 0:
            return 0.0
        n = Counter(self.c[k].values())
        if min(n[1], n[2], n[3], n[4]) > 0:
            y = n[1] / (n[1] + 2 * n[2])
            d = [1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2],
                 3 - 4 * y * n[4] / n[3]]  # fmt: skip
            if min(d) > 0:
                return d[min(c, 3) - 1]
        return (0.5, 1.0, 1.5)[min(c, 3) - 1]

    def p(self, context, w):
        context = tuple(context[max(0, len(context) - self.order + 1) :])
        k = len(context) + 1
        lower = self.p(context[1:], w) if context else 1 / self.vocab
        seen = [self.c[k][(*context, v)] for v in range(self.vocab)]
        if sum(seen) == 0:
            return lower
        mine = self.c[k][(*context, w)]
        left = sum(self.discount(k, c) for c in seen)
        kept = mine - self.discount(k, mine)
        return (kept + left * lower) / sum(seen)

    def bits(self, row):
        row = row.tolist()
        each = [
            -math.log2(self.p(row[:i], row[i])) for i in range(1, len(row))
        ]
        return sum(each) / len(each)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [12, 600])
def test_the_model_is_the_brute_force_one(order, n):
    train, other = text(n), text(80, seed=1)
    ours, plain = ngram(train, V, order), Brute(train, V, order)
    assert ours.bits(other) == pytest.approx(plain.bits(other), rel=1e-12)
    rows = other.view(8, 10)
    wanted = sum(plain.bits(row) for row in rows) / 8
    assert ours.bits(rows) == pytest.approx(wanted, rel=1e-12)
    short = other.view(40, 2)  # rows shorter than the longest k-gram
    wanted = sum(plain.bits(row) for row in short) / 40
    assert ours.bits(short) == pytest.approx(wanted, rel=1e-12)


def test_real_discounts_and_the_others_are_both_tried():
    from dldna.data.counting import FALLBACK

    few, many = ngram(text(12), V, 3), ngram(text(600), V, 5)
    assert few.levels[2].discounts.tolist() == list(FALLBACK)
    assert many.levels[4].discounts.tolist() != list(FALLBACK)


@pytest.mark.parametrize("context", [[], [0], [4, 4], [1, 2, 0, 3], [3] * 6])
def test_probabilities_add_up_to_one(context):
    """Whether the context was seen or not."""
    model = ngram(text(300), V, 4)
    row = [0, *context]
    p = []
    for w in range(V):
        longer, shorter = torch.tensor([*row, w]), torch.tensor(row)
        bits = len(row) * model.bits(longer)
        if len(row) > 1:
            bits -= (len(row) - 1) * model.bits(shorter)
        p.append(2**-bits)
    assert sum(p) == pytest.approx(1, rel=1e-9)
    assert min(p) > 0


def test_entropy_is_that_of_the_counted_shares():
    t = text(400)
    for order in (1, 2, 3):
        rows = t.unfold(0, order, 1).tolist()
        joint, head = Counter(map(tuple, rows)), Counter()
        for gram, n in joint.items():
            head[gram[:-1]] += n
        h = -sum(
            n / len(rows) * math.log2(n / head[g[:-1]])
            for g, n in joint.items()
        )
        assert entropy(t, order) == pytest.approx(h, rel=1e-12)


def test_references_of_the_plays():
    """Golden numbers; longer contexts foretell more, up to five."""
    data = load("plays")
    train, valid = data.tokens["train"], data.tokens["valid"]
    h = [entropy(train, k) for k in (1, 2)]
    assert h == pytest.approx([4.74443728958, 3.55602551396], rel=1e-9)
    model = ngram(train, 70)
    assert model.bits(valid) == pytest.approx(2.20656800, rel=1e-7)
    assert model.bits(data.tokens["test"]) == pytest.approx(
        2.1428086, rel=1e-7
    )


def test_bits_are_nats_over_the_logarithm_of_two():
    logits = torch.zeros(3, 8, dtype=torch.float64)
    nats = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 2, 7]))
    assert bits_per_character(float(nats)) == pytest.approx(3, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ngram(torch.tensor([0, 5]), 5, 1), "outside 0 to 4"),
        (lambda: ngram(torch.tensor([0, -1]), 5, 1), "outside 0 to 4"),
        (lambda: ngram(torch.zeros(2, 2), 5, 1), "wanted are"),
        (lambda: ngram(torch.tensor([0, 1]), 5, 3), "at least 3"),
        (lambda: ngram(text(90), 70, 11), "smaller order"),
        (lambda: ngram(text(90), V, 0), "order"),
        (lambda: ngram(text(90), V, 2).bits(torch.tensor([1])), "second"),
        (lambda: ngram(text(90), V, 2).bits(torch.tensor([1, 5])), "outside"),
        (lambda: entropy(torch.tensor([1]), 2), "no 2-gram"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
