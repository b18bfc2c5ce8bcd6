"""What version 0.1 took: its functions, their arguments and defaults."""

from typing import Any

REQUIRED, ABSENT = "required", "-"
SPAN = "40 numbers from -1 to 1"
_EXPERIMENT: dict[str, Any] = {
    "train_loader": REQUIRED,
    "test_loader": REQUIRED,
    "config": REQUIRED,
    "device": REQUIRED,
}
_LINE = "chapter_05.visualization.loss_surface."
_WELL = "chapter_05.visualization.gaussian_loss_surface."

SIGNATURES: dict[str, dict[str, Any]] = {
    "chapter_04.models.base.SimpleNetwork": {
        "act_func": REQUIRED, "input_shape": 784, "num_labels": 10,
        "hidden_shape": [256, 192, 128, 64], "no_act": False,
    },
    "chapter_04.utils.data.get_device": {},
    "chapter_04.utils.data.get_data_loaders": {
        "dataset": "FashionMNIST", "batch_size": 128,
    },
    "chapter_04.utils.data.get_dataset": {"dataset": "FashionMNIST"},
    "chapter_04.utils.metrics.load_model": {
        "model_file": REQUIRED, "path": REQUIRED, "device": None,
    },
    "chapter_04.utils.metrics.load_models_by_pattern": {
        "model_dir": "tmp/models", "activation_types": None, "epochs": None,
    },
    "chapter_04.experiments.model_training.train_model": {
        "model": REQUIRED, "train_loader": REQUIRED, "test_loader": REQUIRED,
        "device": REQUIRED, "optimizer": None, "epochs": 15,
        "batch_size": 128, "save_dir": "./tmp/models", "retrain": True,
        "save_epochs": None,
    },
    "chapter_05.initialization.base.init_weights_lecun": {
        "tensor": REQUIRED,
    },
    "chapter_05.initialization.base.init_weights_scaled_orthogonal": {
        "tensor": REQUIRED,
    },
    "chapter_05.initialization.base.init_weights_lmomentum": {
        "tensor": REQUIRED, "alpha": 0.81,
    },
    "chapter_05.initialization.analysis.analyze_initialization": {
        "model_class": REQUIRED, "init_methods": REQUIRED,
        "train_loader": REQUIRED, "test_loader": REQUIRED, "epochs": 3,
        "batch_size": 256, "device": "cuda",
    },
    "chapter_05.initialization.analysis.create_detailed_analysis_table": {
        "results": REQUIRED,
    },
    "chapter_05.optimizers.basic.BaseOptimizer": {
        "params": REQUIRED, "lr": REQUIRED,
    },
    "chapter_05.optimizers.basic.SGD": {
        "params": REQUIRED, "lr": REQUIRED, "maximize": False,
        "momentum": 0.0, "weight_decay": 0.0,
    },
    "chapter_05.optimizers.basic.Adam": {
        "params": REQUIRED, "lr": REQUIRED, "beta1": 0.9, "beta2": 0.999,
        "eps": 1e-8,
    },
    "chapter_05.optimizers.basic.AdaGrad": {
        "params": REQUIRED, "lr": 1e-2, "eps": 1e-10,
    },
    "chapter_05.optimizers.basic.AdamW": {
        "params": REQUIRED, "lr": REQUIRED, "beta1": 0.9, "beta2": 0.999,
        "eps": 1e-8, "weight_decay": 0.0, "maximize": False,
    },
    "chapter_05.optimizers.advanced.Lion": {
        "params": REQUIRED, "lr": 1e-4, "betas": (0.9, 0.99),
        "weight_decay": 0.0,
    },
    "chapter_05.optimizers.advanced.Sophia": {
        "params": REQUIRED, "lr": 1e-3, "betas": (0.965, 0.99), "rho": 0.04,
        "weight_decay": 0.0, "k": 10,
    },
    "chapter_05.experiments.basic.run_basic_experiment": {
        "optimizer_class": REQUIRED, **_EXPERIMENT, "epochs": 30, "gpu_id": 0,
    },
    "chapter_05.experiments.advanced.run_advanced_experiment": {
        "optimizer_class": REQUIRED, "model_type": REQUIRED, **_EXPERIMENT,
        "epochs": 50, "gpu_id": 0,
    },
    "chapter_05.visualization.optimization.plot_training_results": {
        "results": REQUIRED, "metrics": None, "mode": "all",
        "title": "Training Results",
    },
    _LINE + "linear_interpolation": {
        "model1": REQUIRED, "model2": REQUIRED, "data_loader": REQUIRED,
        "loss_func": REQUIRED, "device": REQUIRED, "num_points": 50,
    },
    _LINE + "visualize_linear_interpolation": {
        "alphas": REQUIRED, "losses": REQUIRED, "accuracies": REQUIRED,
        "title": REQUIRED, "size": (8, 6),
    },
    _LINE + "analyze_weight_space": {
        "models": REQUIRED, "labels": REQUIRED, "method": "pca",
        "perplexity": 30,
    },
    _LINE + "visualize_weight_space": {
        "embedded_weights": REQUIRED, "labels": REQUIRED, "method": "PCA",
        "size": (6, 4),
    },
    _LINE + "hessian_eigenvectors": {
        "model": REQUIRED, "loss_func": REQUIRED, "data_loader": REQUIRED,
        "top_n": 2, "is_cuda": False,
    },
    _LINE + "xy_perturb_loss": {
        "model": REQUIRED, "top_eigenvectors": REQUIRED,
        "data_loader": REQUIRED, "loss_func": REQUIRED, "device": REQUIRED,
        "lambda1": SPAN, "lambda2": SPAN,
    },
    _LINE + "visualize_loss_surface": {
        "data": REQUIRED, "act_name": REQUIRED, "color": REQUIRED, "size": 6,
        "alpha": 0.7, "levels": 20, "plot_3d": False,
    },
    _LINE + "analyze_loss_surface_multiscale": {
        "model": REQUIRED, "data_loader": REQUIRED, "loss_func": REQUIRED,
        "device": REQUIRED,
    },
    _WELL + "get_opt_params": {
        "x": REQUIRED, "y": REQUIRED, "z": REQUIRED,
    },
    _WELL + "visualize_gaussian_fit": {
        "x": REQUIRED, "y": REQUIRED, "z": REQUIRED, "popt": REQUIRED,
        "offset": REQUIRED, "d_min": REQUIRED, "d_max": REQUIRED,
        "d_num": REQUIRED, "figsize": (7, 7), "elev": 10, "azim": 100,
    },
    _WELL + "train_loss_surface": {
        "optim_func": REQUIRED, "init_weights": REQUIRED,
        "num_iter": REQUIRED, "gaussian_params": REQUIRED,
    },
    _WELL + "visualize_optimization_path": {
        "x": REQUIRED, "y": REQUIRED, "z": REQUIRED, "popt": REQUIRED,
        "offset": REQUIRED, "optimizers_points": REQUIRED,
        "act_name": REQUIRED, "d_min": -1, "d_max": 1, "d_num": 30,
    },
    "chapter_05.visualization.train_dynamics.visualize_training_dynamics": {
        "model": REQUIRED, "optimizer": REQUIRED, "train_loader": REQUIRED,
        "loss_func": REQUIRED, "num_epochs": REQUIRED, "device": REQUIRED,
    },
}  # fmt: skip
"""The arguments of version 0.1, in their order, with their defaults."""
