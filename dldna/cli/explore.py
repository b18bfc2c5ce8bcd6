"""``dldna explore``: walk in a network's landscape, in a browser."""

import argparse
from pathlib import Path

from dldna.cli import arguments, shared_words

EPILOG = """
examples:
  dldna explore mlp net.pth --data digits
  dldna explore resnet20 net.pth --data CIFAR10 --limit 256
  dldna explore mlp a.pth b.pth --data clothes --limit 256
  dldna explore my_nets.py:make net.pth --data my_data.py:batches
  dldna explore mlp net.pth --data digits --export map.html --depth 3

Two checkpoints stand side by side. The page is answered on this machine
alone, under an address with a secret in it, until Ctrl-C.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Give the parser this command's words."""
    parser.epilog = EPILOG
    shared_words.add_words(parser)
    put = parser.add_argument
    put(
        "checkpoints", nargs="*", type=Path, default=[],
        help="a file; or two, side by side",
    )  # fmt: skip
    put(
        "--directions", default="random",
        help="as of dldna landscape, without pca and checkpoints "
        "(default: %(default)s)",
    )  # fmt: skip
    put("--extent", type=float, default=1.0, help="half width at first")
    put("--statistics", help="batch norm: eval, train, recalibrate")
    put("--dtype", help="float32 or float64 (default: the model's)")
    put(
        "--out", type=Path, default=Path("explorer"),
        help="folder for tiles and kept views (default: %(default)s)",
    )  # fmt: skip
    put("--port", type=int, default=0, help="on 127.0.0.1 (default: free)")
    put("--no-browser", action="store_true", help="only print the address")
    put("--export", type=Path, help="write one HTML file instead")
    put("--depth", type=int, default=2, help="last zoom level of the file")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Open the maps, and serve or write them."""
    from dldna.explorer import Explorer
    from dldna.explorer.offline import check_file, write_map
    from dldna.explorer.served import serve
    from dldna.landscape.space.checkpoints import read_checkpoint

    shared_words.check_words(given)
    if given.export is not None:
        check_file(given.export, given.depth)
    files = given.checkpoints
    if len(files) > 2:
        raise ValueError(f"one checkpoint or two, not {len(files)}")
    if not 0 <= given.port < 2**16:
        raise ValueError(f"--port must lie from 0 to 65535, not {given.port}")
    model, data, name, _ = shared_words.opened(given)
    shared_words.load_checkpoint(model, files[0] if files else None, given)
    beside = read_checkpoint(files[1], given.key) if files[1:] else None
    here = Explorer(
        model.to(given.device),
        shared_words.loss_of(given.loss),
        data,
        arguments.directions(given.directions),
        extent=given.extent,
        seed=given.seed,
        statistics=given.statistics,
        out=given.out,
        beside=beside,
        params=given.params,
        dtype=given.dtype,
        limit=given.limit,
        data_name=name,
    )
    if given.export is not None:
        print("written:", write_map(here, given.export, given.depth))
        return 0
    serve(here, given.port, not given.no_browser)
    return 0
