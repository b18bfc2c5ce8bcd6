"""Kill -9 at random moments: nothing is lost, the result is the same.

    python tests/promises/kill_many.py            # 50 kills for each job
    python tests/promises/kill_many.py --kills 4 --seed 1 --job training

Each job runs in an interpreter of its own, started afresh: a fork would
share locks with those who live on. It says when it begins its work, and is
killed a random time later, again and again, until it ends. After every kill
what is on disk must be whole; at the end the result must equal that of a run
nobody killed, byte for byte. ``make test-kill`` runs this.
"""

import argparse
import contextlib
import hashlib
import http.server
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("DLDNA_PROGRESS", "0")

import torch
from torch import nn

from dldna.data import Loader, download, load
from dldna.files import write_atomic
from dldna.landscape import Recorder, Trajectory, surface
from dldna.landscape.scan import timing
from dldna.records import Surface
from dldna.training import load_checkpoint, train


class Job:
    """Something that may be killed and is then started again."""

    whole = b""  # what it gives when nobody kills it

    def asks(self) -> list[str]:
        """What the next child needs to know."""
        return []

    def work(self, folder: Path) -> bytes:
        """Do the whole of it, or what is left; give the result."""
        raise NotImplementedError

    def check(self, folder: Path) -> bool:
        """Whether what is there is whole; True if there is any."""
        raise NotImplementedError


class Training(Job):
    """Train on blobs; save after every step."""

    epochs = 6

    def work(self, folder, callbacks=()):
        torch.manual_seed(0)
        blobs = load("blobs")
        model = nn.Sequential(
            nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3)
        )
        adam = torch.optim.Adam(model.parameters(), lr=0.01)
        loader = Loader(blobs.train_x, blobs.train_y, 100, True, 5)
        history = train(
            model, adam, loader, epochs=self.epochs, callbacks=callbacks,
            checkpoint=folder / "run.pt", checkpoint_seconds=0,
            progress=False,
        )  # fmt: skip
        flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
        return flat.numpy().tobytes() + history.step_loss.tobytes()

    def check(self, folder):
        if not (folder / "run.pt").exists():
            return False
        load_checkpoint(folder / "run.pt")
        return True


class Streaming(Training):
    """The same, with every step's weights streamed to a folder."""

    epochs = 3

    def work(self, folder):
        with Recorder(folder / "all", every=1, resume=True) as recorder:
            found = super().work(folder, [recorder])
        run = Trajectory(folder / "all")
        return found + self._rows(run)

    def _rows(self, run):
        return b"".join(
            p.numpy().tobytes() for point in run for p in point.values()
        )

    def check(self, folder):
        super().check(folder)
        if not (folder / "all" / "index.jsonl").exists():
            return False
        if not (folder / "all" / "weights.bin").exists():
            return False
        try:
            run = Trajectory(folder / "all")
        except ValueError as error:
            assert "no complete checkpoint" in str(error)
            return False
        rows = self._rows(run)
        assert run.steps.tolist() == list(range(len(run)))
        assert self.whole.endswith(rows) or rows in self.whole
        return True


class Landscape(Job):
    """A surface whose tiles are kept in a folder."""

    def work(self, folder):
        timing.TILE_SECONDS = 0.01
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        data = torch.randn(24, 6), torch.arange(24) % 3
        found = surface(
            net, Slow(), data, resolution=15, out=folder / "s", way="slow"
        )
        found.save(folder / "surface.npz")
        return found.losses.tobytes()

    def check(self, folder):
        if (folder / "surface.npz").exists():
            assert Surface.load(folder / "surface.npz").evaluated.all()
        return bool(list((folder / "s" / "tiles").glob("*.npz")))


class Slow(nn.CrossEntropyLoss):
    def forward(self, output, target):
        time.sleep(0.001)
        return super().forward(output, target)


BODY = random.Random(0).randbytes(60_000)
SUM = hashlib.md5(BODY).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Slow, and on other paths wrong in one way each."""

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        how = self.path.strip("/")
        body = BODY[::-1] if how == "garbage" else BODY
        length = len(body) + {"long": 77, "short": -77}.get(how, 0)
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        end = len(body) // 2 if how in ("cut", "stall") else len(body)
        with contextlib.suppress(OSError):
            for start in range(0, end, 6000):
                self.wfile.write(body[start : min(start + 6000, end)])
                self.wfile.flush()
                time.sleep(0.01)
            if how == "stall":
                time.sleep(1.0)

    def log_message(self, *_):
        pass


class Download(Job):
    """A file from servers of which only the last one is right."""

    ways = ("cut", "garbage", "stall", "short", "long")

    def __init__(self, *urls: str):
        self.urls = urls

    def serve(self, seed: int) -> None:
        """Be the server; the children are handed its addresses."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.home = f"http://127.0.0.1:{server.server_port}/"
        self.random = random.Random(seed)

    def asks(self):
        wrong = self.random.sample(self.ways, 2)
        return [self.home + how for how in (*wrong, "good")]

    def work(self, folder):
        plain, download.PROBE_S = download._download, 60.0

        def patient(url, path):  # where nothing stalls on purpose
            download.STALL_S = 0.3 if url.endswith("stall") else 60.0
            plain(url, path)

        download._download = patient
        return download.fetch(folder / "file", self.urls, SUM).read_bytes()

    def check(self, folder):
        file = folder / "file"
        if file.exists():
            assert file.read_bytes() == BODY
        return bool(list(folder.iterdir()))


JOBS = {
    "training": Training,
    "surface evaluation": Landscape,
    "checkpoint streaming": Streaming,
    "download": Download,
}


def child(name: str, folder: Path, *known: str) -> None:
    """Say that the work begins; do it; leave the result in a file."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    print("begin", flush=True)
    found = JOBS[name](*known).work(folder)
    write_atomic(folder.with_suffix(".out"), lambda f: f.write(found))


def start(name: str, job: Job, folder: Path) -> subprocess.Popen:
    """A child that has just begun its work."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--child", name, folder, *job.asks()],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begin\n", "the child did not start"
    return process


def run(name: str, folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill a job so many times; count what happened."""
    job = JOBS[name]()
    if isinstance(job, Download):
        job.serve(seed)
    process, begin = start(name, job, folder / "whole"), time.monotonic()
    with process:
        assert process.wait() == 0, "the job fails when nobody kills it"
    lasts = time.monotonic() - begin
    job.whole = (folder / "whole.out").read_bytes()
    chance = random.Random(seed)
    count = {"kills": 0, "found_something": 0, "runs": 0, "identical": 0}
    while count["kills"] < kills:
        home = folder / f"run{count['runs']}"
        count["runs"] += 1
        while not home.with_suffix(".out").exists():
            with start(name, job, home) as process:
                begin = time.monotonic()
                if count["kills"] < kills:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(chance.uniform(0, lasts))
                    process.kill()
                status = process.wait()
                if status == 0:  # the first run may have been a slow one
                    lasts = min(lasts, time.monotonic() - begin)
            if status < 0:
                count["kills"] += 1
                count["found_something"] += job.check(home)
            else:
                assert status == 0, "the job cannot go on after a kill"
        same = home.with_suffix(".out").read_bytes() == job.whole
        count["identical"] += same
    return count


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        name, folder, *known = sys.argv[2:]
        child(name, Path(folder), *known)
        return 0
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--job", choices=JOBS, help="this one alone")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = {}
    for name in [given.job] if given.job else JOBS:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = run(name, Path(folder), given.kills, given.seed)
        if not given.json:
            print(name, found[name], flush=True)
    if given.json:
        print(json.dumps(found))
    bad = [k for k, c in found.items() if c["identical"] != c["runs"]]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
