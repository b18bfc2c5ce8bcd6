"""Planes of the top eigenvectors of the studies' ResNet-50.

    python benchmarks/hessian_planes.py

The trained network of the queue (``python -m benchmarks.studies resnet50``)
on 128 of its training images: the four largest eigenvalues of the Hessian,
and the planes of eigenvectors 1 and 2, and 3 and 4, as far as a parabola of
the largest curvature takes to climb by 2. Writes
``dldna/stored/hessian_planes.json``.
"""

import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from dldna import data, landscape, params
from dldna.stored import processor, store

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.studies import networks
from benchmarks.studies.__main__ import source_of
from benchmarks.studies.desk import chosen_images
from benchmarks.studies.state import State, default_folder

IMAGES, POINTS, TOLERANCE = 128, 11, 0.1


def main() -> None:
    """Find the directions, look at their planes, and store both."""
    begun = time.process_time()
    d = data.load(source_of(None))
    net = networks.trained(State(default_folder()), "resnet50", d).eval()
    batch = chosen_images(d, IMAGES, "cpu")
    top = landscape.top_eigenpairs(
        net, F.cross_entropy, batch, 4, TOLERANCE, parts=0
    )
    print(top.eigenvalues, top.residuals, flush=True)
    extent = (4 / top.eigenvalues[0]) ** 0.5
    planes = []
    for pair in (top.eigenvectors[:2], top.eigenvectors[2:]):
        found = landscape.surface(
            net, F.cross_entropy, batch, pair, extent=extent, resolution=POINTS
        )
        kept = ("alphas", "betas", "losses", "centre_loss", "directions")
        planes.append({name: getattr(found, name) for name in kept})
        print(found.losses.min(), found.losses.max(), flush=True)
    store(
        "hessian_planes",
        {
            "eigenvalues": top.eigenvalues,
            "residuals": top.residuals,
            "planes": planes,
        },
        "python benchmarks/hessian_planes.py",
        made="planes of the top eigenvectors",
        model="resnet50",
        n_params=params.count(params.of(net)),
        data="CIFAR-10 as JPEG, quality 75, training images",
        n_samples=IMAGES,
        loss="cross_entropy",
        seconds=time.process_time() - begun,
        notes={
            "statistics": "those of the trained network",
            "products": top.products,
            "hardware": f"{processor()}, {torch.get_num_threads()} thread(s)",
        },
    )


if __name__ == "__main__":
    main()
