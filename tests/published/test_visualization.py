"""Chapter 5's pictures and their numbers against the landscape room."""

import functools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from readers import FEW, READERS, optimizer, plain
from torch import nn

from dldna import landscape, params
from dldna.chapter_05.visualization import loss_surface as ls
from dldna.data import load
from dldna.landscape.paths import weight_space
from dldna.landscape.shape.wells import descend, fit_gaussian
from dldna.models import SimpleNetwork
from dldna.published import gaussian_loss_surface as gauss
from dldna.published.interpolation import grid
from dldna.published.optimizers import SGD, Adam, BaseOptimizer
from dldna.published.readers_optimizers import as_optimizer
from dldna.published.result_curves import plot_training_results
from dldna.published.train_dynamics import (
    FIGURES,
    visualize_training_dynamics,
)
from dldna.training import DivergenceWarning, evaluate, train
from dldna.training.dynamics import Dynamics

LOSS = nn.CrossEntropyLoss()
SOME = [*FEW, ("torch", "SGD"), ("ours", "SGD")]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def net(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SimpleNetwork(act_func=nn.Tanh(), hidden_shape=[8])


@pytest.fixture(scope="module")
def models():
    """Three epochs of one run."""
    small = load("digits").take(300).loaders(50)[0]
    model, kept = net(), []
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(3):
        train(model, adam, small, epochs=1)
        kept.append(net())
        kept[-1].load_state_dict(model.state_dict())
    return kept


@pytest.fixture(scope="module")
def batch():
    test = load("digits")
    return [(test.test_x[:60], test.test_y[:60])]


@pytest.fixture(scope="module")
def pairs(models, batch):
    return ls.hessian_eigenvectors(models[-1], LOSS, batch, 2)


def test_a_line_is_the_rooms(models, batch):
    a, losses, accuracies = ls.linear_interpolation(
        models[0], models[2], batch, LOSS, torch.device("cpu"), num_points=20
    )
    found = landscape.line(
        models[0], models[2], LOSS, batch, alphas=a, metrics="accuracy"
    )
    assert len(a) == len(losses) == len(accuracies) == 20
    assert np.array_equal(losses, found.losses)
    assert np.array_equal(accuracies, found.metrics["accuracy"])
    for end, model in ((0.0, models[0]), (1.0, models[2])):
        loss, accuracy = evaluate(model, batch)
        assert losses[a == end][0] == pytest.approx(loss, rel=1e-5)
        assert accuracies[a == end][0] == pytest.approx(accuracy)
    axes = ls.visualize_linear_interpolation(a, losses, accuracies, "title")
    assert np.array_equal(axes[0].lines[0].get_ydata(), losses)
    assert np.array_equal(axes[1].lines[0].get_ydata(), accuracies)


@pytest.mark.parametrize("n", [4, 5, 6, 7, 10, 20, 21, 49, 50, 51, 101])
def test_a_line_has_both_ends_and_both_networks(n):
    a = grid(n)
    assert len(a) == n
    assert (a[0], a[-1]) == (-0.5, 1.5)
    assert {0.0, 1.0} <= set(a.tolist())
    np.testing.assert_allclose(a + a[::-1], 1, atol=1e-15)
    steps = np.diff(a)
    outside = steps[a[1:] <= 0]
    between = steps[(a[1:] > 0) & (a[1:] <= 1)]
    np.testing.assert_allclose(outside, outside[0])
    np.testing.assert_allclose(between, between[0])
    if n % 4 == 1:
        np.testing.assert_allclose(steps, 2 / (n - 1))
    if n >= 20:
        assert 0.8 < outside[0] / between[0] < 1.25


@pytest.mark.parametrize("n", [0, 3, 2.5])
def test_too_few_points_are_refused(n, models, batch):
    with pytest.raises((ValueError, TypeError), match="num_points"):
        ls.linear_interpolation(*models[:2], batch, LOSS, "cpu", n)


def test_a_line_to_another_activation_says_what_stands_at_its_end(
    models, batch
):
    other = SimpleNetwork(act_func=nn.ReLU(), hidden_shape=[8])
    with pytest.warns(UserWarning, match=r"\(SimpleNetwork-ReLU\), not"):
        a, losses, _ = ls.linear_interpolation(
            models[0], other, batch, LOSS, "cpu", num_points=5
        )
    twin = net()
    twin.load_state_dict(other.state_dict())
    assert losses[a == 1][0] == pytest.approx(
        evaluate(twin, batch)[0], rel=1e-5
    )


def test_torchs_own_loaders_will_do(models):
    """And the global random state stays as it was."""
    from dldna.published.loaders import get_dataset

    few = torch.utils.data.Subset(get_dataset("digits")[1], range(40))
    loader = torch.utils.data.DataLoader(few, batch_size=16)
    torch.manual_seed(4)
    before = torch.random.get_rng_state()
    a, losses, _ = ls.linear_interpolation(
        models[0], models[2], loader, LOSS, "cpu", num_points=5
    )
    values, vectors = ls.hessian_eigenvectors(models[2], LOSS, loader, 1)
    _, _, z = ls.xy_perturb_loss(
        models[2], [vectors[0], list(models[0].parameters())], loader, LOSS,
        "cpu", [0.0], [0.0, 0.1],
    )  # fmt: skip
    assert torch.equal(before, torch.random.get_rng_state())
    assert losses[a == 1][0] == pytest.approx(z[0], rel=1e-5)
    assert values[0] > 0


class Own(nn.Module):
    """A reader's loss, with names of the reader's."""

    def forward(self, logits, z):
        return nn.functional.cross_entropy(logits, z)


OWN_LOSSES = {
    "short names": lambda o, t: 1 * LOSS(o, t),
    "odd names": lambda scores, classes, k=1: k * LOSS(scores, classes),
    "any number": lambda *both: 1 * LOSS(*both),
    "half": functools.partial(lambda k, a, b: k * LOSS(a, b), 1),
    "a module": Own(),
    "the rooms' own": lambda output, batch: LOSS(output, batch[1]),
}


@pytest.mark.parametrize("loss", OWN_LOSSES)
def test_a_readers_loss_gets_outputs_and_targets(loss, models, batch):
    """As in version 0.1, in each function that takes one."""
    two = [tuple(t[:40] for t in batch[0]), tuple(t[40:] for t in batch[0])]

    def figures(loss_func):
        line = ls.linear_interpolation(
            *models[:2], two, loss_func, "cpu", num_points=5
        )[1]
        values, vectors = ls.hessian_eigenvectors(models[2], loss_func, two, 2)
        z = ls.xy_perturb_loss(
            models[2], vectors, two, loss_func, "cpu", [0.0, 0.1], [0.0]
        )[2]
        model = net()
        sgd = torch.optim.SGD(model.parameters(), lr=1e-9)
        mean = visualize_training_dynamics(
            model, sgd, two, loss_func, 1, "cpu"
        )["loss"]
        return [*line, *values, *z, *mean]

    np.testing.assert_allclose(
        figures(OWN_LOSSES[loss]), figures(LOSS), rtol=1e-3
    )


def test_fifty_points_by_default(models, batch):
    a, _, _ = ls.linear_interpolation(*models[:2], batch, LOSS, "cpu")
    assert len(a) == 50
    assert (a[0], a[-1]) == (-0.5, 1.5)


def test_weight_space_keeps_the_callers_order(models):
    labels = ["ReLU-epoch10", "ReLU-epoch2", "ReLU-epoch1"]
    points = ls.analyze_weight_space(models[::-1], labels, "PCA")
    found = weight_space.pca(models[::-1], labels)
    assert points.shape == (3, 2)
    for i, label in enumerate(labels):
        row = found.labels.index(label)
        assert np.array_equal(points[i], found.coords[row])
    ax = ls.visualize_weight_space(points, labels)
    assert [t.get_text() for t in ax.texts] == ["10", "2", "1"]


def test_tsne_takes_fewer_neighbours_and_says_so(models):
    with pytest.warns(UserWarning, match="perplexity=30"):
        points = ls.analyze_weight_space(models, "123", method="tsne")
    assert points.shape == (3, 2)
    with pytest.raises(ValueError, match="method"):
        ls.analyze_weight_space(models, "123", method="umap")


def test_eigenpairs_are_the_rooms(models, batch, pairs):
    values, vectors = pairs
    found = landscape.top_eigenpairs(models[-1], LOSS, batch, k=2)
    assert values == found.eigenvalues.tolist()
    assert all(isinstance(v, float) for v in values)
    shapes = [p.shape for p in models[-1].parameters()]
    for flat, vector in zip(found.eigenvectors, vectors, strict=True):
        assert [t.shape for t in vector] == shapes
        joined = torch.cat([t.flatten() for t in vector]).numpy()
        assert np.array_equal(joined, flat)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_is_cuda_without_cuda_warns_and_works(models, batch, pairs):
    with pytest.warns(UserWarning, match="using the CPU"):
        values, _ = ls.hessian_eigenvectors(
            models[-1], LOSS, batch, 2, is_cuda=True
        )
    assert values == pairs[0]


def test_the_perturbed_loss_is_the_loss_of_the_perturbed(models, batch, pairs):
    model, one, two = models[-1], [-0.1, 0.3], [0.0, 0.2, 0.5]
    before = params.copy(params.of(model))
    x, y, z = ls.xy_perturb_loss(model, pairs[1], batch, LOSS, "cpu", one, two)
    assert x.tolist() == [-0.1] * 3 + [0.3] * 3
    assert y.tolist() == two * 2
    for a, b, loss in zip(x, y, z, strict=True):
        moved = net()
        with torch.no_grad():
            for p, o, d1, d2 in zip(
                moved.parameters(), model.parameters(), *pairs[1], strict=True
            ):
                p.copy_(o + a * d1 + b * d2)
        assert loss == pytest.approx(evaluate(moved, batch)[0], rel=1e-4)
    for k, v in params.of(model).items():
        assert torch.equal(v, before[k])


def plate(shift=0.0):
    x, y = np.meshgrid([0.0, 1.0, 2.0, 3.0], [0.0, 1.0], indexing="ij")
    return x.ravel(), y.ravel(), (x + y + shift).ravel()


FORMS = {
    "a list of two tuples": [plate(), plate(1)],
    "a list of one": [plate()],
    "a list of three": [plate(), plate(1), plate(2)],
    "a bare tuple": plate(),
    "a list of lists": [[list(v) for v in plate()]],
    "a tuple of tuples": (plate(), plate(1)),
    "one stacked array": np.stack(plate()),
    "stacked arrays": [np.stack(plate()), np.stack(plate(1))],
    "tensors": [tuple(torch.tensor(v) for v in plate())],
    "a generator": (plate(k) for k in range(2)),
    "a grid": tuple(v.reshape(4, 2) for v in plate()),
}
COUNTS = [2, 1, 3, 1, 1, 2, 1, 2, 1, 2, 1]


@pytest.mark.parametrize("plot_3d", [False, True])
@pytest.mark.parametrize(
    ("form", "count"), list(zip(FORMS, COUNTS, strict=True))
)
def test_surfaces_of_every_form_are_drawn(form, count, plot_3d):
    """One Axes for each tuple, of the kind that was asked for."""
    data = FORMS[form]
    if form == "a generator":
        data = (plate(k) for k in range(2))
    axes = ls.visualize_loss_surface(data, "Tanh", "C0", plot_3d=plot_3d)
    assert [ax.name for ax in axes] == [
        "3d" if plot_3d else "rectilinear"
    ] * count
    assert len({ax.figure for ax in axes}) == 1
    assert all("Tanh" in ax.get_title() for ax in axes)
    if not plot_3d:
        low = [ax.collections[0].norm.vmin for ax in axes]
        assert low == sorted(low)


def test_a_surface_of_the_room_is_drawn(models, batch, pairs):
    axis = np.linspace(-0.2, 0.2, 5)
    data = ls.xy_perturb_loss(
        models[-1], pairs[1], batch, LOSS, "cpu", axis, axis
    )
    [flat] = ls.visualize_loss_surface(data, "Tanh", "C0")
    assert flat.get_title() == "Tanh"
    [space] = ls.visualize_loss_surface([data], "T", "plasma", plot_3d=True)
    assert space.name == "3d"
    with pytest.raises(ValueError, match="no grid"):
        ls.visualize_loss_surface([v[:-1] for v in data], "T", "C0")


@pytest.mark.parametrize("z", ["equal", "with NaN", "with inf"])
@pytest.mark.parametrize("plot_3d", [False, True])
def test_a_surface_without_contours_is_drawn(z, plot_3d):
    x, y, values = plate()
    if z == "equal":
        values = np.ones_like(values)
    else:
        values[3] = np.nan if z == "with NaN" else np.inf
    [ax] = ls.visualize_loss_surface([(x, y, values)], "T", "C0",
                                     plot_3d=plot_3d)  # fmt: skip
    ax.figure.canvas.draw()


@pytest.mark.parametrize(
    "color", ["C0", "viridis", "#ff0000", (1, 0, 0), [1, 0, 0, 1],
              np.array([0.0, 0.5, 1.0]), plt.get_cmap("plasma")],
    ids=["cycle", "map", "hex", "rgb", "rgba", "array", "colormap"],
)  # fmt: skip
def test_colours_of_every_form(color):
    [ax] = ls.visualize_loss_surface([plate()], "T", color)
    ax.figure.canvas.draw()


@pytest.mark.parametrize("color", ["nocolour", None, 7, (1, 2)])
def test_what_is_no_colour_is_named(color):
    with pytest.raises(ValueError, match="neither a colour nor a colormap"):
        ls.visualize_loss_surface([plate()], "T", color)


@pytest.mark.parametrize("data", [[], [(1, 2)], np.zeros((2, 4))])
def test_what_is_no_surface_is_refused(data):
    with pytest.raises(ValueError, match=r"list of tuples \(x, y, z\)"):
        ls.visualize_loss_surface(data, "T", "C0")


def test_the_plane_has_the_published_range(models, batch, pairs):
    """40 by 40 from -1 to 1, without being told."""
    wanted = np.linspace(-1, 1, 40).astype(np.float32)
    x, y, _ = ls.xy_perturb_loss(models[-1], pairs[1], batch, LOSS, "cpu")
    assert np.array_equal(np.unique(x), wanted.astype(float))
    assert np.array_equal(y[:40], wanted.astype(float))


def test_scales_are_pywavelets_list(models, batch):
    import pywt

    found = ls.analyze_loss_surface_multiscale(
        models[-1], batch, LOSS, "cpu", resolution=8
    )
    surface = landscape.surface(
        models[-1], LOSS, batch, "hessian", extent=0.2, resolution=8
    )
    theirs = pywt.wavedec2(surface.losses, "haar", level=2)
    assert np.array_equal(found[0], theirs[0])
    for mine, other in zip(found[1:], theirs[1:], strict=True):
        for a, b in zip(mine, other, strict=True):
            assert np.array_equal(a, b)
    assert found[1][0].shape == (2, 2)  # the coarsest comes first
    assert found[2][0].shape == (4, 4)
    assert "coarsest" in plt.gcf().axes[1].get_title()


def bowl():
    x, y = np.meshgrid(np.linspace(-1, 1, 12), np.linspace(-1, 1, 10),
                       indexing="ij")  # fmt: skip
    z = 3 - 2 * np.exp(-((x - 0.1) ** 2) / 0.5 - (y + 0.2) ** 2 / 1.28)
    return x.ravel(), y.ravel(), z.ravel()


def test_the_well_is_found_with_its_rim():
    x, y, z = bowl()
    popt, pcov, offset = gauss.get_opt_params(x, y, z)
    np.testing.assert_allclose(popt, [2, 0.1, -0.2, 0.5, 0.8], rtol=1e-6)
    assert offset == pytest.approx(3)
    assert pcov.shape == (5, 5)
    noisy = z + np.random.default_rng(0).normal(0, 0.05, len(z))
    held = fit_gaussian(gauss._surface(x, y, noisy), offset=float(noisy.max()))
    free, _, rim = gauss.get_opt_params(x, y, noisy)
    room = fit_gaussian(gauss._surface(x, y, noisy))
    assert free[0] == room.values["A"]
    assert rim == room.values["offset"]
    assert abs(free[0] - 2) < abs(held.values["A"] - 2)
    space, flat = gauss.visualize_gaussian_fit(x, y, z, popt, offset)
    missed = flat.collections[0].get_array()
    assert np.abs(missed).max() < 1e-6
    assert (space.elev, space.azim) == (10, 100)
    space, _ = gauss.visualize_gaussian_fit(
        x, y, z, popt, offset, -0.5, 0.5, 12, (4, 5), 30, 45
    )
    assert (space.elev, space.azim) == (30, 45)
    assert space.figure.get_size_inches().tolist() == [4, 5]
    _, well = space.collections
    assert well.get_facecolor().shape[0] == 11 * 11


class Mine(BaseOptimizer):
    """A reader's own, whose step takes no closure."""

    def step(self):
        with torch.no_grad():
            for p in self.params:
                p -= self.lr * p.grad


@pytest.mark.parametrize(("name", "what"), SOME)
def test_a_walk_on_the_well_is_the_rooms(name, what):
    six = [2, 0.1, -0.2, 0.5, 0.8, 3]

    def walk(start, well):
        return gauss.train_loss_surface(
            lambda p: made(name, what, p), start, 30, well
        )

    path = walk([-0.5, 0.5], six)
    room = descend(gauss.gaussian(six), [-0.5, 0.5], plain, steps=30)
    assert path.shape == (30, 3)
    assert path[0, :2].tolist() == [-0.5, 0.5]
    np.testing.assert_allclose(path, room[:30], rtol=1e-12)
    assert path[-1, 2] < path[0, 2]
    five = walk(np.array([-0.5, 0.5]), six[:5])
    np.testing.assert_allclose(five[:, 2] + 3, path[:, 2], rtol=1e-9)
    for start in ((-0.5, 0.5), torch.tensor([-0.5, 0.5]),
                  nn.Parameter(torch.tensor([-0.5, 0.5]))):  # fmt: skip
        assert np.array_equal(walk(start, np.array(six)), path)


def test_lbfgs_walks_too():
    """Its step wants a closure; on a round well it needs few."""
    path = gauss.train_loss_surface(
        lambda p: torch.optim.LBFGS(p, lr=0.5), [0.3, 0.3], 30,
        [2, 0.1, -0.2, 0.8, 0.8, 3],
    )  # fmt: skip
    np.testing.assert_allclose(path[-1], [0.1, -0.2, 1.0], atol=1e-4)
    assert path[0, :2].tolist() == [0.3, 0.3]  # in float64
    assert path.label == "LBFGS, lr 0.5"


def test_what_has_no_step_is_no_optimizer():
    with pytest.raises(TypeError, match="dict has not"):
        gauss.train_loss_surface(dict.fromkeys, [0, 0], 3, [1, 0, 0, 1, 1])


def test_paths_are_labelled_by_their_optimizers():
    x, y, z = bowl()
    popt, _, offset = gauss.get_opt_params(x, y, z)
    paths = [
        gauss.train_loss_surface(f, [-0.8, 0.8], 20, (*popt, offset))
        for f in (
            lambda p: SGD(p, lr=0.1),
            lambda p: SGD(p, lr=0.05, momentum=0.8),
            lambda p: Adam(p, lr=0.1),
            lambda p: Mine(p, 0.1),
        )
    ]
    ax = gauss.visualize_optimization_path(
        x, y, z, popt, offset, paths, act_name="Tanh"
    )
    assert [a.name for a in ax.figure.axes] == ["rectilinear", "3d"]
    words = [t.get_text() for t in ax.get_legend().get_texts()]
    assert words == [
        "SGD, lr 0.1",
        "SGD, lr 0.05, momentum 0.8",
        "Adam, lr 0.1",
        "Mine, lr 0.1",
    ]
    for line, path in zip(ax.lines, paths, strict=False):
        assert np.array_equal(line.get_xdata(), path[:, 0])
    flat = gauss.visualize_optimization_path(
        x, y, z, popt, offset, paths[:1], "T", d_min=-0.5, d_max=0.81
    )
    said = flat.get_legend().get_texts()[0].get_text()
    assert said == "SGD, lr 0.1: leaves at step 0"
    flat = gauss.visualize_optimization_path(
        x, y, z, popt, offset, {"one": np.asarray(paths[0])}, "T"
    )
    assert flat.get_legend().get_texts()[0].get_text() == "one"
    one = gauss.visualize_optimization_path(
        x, y, z, popt, offset, paths[0], "T"
    )
    assert [t.get_text() for t in one.get_legend().get_texts()] == [words[0]]
    with pytest.raises(ValueError, match="no path"):
        gauss.visualize_optimization_path(x, y, z, popt, offset, [], "T")


def test_wrong_parameters_of_a_well_are_named():
    with pytest.raises(ValueError, match="x0, y0"):
        gauss.gaussian([1, 2, 3])


def by_hand(model, optimizer, loader, epochs):
    """Five figures for each epoch, in a plain loop."""
    rows, start = [], flat_of(model)
    loader.epoch = 0
    for _ in range(epochs):
        total, count, norms = 0.0, 0, []
        for x, y in loader:
            optimizer.zero_grad()
            loss = LOSS(model(x), y)
            loss.backward()
            norms.append(
                torch.cat([p.grad.flatten() for p in model.parameters()])
                .norm().item()
            )  # fmt: skip
            total, count = total + loss.item() * len(x), count + len(x)
            optimizer.step()
        now, mean = flat_of(model), total / count
        gain = rows[-1][0] - mean if rows else 0.0
        rows.append((mean, np.mean(norms), (now - start).norm().item(),
                     now.norm().item(), gain))  # fmt: skip
    return np.array(rows)


def flat_of(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


ANY = [
    pytest.param(*each, marks=() if each in SOME else pytest.mark.full)
    for each in [*READERS, ("torch", "SGD"), ("ours", "SGD")]
]


def made(name, what, params):
    """An optimizer of a reader's, torch's or ours."""
    if what == "SGD":
        return {"torch": torch.optim.SGD, "ours": SGD}[name](params, lr=0.1)
    return optimizer(name, what, params)


def by_step(model, loader, epochs):
    watch = Dynamics()
    loader.epoch = 0
    train(model, plain(model.parameters()), loader, epochs=epochs,
          loss_fn=LOSS, callbacks=[watch])  # fmt: skip
    motion = watch.record()
    return {name: getattr(motion, name) for name in FIGURES}


@pytest.mark.parametrize(("name", "what"), ANY)
def test_dynamics_take_any_optimizer(name, what, capsys):
    """Also one whose class is called SGD and has no momentum."""
    loader = load("digits").take(120).loaders(50)[0]  # the last has 20
    for per in ("epoch", "step") if name in ("SGD", "ours") else ("epoch",):
        model, twin = net(), net()
        loader.epoch = 0
        found = visualize_training_dynamics(
            model, made(name, what, model.parameters()), loader, LOSS, 3,
            "cpu", per=per,
        )  # fmt: skip
        assert list(found) == [
            "loss", "grad_norm", "param_change", "weight_norm",
            "loss_improvement",
        ]  # fmt: skip
        if per == "epoch":
            rows = by_hand(twin, plain(twin.parameters()), loader, 3)
            wanted = dict(zip(found, rows.T, strict=True))
            assert "Epoch 3/3 - Loss: " in capsys.readouterr().out
        else:
            wanted = by_step(twin, loader, 3)
        for key, values in found.items():
            np.testing.assert_allclose(
                values, wanted[key], rtol=1e-4, atol=1e-6
            )


@pytest.mark.parametrize(("name", "what"), ANY)
def test_no_name_of_a_class_draws_a_threshold(name, what):
    """What is known to be stable follows from the step, not the name."""
    model, data = net(), load("digits").take(60)
    taken = as_optimizer(made(name, what, model.parameters()), model)
    watch = Dynamics((data.train_x, data.train_y), measure_every=1)
    train(model, taken, data.loaders(60)[0], epochs=1, callbacks=[watch])
    motion = watch.record()
    known = what == "SGD"
    assert motion.threshold_of == ("sharpness" if known else "unknown")
    assert np.isfinite(motion.threshold).all() == known


def test_epochs_after_a_divergence_are_nan():
    loader = load("digits").take(100).loaders(50)[0]
    model = net()
    with torch.no_grad():
        model.layers[0].weight.mul_(1e20)
        model.layers[2].weight.fill_(1e38)
    with pytest.warns(DivergenceWarning) as seen:
        found = visualize_training_dynamics(
            model, SGD(model.parameters(), lr=1e6), loader, LOSS, 4, "cpu"
        )
    assert [w.filename for w in seen] == [__file__]
    assert all(len(v) == 4 for v in found.values())
    assert np.isnan(found["loss"][-1])


RESULT = {
    "epochs": [1, 2],
    "train_loss": [2.0, 1.0],
    "test_loss": [2.5, 1.5],
    "train_accuracy": [0.1, 0.5],
    "test_accuracy": [0.2, 0.4],
    "memory_allocated": [10.0, 10.0],
    "memory_reserved": [12.0, 12.0],
}


@pytest.mark.parametrize(
    ("metrics", "mode", "panels"),
    [
        (None, "all", 4),
        (["loss", "accuracy", "memory"], "all", 6),
        (["loss"], "all", 2),
        (["loss", "accuracy"], "test", 2),
        (["memory"], "train", 2),
    ],
)
def test_results_are_drawn(metrics, mode, panels):
    short = {k: v[:1] for k, v in RESULT.items()}
    axes = plot_training_results(
        {"SGD": RESULT, "Adam": short}, metrics, mode, title="Mine"
    )
    assert len(axes) == panels
    assert axes[0].figure._suptitle.get_text() == "Mine"
    labels = [t.get_text() for t in axes[0].get_legend().get_texts()]
    assert labels == ["SGD", "Adam"]
    if metrics == ["loss"]:
        assert axes[1].lines[0].get_ydata().tolist() == [2.5, 1.5]


def old_result():
    """As version 0.1 returned it without a GPU."""
    empty = {k: [] for k in RESULT if k.startswith("memory")}
    return RESULT | empty | {"epochs": [0, 1]}


@pytest.mark.parametrize("mode", ["train", "test", "all"])
@pytest.mark.parametrize("beside", [True, False])
def test_results_of_version_01_are_drawn(beside, mode):
    results = {"SGD": old_result()} | ({"Adam": RESULT} if beside else {})
    del results["SGD"]["test_loss"]
    axes = plot_training_results(results, ["accuracy", "memory"], mode)
    assert len(axes) == {"all": 2}.get(mode, 1) + 2 * beside
    for ax in axes[:1]:
        assert [line.get_xdata().tolist() for line in ax.lines] == [
            [1, 2]
        ] * len(results)
    if beside:
        [line] = axes[-1].lines  # of the one that has them
        assert line.get_ydata().tolist() == RESULT["memory_reserved"]


def test_one_metric_may_be_a_word():
    one = plot_training_results({"SGD": RESULT}, "memory")
    two = plot_training_results({"SGD": RESULT}, ["memory"])
    assert [a.get_ylabel() for a in one] == [a.get_ylabel() for a in two]


def test_unknown_words_are_refused():
    for bad in ({"metrics": ["los"]}, {"mode": "both"}):
        with pytest.raises(ValueError, match="unknown"):
            plot_training_results({"SGD": RESULT}, **bad)
    with pytest.raises(ValueError, match="no results"):
        plot_training_results({})
    with pytest.raises(ValueError, match="none of"):
        plot_training_results({"SGD": RESULT}, ["gradient_norm"])
