"""The record of losses on a plane, and what it can be written as."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from dldna import checks, export
from dldna.files import write_atomic
from dldna.records.base import Provenance, Record
from dldna.records.li_h5 import read_surface


def _write_text(path: str | Path, text: str) -> Path:
    return write_atomic(path, lambda f: f.write(text.encode()))


def _beside(path: str | Path) -> Path:
    path = Path(path)
    return path.with_name(f"{path.stem}_path{path.suffix}")


@dataclass(frozen=True, eq=False)
class Surface(Record):
    """Losses on a plane through parameter space.

    The point (alpha, beta) is ``centre + alpha * d1 + beta * d2``.

    Args:
        alphas: (A,) coordinates along the first direction; 0 is among them.
        betas: (B,) coordinates along the second; 0 is among them.
        losses: (A, B) mean loss in float64; ``losses[i, j]`` belongs to
            ``(alphas[i], betas[j])``. NaN and inf are kept.
        evaluated: (A, B) which points have been computed.
        centre_loss: the loss at the centre, evaluated directly.
        metrics: further values by name, each (A, B).
        directions: how each direction was chosen, for people.
        way: how the points were evaluated; empty if not known.
        path_coords: (T, 2) a trajectory's projections, or (0, 2).
        path_losses: (T,) the true losses of its checkpoints, or (0,).
        path_projected: (T,) the losses at their projections, or (0,).
        path_distance: (T,) how far they lie off the plane, or (0,).
        provenance: where it came from.
    """

    alphas: np.ndarray
    betas: np.ndarray
    losses: np.ndarray
    evaluated: np.ndarray
    centre_loss: float
    metrics: dict[str, np.ndarray] = field(default_factory=dict)
    directions: list[str] = field(default_factory=list)
    way: str = ""
    path_coords: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    path_losses: np.ndarray = field(default_factory=lambda: np.zeros(0))
    path_projected: np.ndarray = field(default_factory=lambda: np.zeros(0))
    path_distance: np.ndarray = field(default_factory=lambda: np.zeros(0))
    provenance: Provenance = field(default_factory=Provenance)

    FORMER: ClassVar[dict[str, str]] = {"path": "way"}
    path = checks.former("way")

    def report(self) -> str:
        """Say in plain words how far to trust this surface."""
        return export.report(self)

    def to_html(self, path: str | Path) -> Path:
        """Write one page that opens in any browser, without a network.

        Args:
            path: the file.

        Returns:
            The path written.
        """
        names = [*self.directions, "", ""]
        text = export.page(
            self.alphas,
            self.betas,
            self.losses,
            evaluated=self.evaluated,
            metrics=self.metrics,
            axes=(names[0], names[1]),
            path_coords=self.path_coords,
            path_losses=self.path_losses,
            path_projected=self.path_projected,
            title=self._title(),
            words=self.report(),
        )
        return _write_text(path, text)

    def to_ply(self, path: str | Path, scale: str = "linear") -> list[Path]:
        """Write triangles for MeshLab, Blender or trimesh.

        Args:
            path: the file. A trajectory goes beside it, as edges, into
                ``NAME_path.ply``.
            scale: "linear", "log" or "clip"; a comment in the file says
                which, and no point is left out.

        Returns:
            The paths written.
        """
        h = export.heights(self.losses, scale)
        lines = [self._title(), *self.directions]
        text = export.surface_ply(self.alphas, self.betas, h, lines)
        written = [_write_text(path, text)]
        if len(self.path_coords):
            lift = export.lift(self.alphas, self.betas)
            text = export.path_ply(
                self.path_coords, self._path_heights(), h, lift, lines
            )
            written.append(_write_text(_beside(path), text))
        return written

    def to_vtp(self, path: str | Path, scale: str = "linear") -> list[Path]:
        """Write triangles with losses and metrics, for ParaView.

        Args:
            path: the file, ``NAME.vtp``. A trajectory goes into
                ``NAME_path.vtp``.
            scale: of the heights; the array ``loss`` is unchanged.

        Returns:
            The paths written.
        """
        h = export.heights(self.losses, scale)
        text = export.surface_vtp(
            self.alphas, self.betas, self.losses, h,
            self._metrics_beside({"loss", "finite"}), self._title(),
        )  # fmt: skip
        written = [_write_text(path, text)]
        if len(self.path_coords):
            lift = export.lift(self.alphas, self.betas)
            text = export.path_vtp(
                self.path_coords, self._path_heights(), h, lift
            )
            written.append(_write_text(_beside(path), text))
        return written

    def to_vtk(self, path: str | Path, scale: str = "linear") -> list[Path]:
        """:meth:`to_vtp` by its former name; ``.vtk`` becomes ``.vtp``."""
        path = Path(path)
        legacy = path.suffix == ".vtk"
        return self.to_vtp(path.with_suffix(".vtp") if legacy else path, scale)

    def to_vti(self, path: str | Path) -> list[Path]:
        """Write losses and metrics as an image, flat, for ParaView.

        Args:
            path: the file, ``NAME.vti``.

        Returns:
            The paths written.

        Raises:
            ValueError: the grid is not evenly spaced.
        """
        text = export.surface_vti(
            self.alphas, self.betas, self.losses,
            self._metrics_beside({"loss", "finite"}), self._title(),
        )  # fmt: skip
        return [_write_text(path, text)]

    def to_csv(self, path: str | Path) -> list[Path]:
        """Write one row for each point: alpha, beta, loss, metrics.

        Args:
            path: the file. A trajectory goes into ``NAME_path.csv``.

        Returns:
            The paths written.
        """
        alpha, beta = np.meshgrid(self.alphas, self.betas, indexing="ij")
        columns = {"alpha": alpha, "beta": beta, "loss": self.losses}
        columns |= {"evaluated": self.evaluated}
        columns |= self._metrics_beside(columns)
        columns = {k: np.ravel(v) for k, v in columns.items()}
        written = [_write_text(path, export.columns_csv(columns))]
        if len(self.path_coords):
            text = export.columns_csv(self._path_columns())
            written.append(_write_text(_beside(path), text))
        return written

    def to_xarray(self) -> Any:
        """The surface as an ``xarray.Dataset``.

        Returns:
            ``loss``, ``evaluated`` and the metrics over ``alpha`` and
            ``beta``; a trajectory's columns over ``checkpoint``; the
            directions, the loss at the centre and the provenance (as JSON)
            among the attributes.

        Raises:
            ImportError: xarray is not installed (extra ``formats``).
        """
        xarray = checks.need("xarray", "formats", "to_xarray()")
        grid = {"loss": self.losses, "evaluated": self.evaluated}
        grid |= self._metrics_beside({"alpha", "beta", *grid})
        data = {k: (("alpha", "beta"), v) for k, v in grid.items()}
        if len(self.path_coords):
            data |= {
                f"path_{k}": ("checkpoint", v)
                for k, v in self._path_columns().items()
            }
        return xarray.Dataset(
            data,
            {"alpha": self.alphas, "beta": self.betas},
            {
                "title": self._title(),
                "directions": list(self.directions),
                "centre_loss": self.centre_loss,
                "way": self.way,
                "provenance": json.dumps(vars(self.provenance)),
            },
        )

    @classmethod
    def from_h5(cls, path: str | Path, loss: str = "train_loss") -> Self:
        """Read a surface that the code of Li et al. wrote.

        Args:
            path: the surface's HDF5 file, with ``xcoordinates``,
                ``ycoordinates`` and the losses.
            loss: the data set with the losses, such as "test_loss"; the
                others become metrics, accuracies as fractions.

        Returns:
            The surface; what was never calculated (-1 there) is NaN, and
            not ``evaluated``.

        Raises:
            ImportError: h5py is not installed (extra ``formats``).
            ValueError: the file holds no such surface.

        References:
            Li, Xu, Taylor, Studer, Goldstein, "Visualizing the loss
            landscape of neural nets", NeurIPS 2018, arXiv 1712.09913.
        """
        return cls(**read_surface(path, loss))

    def _path_columns(self) -> dict[str, np.ndarray]:
        """What is known of the trajectory, by name."""
        found = dict(zip(("alpha", "beta"), self.path_coords.T, strict=True))
        rest = {
            "loss": self.path_losses,
            "projected": self.path_projected,
            "distance": self.path_distance,
        }
        count = len(self.path_coords)
        return found | {k: v for k, v in rest.items() if len(v) == count}

    def _metrics_beside(self, own: Iterable[str]) -> dict[str, np.ndarray]:
        """The metrics, renamed where a file keeps its own by their name."""
        return {
            f"metric {k}" if k in own else k: v
            for k, v in self.metrics.items()
        }

    def _title(self) -> str:
        about = [self.provenance.model, self.provenance.data]
        named = ", ".join(a for a in about if a)
        return f"Loss surface of {named}" if named else "Loss surface"

    def _path_heights(self) -> np.ndarray:
        if len(self.path_losses) == len(self.path_coords):
            return self.path_losses
        return np.full(len(self.path_coords), self.centre_loss)


Surface.__init__ = checks.renamed(path="way")(Surface.__init__)
