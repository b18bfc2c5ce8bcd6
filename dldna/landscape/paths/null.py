"""What principal components show when there is nothing to show."""

import numpy as np

from dldna.checks import choice, count, warn

ABOUT = ("end", "mean")


def origin_of(about: str) -> str:
    """Where a path's components are counted from; "last" was "end" once.

    Example:
        >>> origin_of("mean")
        'mean'
    """
    if about == "last":
        warn("about='last' is now about='end'", FutureWarning)
        return "end"
    return choice("origin", about, ABOUT)


def walk_shares(k: int, about: str = "end") -> np.ndarray:
    r"""Variance shares of a long random walk in many dimensions.

    .. math:: \frac{6}{(\pi k)^2} \text{ (centred)}, \qquad
        \frac{8}{\pi^2 (2k-1)^2} \text{ (about the end point)}

    So two components that "explain 90 %" of a training run about its end
    are what pure noise gives; a run says something where it differs.

    Args:
        k: number of components.
        about: "end" or "mean".

    Returns:
        (k,) shares.

    Example:
        >>> walk_shares(3).round(3).tolist()
        [0.811, 0.09, 0.032]
        >>> walk_shares(2, "mean").round(3).tolist()
        [0.608, 0.152]

    References:
        Antognini, Sohl-Dickstein, "PCA of high dimensional random walks
        with comparison to neural network training", NeurIPS 2018,
        arXiv 1806.08805.
    """
    i = np.arange(1, count("k", k) + 1)
    if origin_of(about) == "mean":
        return 6 / (np.pi * i) ** 2
    return 8 / (np.pi * (2 * i - 1)) ** 2


def simulated_shares(
    lengths: np.ndarray, k: int = 2, dims: int = 1000, seeds: int = 5
) -> np.ndarray:
    """Variance shares about the end of random walks with given steps.

    Args:
        lengths: (T,) length of each step of the run.
        k: number of components.
        dims: dimensions of the space; where there are many more than
            steps, the number no longer matters.
        seeds: number of walks.

    Returns:
        (seeds, k) shares.

    Example:
        >>> shares = simulated_shares(np.ones(300), k=2)
        >>> bool(np.all(abs(shares.mean(0) - [0.811, 0.090]) < 0.02))
        True
    """
    lengths = np.asarray(lengths, dtype=np.float64)
    found = []
    for seed in range(seeds):
        generator = np.random.default_rng(seed)
        steps = generator.normal(size=(len(lengths), dims))
        steps *= (lengths / np.linalg.norm(steps, axis=1))[:, None]
        walk = np.concatenate([np.zeros((1, dims)), steps.cumsum(0)])
        found.append(shares((walk - walk[-1]) @ (walk - walk[-1]).T)[:k])
    return np.array(found)


def shares(gram: np.ndarray) -> np.ndarray:
    """Shares of a Gram matrix's eigenvalues, largest first."""
    values = np.clip(np.linalg.eigvalsh(gram)[::-1], 0, None)
    total = values.sum()
    return values / total if total > 0 else values


def centred(gram: np.ndarray) -> np.ndarray:
    """The Gram matrix after the mean of all rows is taken away."""
    rows = gram.mean(0)
    return gram - rows[:, None] - rows[None, :] + rows.mean()
