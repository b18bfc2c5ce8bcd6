"""What runs can tell apart: each number beside SciPy or a plain loop."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from dldna import training
from dldna.training import compare, compare_all

RNG = np.random.default_rng(0)
# Kinds of scores: normal, heavy tails, ties, unequal spreads and sizes,
# a side that does not spread, far from zero, tiny.
KINDS = {
    "normal": (RNG.normal(0, 1, 5), RNG.normal(2, 1, 5)),
    "alike": (RNG.normal(0, 1, 5), RNG.normal(0, 1, 5)),
    "heavy": (RNG.standard_cauchy(6), RNG.standard_cauchy(5) + 3),
    "ties": (np.array([1, 1, 2, 2, 3.0]), np.array([2, 2, 3, 3, 3.0])),
    "unequal": (RNG.normal(0, 0.1, 4), RNG.normal(1, 3, 7)),
    "one still": (np.full(5, 2.0), RNG.normal(2.5, 0.2, 5)),
    "far": (1e6 + RNG.normal(0, 1, 5), 1e6 + RNG.normal(3, 1, 5)),
    "tiny": (1e-9 * RNG.normal(0, 1, 5), 1e-9 * RNG.normal(2, 1, 5)),
}
# SciPy warns where a side does not spread.
still = pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
EQUAL = [k for k, (a, b) in KINDS.items() if len(a) == len(b)]


def by_hand(a, b, paired):
    """The permutation p-value, one way after the other."""
    gap, hits, ways = abs(np.mean(a) - np.mean(b)), 0, 0
    slack = 1e-14 * max(np.abs(a).max(), np.abs(b).max())
    if paired:
        for signs in itertools.product((1, -1), repeat=len(a)):
            hits += abs(np.mean(signs * (a - b))) >= gap - slack
            ways += 1
        return hits / ways
    pool = np.concatenate([a, b])
    for way in itertools.combinations(range(len(pool)), len(a)):
        mine = np.isin(np.arange(len(pool)), way)
        other = abs(pool[mine].mean() - pool[~mine].mean())
        hits += other >= gap - slack
        ways += 1
    return hits / ways


@still
@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_p_is_that_of_the_named_test(kind, paired):
    if paired and kind not in EQUAL:
        pytest.skip("pairs need equally many")
    a, b = KINDS[kind]
    found = compare(a, b, paired=paired, test="permutation")
    assert found.p == pytest.approx(by_hand(a, b, paired))
    want = (
        stats.ttest_rel(a, b).pvalue
        if paired
        else stats.ttest_ind(a, b, equal_var=False).pvalue
    )
    assert compare(a, b, paired=paired, test="t").p == pytest.approx(
        want, rel=1e-7
    )


@still
@pytest.mark.parametrize("kind", KINDS)
def test_t_interval_is_scipys(kind):
    a, b = KINDS[kind]
    want = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    got = compare(a, b, test="t").interval
    assert got == pytest.approx((want.low, want.high), rel=1e-6)


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("level", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_permutation_interval_is_where_the_test_says_no(
    kind, level, paired
):
    if paired and kind not in EQUAL:
        pytest.skip("pairs need equally many")
    a, b = KINDS[kind]
    low, high = training.permutation_interval(a, b, level, paired)
    if math.isinf(low):
        assert math.isinf(high)
        assert training.smallest_p(len(a)) > level
        return
    step = 1e-6 * max(high - low, 1e-30)
    for edge, inside in ((low, 1), (high, -1)):
        outer = by_hand(a - (edge - inside * step), b, paired)
        inner = by_hand(a - (edge + inside * step), b, paired)
        assert outer <= level + 1e-12
        if low < high:
            assert inner > level - 1e-12


@pytest.mark.parametrize("paired", [False, True])
def test_smallest_p_is_reached(paired):
    for n in range(2, 8):
        a, b = np.arange(n) - 100.0, 100.0 + np.arange(n)
        got = training.permutation_test(a, b, paired)
        assert got == training.smallest_p(n, None if paired else n)
    assert training.permutation_test([1, 2], [7, 8, 9]) == pytest.approx(
        training.smallest_p(2, 3)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("better", ["lower", "higher"])
def test_sides_exchanged_turn_the_verdict(kind, better):
    a, b = KINDS[kind]
    one, two = compare(a, b, better=better), compare(b, a, better=better)
    turned = {"better": "worse", "worse": "better"}
    assert two.verdict == turned.get(one.verdict, one.verdict)
    assert two.difference == pytest.approx(-one.difference)
    assert two.effect == pytest.approx(1 - one.effect)
    assert two.interval == pytest.approx(
        (-one.interval[1], -one.interval[0]), rel=1e-6
    )
    other = {"lower": "higher", "higher": "lower"}[better]
    assert compare(-a, -b, better=other).verdict == one.verdict


def test_the_share_of_pairs_by_a_loop():
    a, b = KINDS["ties"]
    wins = sum((x < y) + 0.5 * (x == y) for x in a for y in b) / 25
    assert compare(a, b).effect == pytest.approx(wins)
    seeds = sum((x < y) + 0.5 * (x == y) for x, y in zip(a, b, strict=True))
    found = compare(a, b, paired=True)
    assert found.effect == pytest.approx(seeds / 5)
    assert "seeds" in found.effect_name


def test_the_test_is_chosen_by_the_number_of_runs_alone():
    far = [0, 1, 2, 3, 4], [100, 101, 103, 102, 104]
    assert compare(*far).test == "exact permutation test"
    assert compare(*far, paired=True).test == "t test of pairs"
    three = [0, 1, 2], [100, 101, 103]
    assert compare(*three).test == "Welch's t test"
    many = {str(k): RNG.normal(k, 1, 5) for k in range(7)}
    assert {p.test for p in compare_all(many).pairs} == {"Welch's t test"}
    few = dict(list(many.items())[:4])
    tests = {p.test for p in compare_all(few).pairs}
    assert tests == {"exact permutation test"}


def test_without_any_spread_no_t_test_is_sure():
    assert not compare([1, 2, 3], [2, 3, 4], paired=True).told_apart
    assert not compare([1, 1, 1], [2, 2, 2]).told_apart
    assert compare([1] * 5, [2] * 5).told_apart  # one in 126 by chance


def test_cannot_be_told_apart_needs_a_margin_and_a_test():
    a = np.array([1.0, 1.1, 0.9, 1.05, 0.95])
    b = a[::-1] + 0.001
    assert compare(a, b).verdict == "not separated"
    assert "cannot" not in compare(a, b).words
    assert compare(a, b, margin=0.5).verdict == "alike"
    assert compare(a, b, margin=0.01).verdict == "not separated"
    # The interval at twice the level decides: just inside, just outside.
    low, high = training.permutation_interval(a, b, 0.1)
    edge = max(-low, high)
    assert compare(a, b, margin=1.001 * edge).within
    assert not compare(a, b, margin=0.999 * edge).within
    # Five noisy runs that overlap show nothing of the kind.
    assert compare([0, 5, 1, 4, 2], [1, 4, 2, 5, 3], margin=1).within is False
    # Clearly different, and still within what matters.
    found = compare(a, a + 0.5, margin=1)
    assert found.verdict == "better"
    assert found.words == "a better than b, by less than what matters"


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_all_pairs_by_hand(better):
    runs = {name: RNG.normal(mean, 1, 6) for name, mean in
            (("u", 0), ("v", 0.2), ("w", 3), ("x", 6))}  # fmt: skip
    found = compare_all(runs, better=better, test="t")
    sign = 1 if better == "lower" else -1
    means = {k: sign * v.mean() for k, v in runs.items()}
    assert list(found.order) == sorted(means, key=means.get)
    raw = {
        p.names: stats.ttest_ind(*map(runs.get, p.names), equal_var=False)
        for p in found.pairs
    }
    want = dict(zip(raw, training.holm([r.pvalue for r in raw.values()]),
                    strict=True))  # fmt: skip
    for pair in found.pairs:
        assert pair.p == pytest.approx(want[pair.names])
        assert pair.alone == pytest.approx(raw[pair.names].pvalue)
        assert pair.told_apart == (want[pair.names] <= 0.05)
        a, b = (set(found.letters[name]) for name in pair.names)
        assert pair.told_apart == (not a & b)
        assert found.pair(*pair.names[::-1]) is pair
    assert set(found.best()) == {
        name for name in runs
        if name == found.order[0]
        or not found.pair(name, found.order[0]).told_apart
    }  # fmt: skip


@pytest.mark.parametrize("test", ["permutation", "t"])
@pytest.mark.parametrize("paired", [False, True])
def test_false_alarms_stay_below_the_level(test, paired):
    level = 0.1  # which five pairs can reach
    options = {"test": test, "paired": paired, "level": level}
    share = training.power(0, draws=1500, **options)
    assert share <= level + 3 * math.sqrt(level * (1 - level) / 1500)
    assert training.power(3, draws=100, **options) > 0.7


def test_power_of_disjoint_ranges_is_known():
    # By chance in 2 of 252; at a shift by numerical integration:
    # P(all of a below all of b) = int 5 phi(x) Phi(x)^4 (1-Phi(x-s))^5.
    def apart(a, b):
        return a.max() < b.min() or b.max() < a.min()

    x = np.linspace(-9, 9, 4001)
    for shift in (1.0, 2.0, 3.0):
        top = 5 * stats.norm.pdf(x) * stats.norm.cdf(x) ** 4
        want = integrate.trapezoid(top * stats.norm.sf(x - shift) ** 5, x)
        got = training.power(shift, test=apart, draws=1500)
        assert got == pytest.approx(want, abs=0.045)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: compare([1.0], [2.0, 3.0]), "1 and 2 runs"),
        (lambda: compare([1, 2], [1, 2, 3], paired=True), "equally many"),
        (lambda: compare([1, np.nan], [1, 2]), "a: run 1 scored nan"),
        (lambda: compare([1, 2], [1, np.inf], names=("u", "v")), "v: run 1"),
        (lambda: compare([[1, 2]], [1, 2]), "one score for each run"),
        (lambda: compare([1, 2], [1, 2], better="lowest"), "mean 'lower'"),
        (lambda: compare([1, 2], [1, 2], level=0.7), "level must lie"),
        (lambda: compare([1, 2], [1, 2], margin=-1), "margin must be"),
        (lambda: compare([1, 2], [1, 2], test="welsh"), "unknown test"),
        (lambda: compare_all({"a": [1, 2]}), "two methods or more"),
        (
            lambda: compare_all({"sgd": [1, 2], "lion": [1, 3]}).pair(
                "sgd", "loin"
            ),
            "did you mean 'lion'",
        ),
    ],
)
def test_bad_comparisons_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


GRIDS = {
    "inside": ([0.1, 0.3, 1.0], [3, 1, 2], 1),
    "unsorted": ([1.0, 0.1, 0.3], [2, 3, 1], 2),
    "seeds": ([0.1, 0.3, 1.0], [[3, 3], [1, 2], [2, 2]], 1),
    "diverged": ([0.1, 0.3, 1.0], [[3, 3], [2, 2], [0, np.inf]], 1),
    "nan": ([0.1, 0.3, 1.0], [[3, 3], [2, 2], [0, np.nan]], 1),
}


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("kind", GRIDS)
def test_a_rate_is_chosen_inside_its_grid(kind, better):
    grid, scores, want = GRIDS[kind]
    scores = np.array(scores, float) * (1 if better == "lower" else -1)
    found = training.choose_rate(grid, scores, better=better)
    assert (found.index, found.rate, found.at_edge) == (
        want, grid[want], False,
    )  # fmt: skip
    # The same with the best rate pushed to either end is refused.
    for edge in (0.01, 100.0):
        moved = [edge if i == want else r for i, r in enumerate(grid)]
        word = "lowest" if edge < 1 else "highest"
        with pytest.raises(ValueError, match=word):
            training.choose_rate(moved, scores, better=better)
        said = training.choose_rate(moved, scores, better=better, edge="say")
        assert said.at_edge
        assert "at the edge" in said.words


def test_a_grid_that_cannot_choose():
    with pytest.raises(ValueError, match="diverged"):
        training.choose_rate([0.1, 1, 10], [np.nan, np.inf, np.nan])
    with pytest.raises(ValueError, match="one row of scores"):
        training.choose_rate([0.1, 1, 10], [1, 2])
    with pytest.raises(ValueError, match="did you mean 'say'"):
        training.choose_rate([0.1], [1], edge="sai")


@pytest.mark.full
def test_the_docstring_names_the_true_power():
    said = [29, 77, 98]
    assert "about 29, 77 and 98 of 100" in " ".join(compare.__doc__.split())
    for shift, percent in zip((1, 2, 3), said, strict=True):
        assert 100 * training.power(shift, draws=2000) == pytest.approx(
            percent, abs=3
        )
