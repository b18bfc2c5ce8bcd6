r"""What counting alone foretells of a text: entropies and n-grams.

References for a network that reads: a model that knows only how often
characters follow each other, smoothed as well as counting allows.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dldna.checks import count

FALLBACK = (0.0, 0.5, 1.0, 1.5)
MOST = 2**63 - 1


def bits_per_character(loss: float) -> float:
    r"""A mean cross-entropy in bits: :math:`L / \ln 2`.

    Args:
        loss: nats per character, as torch's cross-entropy gives them; an
            array of them will do.

    Example:
        >>> round(bits_per_character(math.log(70)), 2)  # of 70, guessed
        6.13
    """
    return loss / math.log(2)


def entropy(tokens: Tensor, order: int = 1) -> float:
    r"""Entropy of a character, given the ``order - 1`` before it.

    .. math:: H_k = -\sum_{c_1 \dots c_k} p(c_1 \dots c_k)
        \log_2 p(c_k \mid c_1 \dots c_{k-1})

    with the shares :math:`p` counted in the text itself. It is the least
    that any predictor with this context can reach on this text, and for
    large k too low for any other text, since most contexts occur once.

    Args:
        tokens: (n,) characters in their order.
        order: 1 for single characters, 2 for pairs, and so on.

    Returns:
        Bits per character.

    Raises:
        ValueError: fewer tokens than one k-gram.

    Example:
        >>> entropy(torch.tensor([0, 1, 0, 1]))
        1.0
        >>> entropy(torch.tensor([0, 1, 0, 1]), 2)
        0.0
    """
    t = _array(tokens)
    if len(t) < count("order", order):
        raise ValueError(f"{len(t)} tokens hold no {order}-gram")
    vocab = int(t.max()) + 1
    grams, n = np.unique(_codes(t, order, vocab), return_counts=True)
    _, which = np.unique(grams // vocab, return_inverse=True)
    p = n / np.bincount(which, n)[which]
    return float(-(n * np.log2(p)).sum() / n.sum() + 0.0)


@dataclass(frozen=True, eq=False)
class _Level:
    """Counts of one length: k-grams, and the contexts before them."""

    grams: np.ndarray
    counts: np.ndarray
    contexts: np.ndarray
    totals: np.ndarray
    left: np.ndarray  # what the discounts take away, for each context
    discounts: np.ndarray


@dataclass(frozen=True, eq=False)
class NGram:
    """Foretells a character by the few before it; made by :func:`ngram`.

    Args:
        order: the longest k-gram counted.
        vocab: number of characters.
        levels: counts of each length, from 1 on.
    """

    order: int
    vocab: int
    levels: tuple[_Level, ...]

    def bits(self, tokens: Tensor) -> float:
        r"""Mean of :math:`-\log_2 p(c_t \mid c_{t-n+1} \dots c_{t-1})`.

        Args:
            tokens: (m,) characters in their order, or (N, m): rows that
                do not see each other. The first of each row is given, not
                foretold.

        Returns:
            Bits per character.

        Raises:
            ValueError: rows of fewer than two tokens, or a token outside
                the vocabulary.

        Example:
            >>> from dldna.data import load
            >>> plays = load("plays")
            >>> model = ngram(plays.tokens["train"], 70, order=3)
            >>> round(model.bits(plays.tokens["valid"]), 2)
            2.85
        """
        rows = np.atleast_2d(_array(tokens))
        if rows.shape[1] < 2:
            raise ValueError("a row has no second token to foretell")
        if rows.min() < 0 or rows.max() >= self.vocab:
            raise ValueError(f"a token outside 0 to {self.vocab - 1}")
        p = np.full(rows.shape, 1 / self.vocab)
        for k, level in enumerate(self.levels, 1):
            lower = p[:, k - 1 :]
            grams = _codes(rows, k, self.vocab)
            p[:, k - 1 :] = self._higher(level, grams, lower)
        return float(-np.log2(p[:, 1:]).mean())

    def _higher(self, level: _Level, grams, lower) -> np.ndarray:
        """Probabilities with one more character of context."""
        c = _look(level.grams, level.counts, grams)
        context = grams // self.vocab
        total = _look(level.contexts, level.totals, context)
        left = _look(level.contexts, level.left, context)
        taken = level.discounts[np.minimum(c, 3).astype(int)]
        with np.errstate(invalid="ignore"):
            p = (c - taken + left * lower) / total
        return np.where(total > 0, p, lower)


def ngram(tokens: Tensor, vocab: int, order: int = 5) -> NGram:
    r"""Count a text, with interpolated modified Kneser-Ney smoothing.

    With h the context, h' the same without its first character, and
    :math:`c_k(h, w)` the count of the longest k-grams, or for shorter
    ones the number of characters that they were seen after:

    .. math:: p_k(w \mid h) = \frac{c_k(hw) - D_k(c_k(hw))
        + \sum_v D_k(c_k(hv)) \; p_{k-1}(w \mid h')}{\sum_v c_k(hv)},
        \qquad p_0 = 1 / V .

    The discounts D of counts 1, 2 and 3 or more follow from how many
    k-grams have counts 1 to 4; where there are too few for that they are
    1/2, 1 and 3/2. A context never seen leaves the shorter one's word.

    Args:
        tokens: (n,) characters of the training part, in their order.
        vocab: V, number of characters there may be.
        order: length of the longest k-gram.

    Returns:
        The model.

    Raises:
        ValueError: fewer tokens than ``order``, tokens outside the
            vocabulary, or k-grams too long to be numbered in 64 bits.

    References:
        S. F. Chen, J. Goodman, An empirical study of smoothing techniques
        for language modeling, TR-10-98, Harvard, 1998.
    """
    t = _array(tokens)
    if t.ndim != 1 or len(t) < count("order", order):
        raise ValueError(
            f"wanted are (n,) tokens, n at least {order}, not {t.shape}"
        )
    if t.min() < 0 or t.max() >= count("vocab", vocab):
        raise ValueError(f"a token outside 0 to {vocab - 1}")
    if vocab**order > MOST:
        raise ValueError(
            f"{vocab} characters have too many {order}-grams; take a "
            "smaller order"
        )
    levels = []
    for k in range(1, order + 1):
        if k < order:  # by how many characters a k-gram is preceded
            longer = np.unique(_codes(t, k + 1, vocab))
            grams, n = np.unique(longer % vocab**k, return_counts=True)
        else:
            grams, n = np.unique(_codes(t, k, vocab), return_counts=True)
        contexts, which = np.unique(grams // vocab, return_inverse=True)
        d = _discounts(n)
        left = np.bincount(which, d[np.minimum(n, 3)])
        totals = np.bincount(which, n)
        levels.append(_Level(grams, n, contexts, totals, left, d))
    return NGram(order, vocab, tuple(levels))


def _discounts(counts: np.ndarray) -> np.ndarray:
    """(4,) what is taken from counts 0, 1, 2, and 3 or more."""
    n = [int((counts == k).sum()) for k in range(5)]
    if all(n[1:]):
        y = n[1] / (n[1] + 2 * n[2])
        d = [k - (k + 1) * y * n[k + 1] / n[k] for k in range(1, 4)]
        if all(v > 0 for v in d):
            return np.array([0.0, *d])
    return np.array(FALLBACK)


def _array(tokens: Tensor) -> np.ndarray:
    return torch.as_tensor(tokens, device="cpu").numpy().astype(np.int64)


def _codes(tokens: np.ndarray, k: int, vocab: int) -> np.ndarray:
    """Each k-gram as one number, its digits to the base of the vocabulary."""
    m = max(tokens.shape[-1] - k + 1, 0)
    codes = np.zeros((*tokens.shape[:-1], m), np.int64)
    for i in range(k):
        codes = codes * vocab + tokens[..., i : i + m]
    return codes


def _look(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray):
    """The values at the wanted keys; 0 where there is no such key."""
    at = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0.0)
