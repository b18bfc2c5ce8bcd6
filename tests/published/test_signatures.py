"""Names, arguments and defaults are those that notebooks call."""

import importlib
import inspect

import pytest

NONE = inspect.Parameter.empty
PUBLISHED = {
    "chapter_04.models.base.SimpleNetwork": {
        "act_func": NONE, "input_shape": 784, "num_labels": 10,
        "hidden_shape": [256, 192, 128, 64], "no_act": False,
    },
    "chapter_04.utils.data.get_device": {},
    "chapter_04.utils.data.get_data_loaders": {
        "dataset": "FashionMNIST", "batch_size": 128,
    },
    "chapter_04.utils.data.get_dataset": {"dataset": "FashionMNIST"},
    "chapter_04.utils.metrics.load_model": {
        "model_file": NONE, "path": ..., "device": None,
    },
    "chapter_04.utils.metrics.load_models_by_pattern": {
        "model_dir": "tmp/models", "activation_types": None, "epochs": None,
    },
    "chapter_04.experiments.model_training.train_model": {
        "model": NONE, "train_loader": NONE, "test_loader": NONE,
        "device": ..., "optimizer": None, "epochs": 15, "batch_size": 128,
        "save_dir": "./tmp/models", "retrain": True, "save_epochs": None,
    },
    "chapter_05.initialization.base.init_weights_lecun": {"tensor": NONE},
    "chapter_05.initialization.analysis.analyze_initialization": {
        "model_class": NONE, "init_methods": NONE, "train_loader": NONE,
        "test_loader": NONE, "epochs": 3, "batch_size": 256,
        "device": "cuda",
    },
    "chapter_05.initialization.analysis.create_detailed_analysis_table": {
        "results": NONE,
    },
    "chapter_05.optimizers.basic.BaseOptimizer": {"params": NONE, "lr": NONE},
    "chapter_05.optimizers.basic.SGD": {
        "params": NONE, "lr": NONE, "maximize": False, "momentum": 0.0,
        "weight_decay": 0.0,
    },
    "chapter_05.optimizers.basic.Adam": {
        "params": NONE, "lr": NONE, "beta1": 0.9, "beta2": 0.999,
        "eps": 1e-8,
    },
    "chapter_05.optimizers.basic.AdaGrad": {
        "params": NONE, "lr": 1e-2, "eps": 1e-10,
    },
    "chapter_05.optimizers.basic.AdamW": {"params": NONE},
    "chapter_05.optimizers.advanced.Lion": {
        "params": NONE, "lr": 1e-4, "betas": (0.9, 0.99),
        "weight_decay": 0.0,
    },
    "chapter_05.optimizers.advanced.Sophia": {
        "params": NONE, "lr": 1e-3, "betas": (0.965, 0.99), "rho": 0.04,
        "weight_decay": 0.0, "k": 10,
    },
    "chapter_05.optimizers.advanced.AdaFactor": {"params": NONE},
    "chapter_05.experiments.basic.run_basic_experiment": {
        "optimizer_class": NONE, "train_loader": NONE, "test_loader": NONE,
        "config": NONE, "device": NONE, "epochs": 30, "gpu_id": 0,
    },
    "chapter_05.experiments.advanced.run_advanced_experiment": {
        "optimizer_class": NONE, "model_type": NONE, "train_loader": NONE,
        "test_loader": NONE, "config": NONE, "device": NONE, "epochs": 50,
        "gpu_id": 0,
    },
    "chapter_05.visualization.optimization.plot_training_results": {
        "results": NONE, "metrics": None, "mode": "all",
        "title": "Training Results",
    },
    "chapter_05.visualization.loss_surface.linear_interpolation": {
        "model1": NONE, "model2": NONE, "data_loader": NONE,
        "loss_func": NONE, "device": NONE, "num_points": 50,
    },
    "chapter_05.visualization.loss_surface.visualize_linear_interpolation": {
        "alphas": NONE, "losses": NONE, "accuracies": NONE, "title": NONE,
        "size": (8, 6),
    },
    "chapter_05.visualization.loss_surface.analyze_weight_space": {
        "models": NONE, "labels": NONE, "method": "pca", "perplexity": 30,
    },
    "chapter_05.visualization.loss_surface.visualize_weight_space": {
        "embedded_weights": NONE, "labels": NONE, "method": "PCA",
        "size": (6, 4),
    },
    "chapter_05.visualization.loss_surface.hessian_eigenvectors": {
        "model": NONE, "loss_func": NONE, "data_loader": NONE, "top_n": 2,
        "is_cuda": False,
    },
    "chapter_05.visualization.loss_surface.xy_perturb_loss": {
        "model": NONE, "top_eigenvectors": NONE, "data_loader": NONE,
        "loss_func": NONE, "device": NONE, "lambda1": NONE, "lambda2": NONE,
    },
    "chapter_05.visualization.loss_surface.visualize_loss_surface": {
        "data": NONE, "act_name": NONE, "color": NONE, "size": 6,
        "alpha": 0.7, "levels": 20, "plot_3d": False,
    },
    "chapter_05.visualization.loss_surface.analyze_loss_surface_multiscale": {
        "model": NONE, "data_loader": NONE, "loss_func": NONE,
        "device": NONE,
    },
    "chapter_05.visualization.gaussian_loss_surface.get_opt_params": {
        "x": NONE, "y": NONE, "z": NONE,
    },
    "chapter_05.visualization.gaussian_loss_surface.train_loss_surface": {
        "optim_func": NONE, "init_weights": NONE, "num_iter": NONE,
        "gaussian_params": NONE,
    },
    "chapter_05.visualization.gaussian_loss_surface."
    "visualize_optimization_path": {
        "x": NONE, "y": NONE, "z": NONE, "popt": NONE, "offset": NONE,
        "optimizers_points": NONE, "act_name": NONE, "d_min": -1,
        "d_max": 1, "d_num": 30,
    },
    "chapter_05.visualization.train_dynamics.visualize_training_dynamics": {
        "model": NONE, "optimizer": NONE, "train_loader": NONE,
        "loss_func": NONE, "num_epochs": NONE, "device": NONE,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_call_fits(name):
    module, _, function = name.rpartition(".")
    found = getattr(importlib.import_module(f"dldna.{module}"), function)
    mine = inspect.signature(found).parameters
    wanted = PUBLISHED[name]
    # The published arguments come first and in order, so that a call by
    # position means the same; what is ours has a default.
    assert list(mine)[: len(wanted)] == list(wanted)
    for key, default in wanted.items():
        if default is ...:
            continue
        got = mine[key].default
        assert (list(got) if isinstance(default, list) else got) == default
    for key in list(mine)[len(wanted) :]:
        assert mine[key].default is not NONE


@pytest.mark.parametrize(
    "module",
    sorted({name.rpartition(".")[0] for name in PUBLISHED}),
)
def test_a_module_says_where_the_real_thing_stands(module):
    doc = importlib.import_module(f"dldna.{module}").__doc__
    assert "dldna." in doc
