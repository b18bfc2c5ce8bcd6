"""Tiles on a dask cluster, one of whose workers is killed on the way."""

import os
import subprocess
import sys
import textwrap

import pytest

SCRIPT = textwrap.dedent(
    """
    import os, signal, sys, threading, time
    import joblib, numpy as np, torch
    from distributed import Client, LocalCluster
    from torch import nn
    from dldna.landscape import surface
    from dldna.landscape.scan import timing

    timing.TILE_SECONDS = 0.1

    class Slow(nn.CrossEntropyLoss):
        def forward(self, output, target):
            time.sleep(0.01)
            return super().forward(output, target)

    def main():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        data = torch.randn(24, 6), torch.randint(3, (24,))
        with LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster, Client(cluster) as client:
            victim = list(client.run(os.getpid).values())[0]

            def kill():
                tiles = os.path.join(sys.argv[1], "tiles")
                while not (os.path.isdir(tiles) and os.listdir(tiles)):
                    time.sleep(0.01)
                os.kill(victim, signal.SIGKILL)
                print("killed", flush=True)

            threading.Thread(target=kill, daemon=True).start()
            with joblib.parallel_config("dask"):
                got = surface(net, Slow(), data, resolution=15,
                              out=sys.argv[1], way="slow")
        want = surface(net, nn.CrossEntropyLoss(), data, resolution=15)
        np.testing.assert_allclose(got.losses, want.losses, rtol=1e-6)
        assert got.evaluated.all()
        print("identical")

    if __name__ == "__main__":
        main()
    """
)


@pytest.mark.full
def test_a_killed_dask_worker_is_survived(tmp_path):
    pytest.importorskip("distributed")
    pytest.importorskip("joblib")
    file = tmp_path / "job.py"
    file.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(file), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["killed", "identical"]
