"""``dldna landscape``: the loss around a network, in one command."""

import argparse
from argparse import SUPPRESS
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from dldna.checks import choice, need
from dldna.cli import arguments, shared_words

EXPORTS = ("html", "ply", "vtp", "vti", "csv", "vtk")
EPILOG = """
examples:
  dldna landscape mlp net.pth --data digits
  dldna landscape resnet50 net.pth --data CIFAR10 --grid 25 --plan
  dldna landscape resnet50 net.pth --data CIFAR10 --grid 25 --budget 30m
  dldna landscape mlp run/ --data FashionMNIST --directions pca
  dldna landscape mlp a.pth b.pth c.pth --data digits \\
      --directions checkpoints --extent -0.5:1.5
  dldna landscape my_nets.py:make net.pth --data my_data.py:batches
  dldna landscape hf:my_folder --data my_data.py:batches --limit 64
  dldna landscape timm:resnet18 net.pth --data CIFAR10 --plan

The same command goes on where a stopped one ended.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Give the parser this command's words."""
    from dldna.landscape import DIRECTIONS

    parser.epilog = EPILOG
    shared_words.add_words(parser)
    put = parser.add_argument
    put(
        "checkpoints", nargs="*", type=Path, default=[],
        help="files or folders; the plane goes through the first (pca: "
        "files, their folder or a recorded run; through the last)",
    )  # fmt: skip
    put(
        "--directions", default="random",
        help=f"{', '.join(DIRECTIONS)}; or two, as gradient,random "
        "(default: %(default)s)",
    )  # fmt: skip
    put("--grid", type=arguments.grid, default=41, help="41 or 40x25")
    put(
        "--extent", type=arguments.extent,
        help="1, -0.5:1.5, -1:1,-2:2, or path (default: 1; for pca: path)",
    )  # fmt: skip
    put(
        "--budget", type=arguments.budget, default=(None, None),
        help="90s, 5m, 2h or 500points for this call",
    )  # fmt: skip
    put(
        "--out", type=Path, default=Path("landscape"),
        help="folder for tiles and results (default: %(default)s)",
    )  # fmt: skip
    put("--plan", action="store_true", help="only print what it would cost")
    put(
        "--statistics", default=None,
        help="batch norm: eval (or frozen), train, recalibrate, interpolate",
    )  # fmt: skip
    put("--dtype", help="float32, float64 or bfloat16 (default: the model's)")
    put("--way", default="auto", help="how points are evaluated")
    for old, new in {"--precision": "--dtype", "--path": "--way"}.items():
        put(old, dest=new[2:], action=arguments.Renamed, help=SUPPRESS)
    put("--metrics", default=None, help="as accuracy; '' for none")
    put("--orthogonal", action="store_true", help="perpendicular directions")
    put("--jobs", type=int, help="processes (needs joblib)")
    put("--dask", metavar="ADDRESS", help="scheduler of a dask cluster")
    put(
        "--export", nargs="*", default=["html"], metavar="FORMAT",
        help=f"{', '.join(EXPORTS)} beside npz (default: html)",
    )  # fmt: skip
    put("--scale", default="linear", help="of exports: linear, log, clip")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Evaluate, report and export."""
    from dldna.landscape import cost, surface

    _check(given)
    model, data, name, _ = shared_words.opened(given)
    centre, options = _place(model, given)
    seconds, points = given.budget
    call = {
        "model": centre.to(given.device),
        "loss_fn": shared_words.loss_of(given.loss),
        "data": data,
        "directions": arguments.directions(given.directions),
        "resolution": given.grid,
        "budget_s": seconds,
        "budget_points": points,
        "out": given.out,
        "seed": given.seed,
        "metrics": _metrics(given),
        "statistics": given.statistics,
        "dtype": given.dtype,
        "way": given.way,
        "limit": given.limit,
        "params": given.params,
        "orthogonal": given.orthogonal,
        "n_jobs": given.jobs,
        "data_name": name,
        **options,
    }
    if given.plan:
        print(cost(**call))
        return 0
    with _cluster(given.dask):
        record = surface(**call)
    written = [given.out / "surface.npz", *_export(record, given)]
    print(record.report())
    print("\nwritten:", ", ".join(str(p) for p in written))
    if not record.evaluated.all():
        print("not all points are done; the same command goes on")
    return 0


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Send tiles to a dask cluster, where an address is given."""
    if address is None:
        yield
        return
    joblib = need("joblib", "cluster", "a dask cluster")
    distributed = need("distributed", "cluster", "a dask cluster")
    with distributed.Client(address), joblib.parallel_config("dask"):
        yield


def _check(given: argparse.Namespace) -> None:
    """What can be refused before anything is loaded."""
    from dldna.export.height_scales import SCALES

    for wish in given.export:
        choice("export format", wish, EXPORTS)
    choice("scale", given.scale, SCALES)
    shared_words.check_words(given)
    if given.out.exists() and not given.out.is_dir():
        raise NotADirectoryError(f"--out {given.out} is a file")


def _place(model: nn.Module, given) -> tuple[nn.Module, dict[str, Any]]:
    """Load what was given; say where the centre is and what is around."""
    from dldna.landscape.space.checkpoints import read_checkpoint

    ways = arguments.directions(given.directions)
    ways = [ways] if isinstance(ways, str) else list(ways)
    if "pca" in ways:
        trajectory = _trajectory(model, given)
        extent = "path" if given.extent is None else given.extent
        options = {"trajectory": trajectory, "extent": extent}
        return trajectory.final(model), options
    files = given.checkpoints
    for file in files:
        if (file / "meta.json").exists():
            raise ValueError(
                f"{file} is a recorded run: give --directions pca"
            )
    shared_words.load_checkpoint(model, files[0] if files else None, given)
    others = []
    if "checkpoints" in ways:
        if len(files) != 3:
            raise ValueError(
                "--directions checkpoints needs three checkpoint files: the "
                f"centre and two others; {len(files)} given"
            )
        others = [read_checkpoint(f, given.key) for f in files[1:]]
    elif len(files) > 1:
        raise ValueError(
            f"{len(files)} checkpoints were given; several belong to "
            "--directions checkpoints or pca"
        )
    extent = 1.0 if given.extent is None else given.extent
    return model, {"others": others, "extent": extent}


def _trajectory(model: nn.Module, given):
    from dldna.landscape import Trajectory
    from dldna.landscape.space.checkpoints import checkpoints_in

    if not given.checkpoints:
        raise ValueError(
            "--directions pca needs the folder of a recorded run, or "
            "checkpoint files"
        )
    first = given.checkpoints[0]
    if len(given.checkpoints) == 1 and (first / "meta.json").exists():
        return Trajectory(first)
    files = checkpoints_in(given.checkpoints)
    home = given.out / "trajectory"
    return Trajectory.collect(files, home, model, True, given.key)


def _metrics(given: argparse.Namespace) -> tuple[str, ...]:
    if given.metrics is None:
        return ("accuracy",) if given.loss == "cross_entropy" else ()
    return tuple(m for m in given.metrics.split(",") if m)


def _export(record: Any, given: argparse.Namespace) -> list[Path]:
    from dldna.files import write_atomic

    text = (record.report() + "\n").encode()
    written = [write_atomic(given.out / "report.txt", lambda f: f.write(text))]
    for wish in given.export:
        file = given.out / f"surface.{wish}"
        if wish == "html":
            written.append(record.to_html(file))
        elif wish in ("ply", "vtp", "vtk"):
            write = getattr(record, f"to_{wish}")
            written += write(file, given.scale)
        else:
            written += getattr(record, f"to_{wish}")(file)
    return written
