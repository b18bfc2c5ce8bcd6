"""Where names stood before: their old paths go on working.

A module that was moved is one module under both paths. The paths of the
published chapters hold the names in print, and no work of their own. Nothing
is imported before it is asked for.
"""

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODULES = {
    "published.keep": "published.ownership",
    "published.running": "published.timed_training",
    "published.watch": "published.measurements",
    "published.data": "published.loaders",
    "published.checkpoints": "published.saved_networks",
    "published.curves": "published.result_curves",
    "published.lines": "published.interpolation",
    "published.surfaces": "published.loss_surface",
    "published.wells": "published.gaussian_loss_surface",
    "published.dynamics": "published.train_dynamics",
    "published.weights": "published.weight_embedding",
    "published.schemes": "published.init_schemes",
    "published.analysis": "published.init_analysis",
    "published.modern": "published.modern_optimizers",
    "plotting.curves": "plotting.training_curves",
    "plotting.lines": "plotting.loss_lines",
    "plotting.walks": "plotting.optimizer_walks",
    "plotting.space": "plotting.plotly_surface",
    "plotting.show": "plotting.accessible",
    "plotting.motion": "plotting.learning_dynamics",
    "plotting.playground_page": "pages.playground_page",
    "plotting.widget": "pages.widget",
    "export.report": "export.reliability",
    "export.scales": "export.height_scales",
    "export.vtk": "export.vtk_xml",
    "init.blocks": "init.weight_matrices",
    "init.report": "init.init_report",
    "init.spectra": "init.weight_spectra",
    "init.computed": "init.parametrized",
    "init.default": "init.torch_layers",
    "init.negative": "init.counterexamples",
    "init.lab": "init.propagation_grid",
    "optim.base": "optim.base_optimizer",
    "optim.network": "optim.whole_network",
    "optim.layout": "optim.state_dicts",
    "optim.layerwise": "optim.layer_adaptive",
    "optim.scaling": "optim.grad_scaler",
    "optim.table": "optim.registry",
    "optim.memory": "optim.memory_use",
    "training.stacked": "training.ensemble",
    "training.run": "training.run_state",
    "training.statistics.choose": "training.statistics.rate_selection",
    "training.statistics.many": "training.statistics.all_pairs",
    "training.statistics.letters": "training.statistics.letter_display",
    "exercises.kinds": "exercises.answer_kinds",
    "landscape.checkpoints": "landscape.space.checkpoints",
    "landscape.connectivity": "landscape.curves",
    "landscape.directions": "landscape.space.directions",
    "landscape.grid": "landscape.scan.grid",
    "landscape.identity": "landscape.scan.fingerprint",
    "landscape.inputs": "landscape.scan.options",
    "landscape.locking": "landscape.scan.locking",
    "landscape.normalise": "landscape.space.normalise",
    "landscape.null": "landscape.paths.null",
    "landscape.plane": "landscape.space.plane",
    "landscape.probe": "landscape.scan.truth",
    "landscape.recorder": "landscape.paths.recorder",
    "landscape.remember": "landscape.space.stored",
    "landscape.running": "landscape.scan.scan",
    "landscape.samples": "landscape.shape.samples",
    "landscape.scales": "landscape.shape.scales",
    "landscape.store": "landscape.scan.store",
    "landscape.topology": "landscape.shape.topology",
    "landscape.trajectory": "landscape.paths.trajectory",
    "landscape.two_weights": "landscape.slice",
    "landscape.weight_space": "landscape.paths.weight_space",
    "landscape.wells": "landscape.shape.wells",
    "landscape.workers": "landscape.scan.pool",
}
"""Old and new path of each module that was moved, below ``dldna``."""

IN_PRINT = {
    "chapter_04.models.base": {"models": "SimpleNetwork"},
    "chapter_04.utils.data": {
        "published.loaders": "get_data_loaders get_dataset get_device",
    },
    "chapter_04.utils.metrics": {
        "published.saved_networks": "load_model load_models_by_pattern",
    },
    "chapter_04.experiments.model_training": {
        "published.model_training": "train_model",
    },
    "chapter_05.initialization.base": {
        "published.init_schemes": "init_methods init_weights_lecun "
        "init_weights_lmomentum init_weights_scaled_orthogonal",
    },
    "chapter_05.initialization.analysis": {
        "published.init_analysis": "analyze_initialization "
        "create_detailed_analysis_table",
    },
    "chapter_05.optimizers.basic": {
        "published.optimizers": "SGD AdaGrad Adam AdamW BaseOptimizer",
    },
    "chapter_05.optimizers.advanced": {
        "published.modern_optimizers": "AdaFactor Lion Sophia",
    },
    "chapter_05.experiments.basic": {
        "published.experiments": "run_basic_experiment",
    },
    "chapter_05.experiments.advanced": {
        "published.arena": "run_advanced_experiment",
    },
    "chapter_05.visualization.optimization": {
        "published.result_curves": "plot_training_results",
    },
    "chapter_05.visualization.loss_surface": {
        "published.interpolation": "linear_interpolation "
        "visualize_linear_interpolation",
        "published.loss_surface": "analyze_loss_surface_multiscale "
        "hessian_eigenvectors visualize_loss_surface xy_perturb_loss",
        "published.weight_embedding": "analyze_weight_space "
        "visualize_weight_space",
    },
    "chapter_05.visualization.gaussian_loss_surface": {
        "published.gaussian_loss_surface": "get_opt_params "
        "train_loss_surface visualize_gaussian_fit "
        "visualize_optimization_path",
    },
    "chapter_05.visualization.train_dynamics": {
        "published.train_dynamics": "visualize_training_dynamics",
    },
}
"""The published chapters' paths: where the names that each holds stand."""

NAMES = {
    "graph.Graph": "graph.ComputationalGraph",
    "init.Block": "init.WeightMatrix",
    "plotting.PLAYERS": "pages.PLAYERS",
    "plotting.Widget": "pages.Widget",
    "plotting.init_lab": "pages.init_lab",
    "plotting.player": "pages.player",
    "plotting.playground": "pages.playground",
}
"""Old and new name of what was renamed in a package, or left it."""

_PACKAGES = {path.rpartition(".")[0] for path in IN_PRINT}


class OldPaths:
    """A finder of modules, asked where there is no file."""

    @staticmethod
    def find_spec(name: str, path=None, target=None) -> ModuleSpec | None:
        """The module that an old path leads to, if it is one."""
        home, _, old = name.partition(".")
        if home != "dldna" or old not in {*MODULES, *IN_PRINT, *_PACKAGES}:
            return None
        return ModuleSpec(name, OldPaths, is_package=old in _PACKAGES)

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """A new, empty module, as for any file."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Put the moved module in its place, or the names in print."""
        old = module.__name__.removeprefix("dldna.")
        if old in MODULES:
            sys.modules[module.__name__] = _module(MODULES[old])
            return
        module.__doc__ = "A path in print; the work stands elsewhere."
        found = {
            name: getattr(_module(home), name)
            for home, names in IN_PRINT.get(old, {}).items()
            for name in names.split()
        }
        vars(module).update(found)
        module.__all__ = sorted(found)


def _module(path: str) -> ModuleType:
    return importlib.import_module(f"dldna.{path}")


def former(package: str) -> Callable[[str], Any]:
    """A package's ``__getattr__``, which knows what its names were.

    Args:
        package: its full name.

    Example:
        >>> from dldna import init
        >>> init.Block.__name__
        'WeightMatrix'
    """

    def find(name: str) -> Any:
        old = f"{package}.{name}".removeprefix("dldna.")
        if old not in NAMES:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}",
                name=name,
                obj=sys.modules[package],
            )
        home, _, new = NAMES[old].rpartition(".")
        return getattr(_module(home), new)

    return find


def alias(package: str) -> None:
    """Let a package's old paths lead on without a search.

    A search would bind the old module's name in its package, where a
    function bears it now.

    Args:
        package: full name of a package that has imported its modules.

    Example:
        >>> from dldna import plotting
        >>> from dldna.plotting.show import table_html
        >>> table_html.__module__, plotting.show.__name__
        ('dldna.plotting.accessible', 'show')
    """
    for old, new in MODULES.items():
        both = {f"dldna.{path}".rpartition(".")[0] for path in (old, new)}
        if both == {package}:
            sys.modules.setdefault(f"dldna.{old}", _module(new))


if OldPaths not in sys.meta_path:
    sys.meta_path.append(OldPaths)
