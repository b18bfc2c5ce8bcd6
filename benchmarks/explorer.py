"""What the explorer promises, measured: pictures, tiles, frames, walks.

    python benchmarks/explorer.py [--frames]

CPU seconds of this process and seconds on the clock, the best of some
tries, on one thread: a 784-512-64-10 network on 256 images, and ResNet-20
on 256 images of 32 x 32. ``--frames`` opens a map in Chromium, as the tests
of the pages do, drags it over 120 frames, and counts what they cost.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from dldna.explorer import Explorer
from dldna.explorer.addresses import Address
from dldna.explorer.messages import answer
from dldna.explorer.offline import write_map
from dldna.models import make

PLANE = {
    "side": 0, "directions": "random", "seed": 0, "statistics": "eval"
}  # fmt: skip
POINT = {"a": 0.2, "b": 0.2}
DRAG = """() => new Promise(done => {
  const map = document.querySelector('.ex-map');
  const box = map.getBoundingClientRect(), times = [];
  const put = (kind, k) => map.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, bubbles: true, clientY: box.top + box.height / 2,
    clientX: box.left + box.width / 2 + 60 * Math.sin(k / 10) }));
  map.setPointerCapture = () => {};
  put('pointerdown', 0);
  requestAnimationFrame(function frame(now) {
    times.push(now);
    put('pointermove', times.length);
    if (times.length <= 120) return requestAnimationFrame(frame);
    put('pointerup', times.length);
    done((now - times[0]) / 120 / 1000);
  });
})"""


def network(kind: str) -> Explorer:
    """A fresh map of one of the two networks."""
    draw = torch.Generator().manual_seed(0)
    y = torch.randint(0, 10, (256,), generator=draw)
    if kind == "resnet20":
        x = torch.randn(256, 3, 32, 32, generator=draw)
        net = make("resnet20", in_shape=(3, 32, 32))
    else:
        x = torch.rand(256, 1, 28, 28, generator=draw)
        net = make("mlp", hidden=[512, 64])
    return Explorer(net, nn.CrossEntropyLoss(), (x, y))


def best(tries: int, make_ready: Callable, work: Callable) -> str:
    """Least CPU and clock seconds of some tries."""
    found = []
    for _ in range(tries):
        ready = make_ready()
        cpu, clock = time.process_time(), time.perf_counter()
        work(ready)
        found.append((time.process_time() - cpu, time.perf_counter() - clock))
    cpu, clock = (min(column) for column in zip(*found, strict=True))
    return f"{cpu:8.3f} s CPU {clock:8.3f} s"


def first(kind: str, stride: int) -> str:
    """From the call on to a picture of so many points."""
    home = Address(0, 0, 0)
    return best(
        3, lambda: None, lambda _: network(kind).map().tile(home, stride)
    )


def fresh(here: Explorer, stride: int) -> str:
    """A tile that nobody has seen yet."""
    ways = iter(range(40, 90))
    return best(
        9,
        lambda: Address(6, next(ways), 3),
        lambda at: here.map().tile(at, stride),
    )


def walked(here: Explorer, steps: int) -> tuple[str, str, int]:
    """A walk: its first piece, the others, and the number of pieces."""
    how = {**PLANE, **POINT, "optimizer": "Adam", "steps": steps, "lr": 0.01}
    answer(here, {"ask": "walk", **how, "steps": 1})  # torch loads its own
    pieces = []

    def begin(_):
        pieces.append(answer(here, {"ask": "walk", **how}))

    def rest(_):
        while not pieces[-1]["done"]:
            more = {"ask": "further", "walker": pieces[-1]["walker"]}
            pieces.append(answer(here, more))

    return (
        best(1, lambda: None, begin), best(1, lambda: None, rest),
        len(pieces),
    )  # fmt: skip


def frames(here: Explorer) -> str:
    """What a frame costs while the map is dragged."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        file = write_map(here, Path(folder) / "map.html", depth=1)
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(file.as_uri())
        page.wait_for_function(
            "() => document.querySelector('.ex-map').ariaLabel"
        )
        tools = page.context.new_cdp_session(page)
        tools.send("Performance.enable")

        def spent():
            got = tools.send("Performance.getMetrics")["metrics"]
            return {m["name"]: m["value"] for m in got}["TaskDuration"]

        before = spent()
        clock = page.evaluate(DRAG)
        cpu = (spent() - before) / 120
        browser.close()
    return f"{cpu:8.3f} s CPU {clock:8.3f} s"


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    small = network("mlp")
    print("784-512-64-10, 256 images")
    print("  call to first picture (8 x 8)  ", first("mlp", 4))
    print("  new tile, 8 x 8 of it          ", fresh(small, 4))
    print("  new tile, all 32 x 32          ", fresh(small, 1))
    print("  walk of 50 steps, first piece  ", walked(small, 50)[0])
    if given.frames:
        print("  a frame while dragged          ", frames(small))
    print("ResNet-20, 256 images")
    print("  call to 2 x 2                  ", first("resnet20", 16))
    print("  call to 4 x 4                  ", first("resnet20", 8))
    piece, rest, pieces = walked(network("resnet20"), 10)
    print("  walk of 10 steps, first piece  ", piece)
    print(f"  the other {pieces - 1:2} pieces            ", rest)


if __name__ == "__main__":
    main()
