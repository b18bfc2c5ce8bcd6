"""``dldna page``: one page on a network, in one command."""

import argparse
from pathlib import Path
from typing import Any

import torch

from dldna.cli import arguments, library_models, shared_words
from dldna.progress import duration

SPLITS = {"train": "test", "test": "train"}
EPILOG = """
examples:
  dldna page mlp net.pth --data digits
  dldna page resnet20 net.pth --data CIFAR10 --budget 5m --out page.html
  dldna page cnn run/ --data clothes
  dldna page my_nets.py:make net.pth --data my_data.py:batches --budget 60

Several checkpoints, or a folder of them, are a series: the page is on the
last one and says what the series gives away.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Give the parser this command's words."""
    parser.epilog = EPILOG
    shared_words.add_words(parser)
    put = parser.add_argument
    put(
        "checkpoints", nargs="*", type=Path, default=[],
        help="a file; or several, or their folder, for a series",
    )  # fmt: skip
    put(
        "--budget", type=arguments.budget, default=(120.0, None),
        help="90s, 5m or 2h (default: 120s)",
    )  # fmt: skip
    put(
        "--out", type=Path, default=Path("page.html"),
        help="the file (default: %(default)s)",
    )  # fmt: skip
    put(
        "--save", type=Path, metavar="FOLDER",
        help="keep all numbers there, too",
    )  # fmt: skip
    put(
        "--statistics", default="eval",
        help="batch norm: eval (or frozen), train",
    )  # fmt: skip
    put("--dtype", help="float32 or float64 (default: the model's)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Measure, and write the page."""
    from dldna.model_page import page

    shared_words.check_words(given)
    seconds = given.budget[0]
    if seconds is None:
        raise ValueError("--budget of a page is a time: 90s, 5m or 2h")
    model, data, name, shape = shared_words.opened(given)
    others = {
        k: library_models.batches_for(model, v, given.loss)
        for k, v in _others(given, shape).items()
    }
    found = page(
        model.to(given.device),
        shared_words.loss_of(given.loss),
        data,
        checkpoints=_load(model, given),
        others=others,
        budget_s=seconds,
        out=given.out,
        seed=given.seed,
        params=given.params,
        dtype=given.dtype,
        statistics=given.statistics,
        limit=given.limit,
        key=given.key,
        data_name=name,
    )
    for part, why in found.left_out.items():
        print(f"not on the page: {part}: {why}")
    if given.save is not None:
        found.save(given.save)
    print(f"written: {given.out}, in {duration(found.provenance.seconds)}")
    return 0


def _load(model: torch.nn.Module, given: argparse.Namespace) -> Any:
    """Load the last checkpoint; the series, where there is one."""
    from dldna.landscape.space.checkpoints import checkpoints_in

    files = checkpoints_in(given.checkpoints)
    shared_words.load_checkpoint(model, files[-1] if files else None, given)
    return files if len(files) > 1 else None


def _others(given: argparse.Namespace, shape: Any) -> dict[str, list]:
    """The other split of a named data set, under its name."""
    if shape is None:
        return {}
    other = argparse.Namespace(**vars(given) | {"split": SPLITS[given.split]})
    data, name, _, _ = shared_words.data_of(other)
    return {name: data} if data else {}
