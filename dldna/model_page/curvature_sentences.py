"""What the figures of curvature and sharpness support, and what not.

Every sentence is made of the numbers of the findings.
"""

import numpy as np

from dldna.model_page.findings import Findings
from dldna.model_page.numerals import Words, num, percent, pm
from dldna.records import Spectrum

MEASURES = {
    "keskar": "rise in a box, % of 1 + loss (Keskar)",
    "sam": "rise in a ball (SAM)",
    "adaptive": "rise in an adaptive ball (ASAM)",
    "trace": "trace of the Hessian",
}


def errors_of(s: Spectrum) -> np.ndarray:
    """Sampling errors of eigenvalues; NaN where they are not known."""
    known = len(s.errors) == len(s.eigenvalues)
    return s.errors if known else np.full(len(s.eigenvalues), np.nan)


def top(f: Findings) -> Words:
    """Words on the top eigenpairs."""
    s, errors = f.top, errors_of(f.top)
    values = "; ".join(
        pm(v, e) for v, e in zip(s.eigenvalues, errors, strict=True)
    )
    bound = np.abs(s.residuals * s.eigenvalues).max()
    negative = int((s.eigenvalues < 0).sum())
    said = (
        "The largest eigenvalues of the Hessian by magnitude are "
        f"{values} (± standard error over samples); an eigenvalue lies "
        f"within {num(bound)} of each, the largest residual."
    )
    if negative:
        said += (
            f" {negative} of them below 0: the loss bends down there, so "
            "this point is no minimum."
        )
    n = s.provenance.n_params
    return Words(
        "The strongest curvature",
        f"The largest {len(errors)} eigenvalues of the Hessian by rank, "
        f"from {num(s.eigenvalues[0])} to {num(s.eigenvalues[-1])}, with "
        "their standard errors over samples.",
        said,
        f"It does not tell how the loss bends along the other "
        f"{n - len(errors):,} directions, and not which network generalises "
        "better: the same function with rescaled layers has other "
        "eigenvalues (see the measures of sharpness).",
        {
            "rank": list(range(1, len(errors) + 1)),
            "eigenvalue": list(s.eigenvalues),
            "standard error": list(errors),
            "relative residual": list(s.residuals),
        },
    )


def sharpness(f: Findings) -> Words:
    """Words on the measures of sharpness, and the caveat beside them."""
    s, twin = f.sharpness, f.facts["twin"]
    own = {k: float(s[k].value) for k in MEASURES}
    error = float(s["trace"].error)
    said = (
        f"Within a ball of radius {s['sam'].radius:g} the loss rises by "
        f"at least {num(own['sam'])}; within one of that radius in units of "
        f"each weight's own size by at least {num(own['adaptive'])}; within "
        f"a box of {s['keskar'].radius:g} (1 + |w|) by at least "
        f"{num(own['keskar'])} % of 1 + loss. "
        f"The trace of the Hessian is {pm(own['trace'], error)} (error of "
        "the random probes)."
    )
    table = {
        "measure": list(MEASURES.values()),
        "this network": list(own.values()),
    }
    if "layers" in twin:
        others = {k: float(s[f"twin {k}"].value) for k in MEASURES}
        table["rescaled twin"] = list(others.values())
        first, second = twin["layers"]
        doubts = (
            "They do not belong to the function that the network computes: "
            f"a twin with layer {first} times {twin['factor']:g} and "
            f"layer {second} divided by it computes the same (loss "
            f"{num(twin['loss'], 5)} and {num(twin['own loss'], 5)}), yet its "
            + ", ".join(
                f"{words} is {num(others[k])} against {num(own[k])}"
                for k, words in [("sam", "rise in the ball"),
                                 ("trace", "trace"),
                                 ("adaptive", "rise in the adaptive ball")]
            )
            + ". Nor does a small value, the adaptive one among them, "
            "foretell good results on new data."
        )  # fmt: skip
    else:
        doubts = (
            "They do not belong to the function that the network computes "
            "wherever layers can be rescaled against each other, as in "
            "networks of ReLUs: then the same function has other values. "
            f"Of {twin['tried']} pairs of layers tried here none left the "
            "function as it was, so that no twin is shown. Nor does a small "
            "value foretell good results on new data."
        )
    return Words(
        "Sharpness, and what rescaling does to it",
        f"The loss on the way up, over {s['sam'].steps} steps of ascent, in "
        "a ball, an adaptive ball and a box"
        + (", for this network and its rescaled twin" * ("layers" in twin))
        + f": from {num(s['sam'].loss)} to {num(s['sam'].worst)} in the ball.",
        said,
        doubts,
        table,
    )


def layers(f: Findings) -> Words:
    """Words on the spectrum by layer."""
    names = list(f.layers)
    values = np.array([s.eigenvalues[0] for s in f.layers.values()])
    errors = np.array([errors_of(s)[0] for s in f.layers.values()])
    residuals = [s.residuals[0] for s in f.layers.values()]
    high, low = int(np.abs(values).argmax()), int(np.abs(values).argmin())
    strong, weak = (names[i] or "the whole" for i in (high, low))
    all_of_them = f.facts["layers"]
    missing = [n for n in all_of_them if n not in names]
    said = (
        f"Of the {len(names)} layers measured, {strong!r} "
        f"has the block of strongest curvature, largest eigenvalue "
        f"{pm(values[high], errors[high])}, and {weak!r} "
        f"that of the weakest, {pm(values[low], errors[low])}."
    )
    if missing:
        more = f" and {len(missing) - 6} more" if len(missing) > 6 else ""
        said += (
            f" {len(missing)} of {len(all_of_them)} layers did not fit the "
            f"budget: {', '.join(missing[:6])}{more}."
        )
    whole = (
        f" (the whole Hessian's largest is {num(f.top.eigenvalues[0])})"
        if f.top is not None
        else ""
    )
    return Words(
        "Curvature by layer",
        f"The largest eigenvalue of the Hessian's block of each of "
        f"{len(names)} layers, with standard errors, from "
        f"{num(np.abs(values).min())} to {num(np.abs(values).max())} in "
        "magnitude.",
        said,
        "It does not say which layer matters most: a block leaves out how "
        f"layers act together{whole}, and rescaling two layers against "
        "each other moves curvature from one to the other.",
        {
            "layer": names,
            "largest eigenvalue": list(values),
            "standard error": list(errors),
            "relative residual": residuals,
        },
    )


def density(f: Findings) -> Words:
    """Words on the density of all eigenvalues."""
    d = f.density
    step = np.diff(d.grid, prepend=d.grid[0] - (d.grid[1] - d.grid[0]))
    mass = np.cumsum(d.density * step)
    mass = mass / mass[-1]
    low, high = np.interp([0.025, 0.975], mass, d.grid)
    near = np.abs(d.grid) <= 2 * d.sigma
    share = float((d.density * step)[near].sum() / (d.density * step).sum())
    return Words(
        "All eigenvalues",
        f"Density of the eigenvalues on a logarithmic scale, from "
        f"{num(d.grid[0])} to {num(d.grid[-1])}, with its standard error "
        f"over {len(d.nodes)} probes.",
        f"Of the {d.n:,} eigenvalues of the Hessian, 95 % lie between "
        f"about {num(low)} and {num(high)}, and {percent(share)} within "
        f"{num(2 * d.sigma)} of 0, twice the width of the bumps they are "
        "drawn with.",
        f"It does not resolve anything narrower than {num(d.sigma)}, so not "
        "how many eigenvalues are 0; and a single one is "
        f"{num(1 / d.n)} of the whole, so that its height tells nothing of "
        "how steep the loss is along it.",
        {
            "eigenvalue": list(d.grid[:: max(1, len(d.grid) // 40)]),
            "density": list(d.density[:: max(1, len(d.grid) // 40)]),
            "standard error": list(d.spread[:: max(1, len(d.grid) // 40)]),
        },
    )
