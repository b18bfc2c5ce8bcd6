"""Draw the picture of the first page: a real run on its own plane.

    python book/tools/cover.py        writes book/_static/cover.png, and
                                      example.png by the README's example

The embedded digits, a small perceptron, SGD with momentum from one seed;
the plane of the path's two principal components.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import LightSource
from PIL import Image
from scipy.ndimage import map_coordinates
from torch import nn
from torch.nn import functional as F

from dldna import data, landscape, models

STATIC = Path(__file__).parents[1] / "_static"
COVER, EXAMPLE = STATIC / "cover.png", STATIC / "example.png"
README = Path(__file__).parents[2] / "README.md"


def run() -> tuple:
    """The surface and the path of one training."""
    dataset = data.load("digits")
    torch.manual_seed(0)
    net = models.SimpleNetwork(nn.Tanh(), hidden_shape=[48, 24])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    loader, _ = dataset.loaders(batch_size=32, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        step = 0
        with landscape.Recorder(folder + "/run") as recorder:
            for _ in range(6):
                for x, y in loader:
                    loss = F.cross_entropy(net(x), y)
                    if step % 2 == 0:
                        recorder.record(net, step=step, loss=float(loss))
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    step += 1
            recorder.record(net, step=step, loss=float(loss))
        path = landscape.Trajectory(folder + "/run")
        batch = (dataset.train_x[:512], dataset.train_y[:512])
        return landscape.surface(
            net,
            F.cross_entropy,
            batch,
            "pca",
            extent="path",
            trajectory=path,
            resolution=121,
        )


def draw(surface) -> None:
    """A lit relief, and the path upon it."""
    a, b = np.meshgrid(surface.alphas, surface.betas, indexing="ij")
    z = np.log10(surface.losses)
    light = LightSource(azdeg=300, altdeg=55)
    faces = light.shade(
        z, mpl.colormaps["viridis"], vert_exag=0.6, blend_mode="soft"
    )
    fig = plt.figure(figsize=(11, 5.2), dpi=120)
    ax = fig.add_axes((-0.1, -0.36, 1.2, 1.8), projection="3d")
    ax.computed_zorder = False
    ax.plot_surface(
        a, b, z, facecolors=faces, rcount=121, ccount=121, linewidth=0,
        antialiased=False, shade=False,
    )  # fmt: skip
    ax.contour(a, b, z, levels=14, colors="white", alpha=0.35,
               linewidths=0.8, linestyles="solid")  # fmt: skip
    u, v = surface.path_coords.T
    rows = np.interp(u, surface.alphas, range(len(a)))
    columns = np.interp(v, surface.betas, range(len(b[0])))
    height = map_coordinates(z, [rows, columns], order=1) + 0.03
    ax.plot(u, v, height, color="white", lw=4.5, zorder=5)
    ax.plot(u, v, height, color="#d1495b", lw=2.2, zorder=6)
    ax.scatter(u[[0, -1]], v[[0, -1]], height[[0, -1]], s=60, zorder=7,
               color=["white", "#edae49"], edgecolor="#d1495b")  # fmt: skip
    ax.view_init(elev=34, azim=-62)
    ax.set_box_aspect((1.7, 1, 0.5), zoom=1.0)
    ax.set_axis_off()
    fig.savefig(COVER, transparent=True)
    plt.close(fig)
    picture = Image.open(COVER)
    picture = picture.crop(picture.getbbox())
    picture.save(COVER, optimize=True)


def example() -> None:
    """What the README's first example draws."""
    code = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        exec(compile(code, README, "exec"), {})
        picture = Image.open("surface.png").convert("RGB")
    picture.quantize(256).save(EXAMPLE, optimize=True)


if __name__ == "__main__":
    draw(run())
    example()
    for picture in (COVER, EXAMPLE):
        print(picture, picture.stat().st_size, "bytes")
