"""Every row of the page's two tables, held to what the functions do."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn

from dldna import published
from dldna.models import make
from dldna.models.convolutional import ArenaCNN
from dldna.models.transformer import arena_transformer
from dldna.published.differences import (
    CELLS,
    REASONS,
    REQUIRED,
    SIGNATURES,
    arguments,
)
from dldna.published.gaussian_loss_surface import train_loss_surface
from dldna.published.interpolation import grid
from dldna.published.optimizers import SGD

PAGE = Path(published.__file__).parents[2] / "notebooks"

# Arguments ----------------------------------------------------------------


def test_each_argument_that_differs_has_its_reason():
    rows = arguments()
    assert all(row.why for row in rows), [r[:2] for r in rows if not r.why]
    assert {(r.function, r.name) for r in rows} == set(REASONS)
    assert len(rows) == len(REASONS)


def test_what_was_required_may_only_be_left_out_now():
    """No default has become another one."""
    for row in arguments():
        assert row.then in (REQUIRED, "-"), row


@pytest.mark.parametrize("change", ["lost", "moved", "needed"])
def test_a_call_that_would_not_fit_is_found(change, monkeypatch):
    path = "chapter_05.optimizers.basic.Adam"
    wrong = {
        "lost": {"params": REQUIRED, "lr": REQUIRED, "amsgrad": False},
        "moved": {"lr": REQUIRED, "params": REQUIRED},
        "needed": {"params": REQUIRED},
    }[change]
    monkeypatch.setitem(SIGNATURES, path, wrong)
    with pytest.raises(ValueError, match=f"{path} as in 0.1"):
        arguments()


@pytest.mark.parametrize("default", [0.5, None, (1, 2)])
def test_another_default_is_found(default, monkeypatch):
    path = "chapter_05.optimizers.basic.Adam"
    old = SIGNATURES[path] | {"eps": default}
    monkeypatch.setitem(SIGNATURES, path, old)
    [row] = [r for r in arguments() if r.function == "Adam"]
    assert (row.name, row.now, row.why) == ("eps", "1e-08", "")


# Outputs ------------------------------------------------------------------

ROWS = {(row.cell, row.what): row for row in CELLS}


def analysis(kernel, method, key):
    return kernel.rounds[-1]["analysis"][method][key]


def matrices(kernel, method, key):
    found = analysis(kernel, method, "measures")
    assert len(found) == 5  # the PReLU's slope is none of them
    return float(np.mean([m[key] for m in found.values()]))


def methods(kernel):
    assert len(kernel.rounds[-1]["init_methods"]) == 6


def error_rate(kernel):
    for r in kernel.rounds[-1]["analysis"].values():
        wanted = 100 * (1 - r["accuracy"])
        assert r["error_rate"] == pytest.approx(wanted, nan_ok=True)
        assert not np.isfinite(wanted) or r["error_rate"] > 3 * r["loss"]


def convergence_speed(kernel):
    speeds = [r["convergence_speed"]
              for r in kernel.rounds[-1]["analysis"].values()]  # fmt: skip
    assert all(v == np.inf or (v >= 1 and v == round(v)) for v in speeds)
    assert analysis(kernel, "scaled_orthogonal", "convergence_speed") == np.inf
    assert analysis(kernel, "l-momentum", "convergence_speed") == np.inf


def condition(kernel):
    mean = matrices(kernel, "lecun", "condition_number")
    assert analysis(kernel, "lecun", "condition_number") == mean
    printed = (5 * mean + 1) / 6  # with the slope as a matrix
    assert 5.3 < printed < 6.0 < mean


def spectral(kernel):
    mean = matrices(kernel, "orthogonal", "spectral_norm")
    assert mean == pytest.approx(1, abs=1e-5)
    assert f"{(5 * mean + 0.25) / 6 + 1e-6:.2f}" == "0.88"


def effective_rank(kernel):
    ratio = analysis(kernel, "orthogonal", "effective_rank_ratio")
    assert ratio == pytest.approx(1, abs=1e-5)
    energy = matrices(kernel, "orthogonal", "energy_rank")
    sides = np.array([256, 192, 128, 64, 10])
    shares = np.ceil(0.95 * sides)
    assert energy == pytest.approx(shares.mean(), abs=1)


def same_order(kernel):
    torch.manual_seed(123)
    one, two = (kernel.names["get_data_loaders"]()[0] for _ in range(2))
    torch.rand(7)
    for epoch in range(3):
        assert torch.equal(one.order(epoch), two.order(epoch))


def own_sgd(kernel):
    assert issubclass(kernel.names["OwnSGD"], kernel.names["BaseOptimizer"])


def momentum(kernel):
    moved = {}
    for kind in (SGD, kernel.names["OwnSGD"]):
        w = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        optimizer = kind([w], lr=1.0, momentum=0.9)
        for _ in range(300):
            w.grad = torch.ones_like(w)
            before = w.item()
            optimizer.step()
        moved[kind] = before - w.item()
    ours, printed = moved.values()
    assert ours / printed == pytest.approx(10, rel=1e-6)


def files_kept(kernel):
    names = {f.name for f in (kernel.folder / "tmp/opts/ReLU").iterdir()}
    ends = (".config", ".pth", "-epoch1.pth", ".run")
    assert names == {f"SimpleNetwork-ReLU{end}" for end in ends}


def from_one(kernel):
    for kind, n in (("basic", 20), ("cnn", 40)):
        for r in kernel.rounds[-1][kind].values():
            assert r["epochs"] == list(range(1, n + 1))


def losses_by_samples(kernel):
    """Of a network that stands still, over batches of 100, 100 and 56."""
    train, test = kernel.names["get_data_loaders"](batch_size=100)
    still = kernel.names["run_basic_experiment"](
        SGD, train, test, {"lr": 1e-12}, "cpu", 1
    )
    model = make("mlp", seed=0, act=nn.GELU())
    for part, loader in (("train", train), ("test", test)):
        sizes = np.array([len(y) for _, y in loader])
        each = np.array([
            nn.functional.cross_entropy(model(x), y).item() for x, y in loader
        ])  # fmt: skip
        [found] = still[f"{part}_loss"]
        wanted = float((sizes * each).sum() / sizes.sum())
        assert found == pytest.approx(wanted, abs=1e-6)
        assert abs(wanted - each.mean()) > 1e-5


def panels(kernel):
    [titles] = kernel.figures["5 basic experiment"]
    assert len(titles) == len(["loss", "accuracy", "gradient norm",
                               "allocated", "reserved"])  # fmt: skip


def arrays(kernel):
    names = kernel.rounds[-1]
    for name in ("alphas", "losses", "accuracies"):
        assert isinstance(names[name], np.ndarray)


def returned(kernel):
    names = kernel.rounds[-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "show", lambda: pytest.fail("it is shown"))
        axes = names["visualize_linear_interpolation"](
            names["alphas"], names["losses"], names["accuracies"], "title"
        )
    assert [ax.get_ylabel() for ax in axes] == ["loss", "accuracy"]
    plt.close(axes[0].figure)


def colours(kernel):
    names = kernel.rounds[-1]
    labels = [*names["labels"][:2], "Tanh-epoch1"]
    ax = names["visualize_weight_space"](names["embedded_pca"][:3], labels)
    assert [t.get_text() for t in ax.texts] == ["1", "2", "1"]
    assert len(ax.collections) == 2
    plt.close(ax.figure)


def both_pictures(kernel):
    names = kernel.rounds[-1]
    assert [a.name for a in names["path_axes"].figure.axes] == [
        "rectilinear", "3d",
    ]  # fmt: skip
    words = names["path_axes"].get_legend().get_texts()
    points = [names[f"points_{k}"] for k in ("sgd", "sgd_m", "adam")]
    for word, path in zip(words, points, strict=True):
        inside = (np.abs(path[:, :2]) <= 1).all()
        assert ("leaves at step" in word.get_text()) != inside


def gradient_of_the_test(kernel):
    for r in kernel.rounds[-1]["basic"].values():
        assert min(r["test_gradient_norm"]) > 0


def memory(kernel):
    if torch.cuda.is_available():
        return
    held = {k: r["memory_allocated"][-1]
            for k, r in kernel.rounds[-1]["basic"].items()}  # fmt: skip
    one = 283_914 * 4 / 2**20  # a copy of the weights
    for name, copies in (("SGD", 3), ("Adam", 4), ("Lion", 3)):
        assert held[name] == pytest.approx(copies * one, rel=1e-3)


def one_start(kernel):
    first = [kernel.names["run_basic_experiment"](
        SGD, *kernel.names["get_data_loaders"](), {"lr": 1e-9}, "cpu", 1)
        for _ in range(2)]  # fmt: skip
    assert first[0]["train_loss"] == first[1]["train_loss"]


def parameters(maker, printed):
    def check(kernel):
        with torch.device("meta"):
            model = maker((3, 32, 32), 100)
        count = sum(p.numel() for p in model.parameters())
        assert f"{count / 1000:.1f}K parameters" == printed

    return check


def positions(kernel):
    a = kernel.rounds[-1]["alphas"]
    assert len(a) == 50
    assert {-0.5, 0.0, 1.0, 1.5} <= set(a.tolist())
    assert not {0.0, 1.0} & set(np.linspace(-0.5, 1.5, 50).tolist())
    steps = np.diff(grid(50))
    assert f"{100 * (steps.max() / steps.min() - 1):.0f}" == "4"


def order_of_points(kernel):
    labels = kernel.rounds[-1]["labels"]
    assert labels == [f"ReLU-epoch{k}" for k in range(1, 16)]
    as_text = sorted(f"SimpleNetwork-{label}.pth" for label in labels)
    numbers = [int(t.split("epoch")[1][:-4]) for t in as_text]
    assert numbers == [1, *range(10, 16), *range(2, 10)]


def one_run(kernel):
    points = kernel.rounds[-1]["embedded_pca"]
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert steps.max() < 22 / 2


def tsne(kernel):
    names = kernel.rounds[-1]
    first = names["embedded_tsne"]
    again = names["analyze_weight_space"](
        names["models"], names["labels"], method="tsne", perplexity=1
    )
    assert first.shape == (15, 2)
    assert np.array_equal(first, again)


def all_batches(kernel):
    names = kernel.names
    test = names["test_dataset"]
    subset = names["Subset"](test, torch.arange(0, 60))
    values = [
        names["hessian_eigenvectors"](
            names["model2"], nn.CrossEntropyLoss(),
            names["DataLoader"](subset, batch_size=size), top_n=1,
        )[0][0]
        for size in (60, 20)
    ]  # fmt: skip
    assert values[0] == pytest.approx(values[1], rel=1e-3)


def axes(kernel):
    assert len(kernel.rounds[-1]["in_space"]) == 2


def levels(kernel):
    [titles] = kernel.figures["11 scales"]
    assert [t for t in titles if "level" in t] == [
        "energy of level 2 (coarsest)", "energy of level 1 (finest)",
    ]  # fmt: skip


def shapes(kernel):
    scales = kernel.rounds[-1]["scales"]
    assert [scales[0].shape, scales[1][0].shape, scales[2][0].shape] == [
        (5, 5), (5, 5), (10, 10),
    ]  # fmt: skip


def rim(kernel):
    names = kernel.rounds[-1]
    assert names["offset"] != names["z"].max()


def fit_picture(kernel):
    assert all("losses minus well" in titles
               for titles in kernel.figures["12 Gaussian fit"])  # fmt: skip


PRINTED = (29.27164346, -0.0488573, -0.06687705, 0.7469189, 0.94904458, 30.0)


def sgd_on_the_well(kernel):
    path = train_loss_surface(lambda p: SGD(p, lr=0.1), [-1, 1], 100, PRINTED)
    away = np.hypot(path[-20:, 0] - PRINTED[1], path[-20:, 1] - PRINTED[2])
    assert away.max() > 1  # it swings; how, the last bits decide
    assert 2 * PRINTED[3] ** 2 / PRINTED[0] < 0.1
    calm = train_loss_surface(lambda p: SGD(p, lr=0.01), [-1, 1], 300, PRINTED)
    assert np.hypot(calm[-1, 0] - PRINTED[1], calm[-1, 1] - PRINTED[2]) < 0.01


def labels(kernel):
    assert kernel.rounds[-1]["points_sgd_m"].label == (
        "SGD, lr 0.05, momentum 0.8"
    )


def norms(kernel):
    model = kernel.names["trained_model"]
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    summed = sum(float(p.detach().norm()) for p in model.parameters())
    last = kernel.rounds[-1]["metrics"]["weight_norm"][-1]
    assert last == pytest.approx(float(flat.norm()), rel=1e-5)
    assert summed > 1.5 * last


def by_samples(kernel):
    model = kernel.names["SimpleNetwork"](act_func=nn.ReLU())
    x = torch.randn(5, 784)
    x[4] *= 50
    data = [(x[:4], torch.zeros(4).long()), (x[4:], torch.ones(1).long())]
    losses = [nn.functional.cross_entropy(model(a), b).item() for a, b in data]
    still = torch.optim.SGD(model.parameters(), lr=1e-12)
    found = kernel.names["visualize_training_dynamics"](
        model, still, data, nn.CrossEntropyLoss(), 1, "cpu"
    )
    assert found["loss"] == pytest.approx(
        [(4 * losses[0] + losses[1]) / 5], rel=1e-5
    )


CHECKS = {
    (1, "methods"): methods,
    (2, "error rate (%)"): error_rate,
    (2, "convergence speed"): convergence_speed,
    (2, "condition number"): condition,
    (2, "spectral norm"): spectral,
    (2, "effective rank ratio"): effective_rank,
    (2, "order of the batches"): same_order,
    (3, "own SGD"): own_sgd,
    (4, "momentum"): momentum,
    (4, "files"): files_kept,
    (5, "epochs"): from_one,
    (5, "train_loss, test_loss"): losses_by_samples,
    (5, "panels"): panels,
    (5, "test_gradient_norm"): gradient_of_the_test,
    (5, "memory without a GPU"): memory,
    (5, "start"): one_start,
    (6, "CNN"): parameters(ArenaCNN, "1194.1K parameters"),
    (7, "transformer"): parameters(arena_transformer, "62099.8K parameters"),
    (8, "positions"): positions,
    (8, "losses and accuracies"): arrays,
    (8, "picture"): returned,
    (9, "colours"): colours,
    (9, "order of the points"): order_of_points,
    (9, "runs"): one_run,
    (9, "t-SNE"): tsne,
    (10, "data"): all_batches,
    (10, "axes"): axes,
    (11, "levels"): levels,
    (11, "shapes"): shapes,
    (12, "rim (offset)"): rim,
    (12, "picture"): fit_picture,
    (13, "SGD at rate 0.1"): sgd_on_the_well,
    (13, "picture"): both_pictures,
    (13, "labels"): labels,
    (14, "norms"): norms,
    (14, "loss"): by_samples,
}  # fmt: skip


def test_every_row_has_its_check_and_every_cell_its_row():
    assert set(CHECKS) == set(ROWS)
    assert len(ROWS) == len(CELLS)
    assert {row.cell for row in CELLS} == set(range(1, 15))
    assert all(all(row[1:]) for row in CELLS)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:there is no CUDA:UserWarning")
@pytest.mark.parametrize("row", CHECKS, ids=lambda r: f"{r[0]} {r[1]}")
def test_a_row_says_what_is(row, kernel):
    CHECKS[row](kernel)


def test_the_page_shows_both_tables():
    page = json.loads((PAGE / "coming_from_published.ipynb").read_text())
    code = "\n".join(
        "".join(c["source"]) for c in page["cells"] if c["cell_type"] == "code"
    )
    assert "differences.CELLS" in code
    assert "differences.arguments()" in code
