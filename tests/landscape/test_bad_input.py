"""What a caller may get wrong: each is said in words, or made to work."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from dldna import batches
from dldna.landscape import Recorder, Trajectory, cost, line, surface
from dldna.landscape.scan.store import Store, thin

torch.manual_seed(0)
X, Y = torch.randn(16, 4), torch.randint(3, (16,))
V = torch.randn(16)
CE, MSE = nn.CrossEntropyLoss(), nn.MSELoss()


def net(outputs=3):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, outputs))


def with_weight(value):
    model = net()
    model[0].weight.data[1, 2] = value
    return model


def small(model=None, loss=CE, data=(X, Y), **options):
    model = net() if model is None else model
    return surface(model, loss, data, resolution=3, **options)


# The model


@pytest.mark.parametrize(
    ("model", "kind", "says"),
    [
        (lambda: with_weight(torch.nan), ValueError,
         "the model's own weights are not finite in '0.weight'"),
        (lambda: with_weight(torch.inf), ValueError,
         "the model's own weights are not finite in '0.weight'"),
        (lambda: net().to("meta"), ValueError, "'0.weight'.*meta device"),
        (lambda: nn.Sequential(nn.LazyLinear(3)), ValueError,
         "'0.weight'.*lazy layer"),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.LazyBatchNorm1d()),
         ValueError, "'1.weight'.*lazy layer"),
        (lambda: nn.DataParallel(net()), TypeError, "give.*model.module"),
        (lambda: nn.Linear, TypeError, "not the class Linear"),
        (lambda: "mlp", TypeError, "torch.nn.Module, not str"),
        (nn.ReLU, ValueError, "no parameters"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "call",
    [small, lambda m: cost(m, CE, (X, Y)),
     lambda m: line(m, "random", CE, (X, Y), resolution=3)],
    ids=["surface", "cost", "line"],
)  # fmt: skip
def test_a_model_that_cannot_be_moved_is_refused(call, model, kind, says):
    with pytest.raises(kind, match=says):
        call(model())


def test_the_other_end_of_a_line_is_looked_at_too():
    with pytest.raises(ValueError, match=r"model_b's own weights.*'0.weight'"):
        line(net(), with_weight(torch.nan), CE, (X, Y))


# The loss


def no_return(output, target):
    F.cross_entropy(output, target)


def wrong_name(output, answers):
    return F.cross_entropy(output, answers)


def wrong_name_too(output, answers):
    return (output[:, 0] - answers.float()).square().mean()


@pytest.mark.parametrize(
    ("loss", "data", "says"),
    [
        ((X, Y), CE, "changed places.*CrossEntropyLoss"),
        ((X, Y), F.cross_entropy, "changed places"),
        ((X, Y), (X, Y), "must be callable, not a tuple"),
        ("mse", (X, Y), "must be callable, not 'mse'"),
        (nn.CrossEntropyLoss, (X, Y), "give one made of it: Cross"),
        (no_return, (X, Y), "not NoneType: does it lack 'return'"),
        (lambda output, target: "low", (X, Y), "tensor or a number, not str"),
        (wrong_name, (X, Y), r"called as loss\(output, batch\).*y_true"),
        (wrong_name_too, (X, Y), r"called as loss\(output, batch\)"),
        (lambda output: output.mean(), (X, Y), r"as loss\(output, batch\)"),
    ],
)
def test_a_wrong_loss_is_refused(loss, data, says):
    with pytest.raises(TypeError, match=says):
        small(loss=loss, data=data)
    with pytest.raises(TypeError, match=says):
        line(net(), "random", loss, data, resolution=3)


def named(name):
    """A loss whose second parameter bears a name."""
    space = {"F": F}
    exec(f"def loss(out, {name}): return F.cross_entropy(out, {name})", space)
    return space["loss"]


@pytest.mark.parametrize(
    "name", ["y_true", "tgt", "true", "gold", "labels_true", "ground_truth"]
)
def test_a_loss_may_call_its_target_by_many_names(name):
    got, want = small(loss=named(name)).losses, small().losses
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("kind", [float, np.float32])
def test_a_loss_may_be_a_plain_number(kind):
    def loss(output, y):
        return kind(F.cross_entropy(output, y).item())

    got, want = small(loss=loss).losses, small().losses
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_a_key_of_a_dict_batch_is_no_target_for_its_name_in_a_loss():
    batch = {"src": X, "tgt": X, "labels": Y}
    assert set(batches.split(batch)[0]) == {"src", "tgt"}


def test_a_plain_number_has_no_gradient():
    def loss(output, y):
        return F.cross_entropy(output, y).item()

    with pytest.raises(ValueError, match="no gradient"):
        small(loss=loss, directions=("gradient", "random"))


PAIRED = [nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss(), nn.HuberLoss()]


@pytest.mark.parametrize("loss", [*PAIRED, F.mse_loss])
def test_losses_of_numbers_do_not_broadcast(loss):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"\(16, 1\).*\(16,\).*unsqueez"):
            small(net(1), loss, (X, V))
        small(net(1), loss, (X, V[:, None]))


def test_a_loss_of_ones_own_may_broadcast():
    def loss(output, target):
        return (output - target).square().mean()

    assert np.isfinite(small(net(1), loss, (X, V)).losses).all()


# The data


@pytest.mark.parametrize(
    ("loss", "data", "kind", "says"),
    [
        (CE, None, TypeError, "not None"),
        (CE, 5, TypeError, "a loader, a pair of tensors.*not a int"),
        (CE, "digits", TypeError, "not a str"),
        (CE, TensorDataset(X, Y), TypeError, "DataLoader"),
        (CE, (X, Y, Y), TypeError, "read as 3 batches.*own"),
        (CE, DataLoader(TensorDataset(X, Y, Y), 8), TypeError,
         "not a list of 3 items.*dicts"),
        (CE, {"input": X}, TypeError, "in a dict its name is one of labels"),
        (MSE, X, TypeError, r"for an autoencoder \(x, x\)"),
        (MSE, DataLoader(TensorDataset(X), 8), TypeError, "autoencoder"),
        (CE, (np.array(["a"] * 16), Y), TypeError, "cannot become a tensor"),
        (CE, (X, Y.int()), TypeError, r"int32.*y.long\(\)"),
        (CE, (X.double(), Y), TypeError, r"float64.*float32.*data.float\(\)"),
        (CE, (X.double().numpy(), Y), TypeError, r"astype\('float32'\)"),
    ],
)  # fmt: skip
def test_wrong_data_are_refused(loss, data, kind, says):
    with pytest.raises(kind, match=says):
        small(loss=loss, data=data)
    with pytest.raises(kind, match=says):
        line(net(), "random", loss, data, resolution=3)


def test_single_data_on_a_double_model_are_refused():
    with pytest.raises(TypeError, match=r"data.double\(\).*model.float\(\)"):
        small(net().double())


def test_a_model_with_two_outputs_and_a_torch_loss_is_explained():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            return self.net(x), x

    with pytest.raises(TypeError, match=r"model returns a tuple.*of your own"):
        small(Two())


@pytest.mark.parametrize(
    "data",
    [
        (X.numpy(), Y.numpy()),
        (X, Y.numpy()),
        [(X[:8].numpy(), Y[:8].numpy()), (X[8:].numpy(), Y[8:].numpy())],
        (X.numpy()[::-1][::-1], Y.numpy()),
        (X.flip(0).numpy()[::-1], Y.numpy()),
        [X, Y],
        [(X, Y)],
    ],
)
def test_data_as_people_have_them_give_the_same_surface(data):
    np.testing.assert_allclose(
        small(data=data).losses, small().losses, rtol=1e-5
    )


def own(output, batch):
    x = batch if isinstance(batch, torch.Tensor) else batch[0]
    return (output - x).square().mean()


@pytest.mark.parametrize(
    "data",
    [X, X.numpy(), (X,), DataLoader(TensorDataset(X), 8), [(X,)],
     [X[:4], X[4:8], X[8:]]],
)  # fmt: skip
def test_an_autoencoder_needs_no_target(data):
    want = small(net(4), MSE, (X, X)).losses
    got = small(net(4), own, data).losses
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_batches_in_memory_are_not_read_as_a_pair():
    held = batches.held(DataLoader(TensorDataset(X), 8))
    assert [batches.size(b) for b in batches.held(held)] == [8, 8]
    small(net(4), own, held, directions=("gradient", "random"))


@pytest.mark.parametrize("targets", [(Y, V), [Y, V], {"class": Y, "value": V}])
def test_several_targets_for_one_tensor_are_one_batch(targets):
    [batch] = batches.held((X, targets))
    assert batches.size(batch) == 16

    def loss(output, target):
        if isinstance(target, dict):
            target = list(target.values())
        value = (output[:, 0] - target[1]).square().mean()
        return F.cross_entropy(output, target[0]) + value

    assert np.isfinite(small(loss=loss, data=(X, targets)).losses).all()


def test_two_batches_stay_two_batches():
    assert len(batches.held([(X, Y), (X, Y)])) == 2
    assert len(batches.held([(X[:3], Y[:3]), (X, Y)])) == 2


# Sequences first


class Last(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.embed = nn.Embedding(7, 4)
        self.lstm = nn.LSTM(4, 5)
        self.out = nn.Linear(5, 3)

    def forward(self, x):
        return self.out(self.lstm(self.embed(x))[0][-1])


S, T = torch.randint(7, (12, 200)), torch.randint(3, (200,))


def test_the_batch_of_sequences_first_is_the_targets():
    assert batches.size((S, T)) == 200
    s = small(Last(), CE, (S, T))
    assert s.provenance.n_samples == 200
    with torch.no_grad():
        want = float(CE(Last()(S), T))
    assert s.centre_loss == pytest.approx(want, rel=1e-5)
    assert s.way == "captured"
    one = line(Last(), "random", CE, (S, T), resolution=3)
    assert one.provenance.n_samples == 200


@pytest.mark.parametrize(
    "options", [{"limit": 100}, {"budget_s": 60.0}, {"way": "layered"}]
)
def test_sequences_first_are_not_cut(options):
    says = r"axis 0 of the inputs \(12\) is not the batch \(200\).*batch_first"
    with pytest.raises(ValueError, match=says):
        small(Last(), CE, [(S, T)] * 3, **options)


def test_many_sequences_first_need_no_cut_to_be_timed():
    held = [(S, T)] * 12
    assert small(Last(), CE, held).provenance.n_samples == 2400
    assert {batches.size(b) for b in thin(held, 512)} == {200}


def test_flattened_targets_are_not_cut_either():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(7, 3)

        def forward(self, x):
            return self.embed(x).flatten(0, 1)

    x, y = torch.randint(7, (6, 5)), torch.randint(3, (30,))
    assert batches.size((x, y)) == 6
    assert np.isfinite(small(Words(), CE, (x, y)).losses).all()
    with pytest.raises(ValueError, match=r"\(6\) is not the batch \(30\)"):
        small(Words(), CE, (x, y), limit=3)


# Directions and trajectories


@pytest.mark.parametrize(
    ("directions", "kind", "says"),
    [
        (None, TypeError, "must be a name.*not None"),
        (5, TypeError, "must be a name.*not 5"),
        ((5, "random"), TypeError, "a direction must be.*not 5"),
        ((None, None), TypeError, "a direction must be.*not None"),
        (("gradient", "gradient"), ValueError, "there is one gradient"),
        (("randm", "random"), ValueError, "did you mean 'random'"),
        (("random",) * 3, ValueError, "2 direction.*3 given"),
        ((), ValueError, "2 direction.*0 given"),
    ],
)
def test_wrong_directions_are_refused(directions, kind, says):
    with pytest.raises(kind, match=says):
        small(directions=directions)


@pytest.mark.parametrize("word", ["hessian", "random"])
def test_one_word_twice_is_the_word(word):
    once, twice = small(directions=word), small(directions=(word, word))
    np.testing.assert_array_equal(once.losses, twice.losses)
    assert once.directions == twice.directions


def test_random_directions_move_what_is_frozen_and_hessian_ones_do_not():
    from dldna.landscape.space.directions import Given, choose_directions

    model = net()
    model[0].requires_grad_(False)
    for word, moves in (("random", True), ("hessian", False)):
        [d] = choose_directions(word, Given(model, CE, [(X, Y)]), 1)
        assert bool(d.vector["0.weight"].any()) == moves


@pytest.fixture
def recorded(tmp_path):
    model = net()
    with Recorder(tmp_path / "run", every=1) as recorder:
        for step in range(4):
            recorder.record(model, step=step)
            for p in model.parameters():
                p.data += 0.1 * torch.randn_like(p)
    return tmp_path / "run"


def test_a_trajectory_may_be_given_by_its_folder(recorded):
    model = Trajectory(recorded).final(net())
    want = small(model, directions="pca", trajectory=Trajectory(recorded))
    for folder in (recorded, str(recorded)):
        got = small(model, directions="pca", trajectory=folder)
        np.testing.assert_array_equal(got.path_losses, want.path_losses)
    assert cost(
        model, CE, (X, Y), "pca", resolution=3, trajectory=str(recorded)
    ).points
    with pytest.raises(TypeError, match="folder of a recorded run, not a int"):
        small(model, directions="pca", trajectory=5)
    with pytest.raises(FileNotFoundError, match="no recorded run"):
        small(model, directions="pca", trajectory=recorded / "none")


# The other end of a line


def far():
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def prefixed(*prefixes):
    state = far().state_dict()
    for prefix in prefixes:
        state = {prefix + k: v for k, v in state.items()}
    return state


@pytest.mark.parametrize(
    "end",
    [
        lambda: {"model": far().state_dict(), "epoch": 3},
        lambda: {"state_dict": prefixed("module.")},
        lambda: prefixed("module."),
        lambda: prefixed("_orig_mod."),
        lambda: prefixed("_orig_mod.", "module."),
        lambda: prefixed("module.", "_orig_mod."),
    ],
)
def test_checkpoints_as_others_save_them_are_ends_of_lines(end, tmp_path):
    want = line(net(), far(), CE, (X, Y), resolution=5).losses
    file = tmp_path / "ckpt.pt"
    torch.save(end(), file)
    for given in (end(), file, str(file)):
        got = line(net(), given, CE, (X, Y), resolution=5).losses
        np.testing.assert_array_equal(got, want)
    s = small(directions=("checkpoints", "random"), others=[file])
    assert s.directions[0] == "towards checkpoint 1"


def test_a_network_that_calls_a_part_module_keeps_its_names():
    class Mine(nn.Module):
        def __init__(self, seed):
            super().__init__()
            torch.manual_seed(seed)
            self.module = nn.Linear(4, 3)

        def forward(self, x):
            return self.module(x)

    a, b = Mine(1), Mine(2)
    want = line(a, b, CE, (X, Y), resolution=5).losses
    for end in (b.state_dict(), nn.DataParallel(b).state_dict()):
        got = line(a, end, CE, (X, Y), resolution=5).losses
        np.testing.assert_array_equal(got, want)


def test_running_statistics_are_found_behind_prefixes():
    def normed(seed):
        torch.manual_seed(seed)
        made = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5))
        made(torch.randn(32, 4))
        return made

    a, b = normed(1), normed(2)
    want = line(a, b, CE, (X, Y), resolution=5).losses
    state = {f"module.{k}": v for k, v in b.state_dict().items()}
    got = line(a, state, CE, (X, Y), resolution=5).losses
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("end", "kind", "says"),
    [
        (net, ValueError, "very weights of model_a"),
        (lambda: net().state_dict(), ValueError, "very weights"),
        (lambda: "none.pt", FileNotFoundError, "no checkpoint at none.pt"),
        (lambda: "randm", ValueError, "did you mean 'random'"),
        (lambda: {}, ValueError, "lacks parameter '0.weight'"),
        (lambda: None, TypeError, "not None"),
    ],
)
def test_wrong_ends_of_lines_are_refused(end, kind, says):
    with pytest.raises(kind, match=says):
        line(net(), end(), CE, (X, Y))


# Numbers and folders


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"limit": 2.5}, ValueError, "limit must be a whole number"),
        ({"limit": -1}, ValueError, "limit must be.*at least 1, not -1"),
        ({"limit": 0}, ValueError, "limit must be.*at least 1, not 0"),
        ({"seed": None}, TypeError, "seed must be a whole number, not None"),
        ({"seed": 1.5}, TypeError, "seed must be a whole number, not 1.5"),
        ({"n_jobs": 0}, ValueError, "n_jobs must be a number of processes"),
        ({"n_jobs": "2"}, ValueError, "n_jobs must be.*not '2'"),
        ({"n_jobs": 1.0}, ValueError, "n_jobs must be.*not 1.0"),
        ({"out": ""}, ValueError, "would fill the current folder"),
        ({"out": 5}, TypeError, "out must be a path, not 5"),
        ({"statistics": "froze"}, ValueError, "unknown statistics"),
    ],
)
def test_wrong_numbers_are_refused(options, kind, says):
    with pytest.raises(kind, match=says):
        small(**options)
    with pytest.raises(kind, match=says):
        cost(net(), CE, (X, Y), resolution=3, **options)


@pytest.mark.parametrize("options", [{"limit": 2.5}, {"seed": None}])
def test_wrong_numbers_of_lines_are_refused(options):
    with pytest.raises((ValueError, TypeError), match="whole number"):
        line(net(), "random", CE, (X, Y), **options)


def test_numbers_of_numpy_will_do():
    s = small(seed=np.int64(3), limit=np.int64(8))
    assert s.provenance.seed == 3
    assert s.provenance.n_samples == 8


@pytest.mark.parametrize("make", [Recorder, Store, lambda p: small(out=p)])
def test_folders_that_are_none_are_refused(make, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(NotADirectoryError, match="is a file; give a folder"):
        make(file)
    with pytest.raises(NotADirectoryError, match="below a file"):
        make(file / "run")
    with pytest.raises(ValueError, match="current folder"):
        make("")


def test_frozen_is_another_word_for_eval(tmp_path):
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    model(torch.randn(32, 4))
    want = small(model, statistics="eval", out=tmp_path / "s")
    got = small(model, statistics="frozen", out=tmp_path / "s")
    np.testing.assert_array_equal(got.losses, want.losses)
    assert got.provenance.notes["statistics"] == "eval"
    one = line(model, "random", CE, (X, Y), resolution=3, statistics="frozen")
    assert one.provenance.notes["statistics"] == "eval"
    assert cost(model, CE, (X, Y), resolution=3, statistics="frozen").points


# What is refused leaves everything as it was


def test_a_refusal_leaves_the_model_in_its_mode():
    model = net().train()
    before = torch.random.get_rng_state()
    with pytest.raises(TypeError):
        small(model, data=(X.double(), Y))
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), before)
