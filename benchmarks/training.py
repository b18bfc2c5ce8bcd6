"""Training throughput beside the usual torchvision DataLoader.

    python benchmarks/training.py [--pairs 5] [--images 60000]

The same network (SimpleNetwork, ReLU), the same batch of 128, the same SGD,
one epoch of as many images each time. "Usual" is what the
published chapter does: ``DataLoader`` over torchvision's data set with
``ToTensor`` and ``Normalize``, no workers, and the loop one would write.
The two are run in turns, and the median of the pairs' ratios is given.
The section ``training`` of ``benchmarks/RESULTS.md`` is written anew.
"""

import argparse
import platform
import statistics
import time
from dataclasses import replace

import torch
from _report import write_section
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from dldna._torchvision import torchvision
from dldna.data import book_dataset
from dldna.models import make
from dldna.training import train

BATCH = 128


class Usual(TorchDataset):
    """What ``torchvision.datasets.FashionMNIST`` does for each item."""

    def __init__(self, data):
        transforms = torchvision("the usual way").transforms
        self.pixels = ((data.train_x[:, 0] + 1) * 127.5).round().byte()
        self.targets = data.train_y
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]
        )

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        image = Image.fromarray(self.pixels[index].numpy())
        return self.transform(image), int(self.targets[index])


def fresh():
    """A new network and its optimizer."""
    model = make("mlp", seed=0)
    return model, torch.optim.SGD(model.parameters(), lr=0.01)


def usual(loader) -> float:
    """Images per second of the loop one would write."""
    model, optimizer = fresh()
    began = time.perf_counter()
    right = total = 0
    for x, y in loader:
        optimizer.zero_grad()
        output = model(x)
        loss = F.cross_entropy(output, y)
        loss.backward()
        optimizer.step()
        right += (output.argmax(1) == y).sum().item()
        total += loss.item()
    return len(loader.dataset) / (time.perf_counter() - began)


def ours(loader) -> float:
    """Images per second of our loader and our loop."""
    model, optimizer = fresh()
    began = time.perf_counter()
    train(model, optimizer, loader, epochs=1, progress=False)
    return len(loader.x) / (time.perf_counter() - began)


def main() -> None:
    """Run the pairs, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--images", type=int, default=60000)
    args = parser.parse_args()
    pairs = args.pairs
    data = repeated(book_dataset(), args.images)
    theirs = DataLoader(Usual(data), BATCH, shuffle=True)
    mine, _ = data.loaders(BATCH)
    assert torch.equal(theirs.dataset[7][0], data.train_x[7])
    ours(mine)  # late imports
    rows = [(usual(theirs), ours(mine)) for _ in range(pairs)]
    ratio = statistics.median(b / a for a, b in rows)
    low, high = min(b / a for a, b in rows), max(b / a for a, b in rows)
    a, b = (statistics.median(column) for column in zip(*rows, strict=True))
    text = "\n".join(
        [
            "## Training throughput",
            "",
            f"SimpleNetwork (283,914 parameters), {data.name}, "
            f"{args.images:,} images an epoch, batch "
            f"{BATCH}, SGD; torch {torch.__version__}, "
            f"{torch.get_num_threads()} thread(s), Python "
            f"{platform.python_version()}; median of {pairs} pairs run "
            "in turns.",
            "",
            "| way | images/s | ratio |",
            "|---|---|---|",
            f"| `DataLoader`, `ToTensor`, `Normalize` | {a:,.0f} | 1 |",
            f"| `dldna.data.Loader`, `dldna.training.train` | {b:,.0f} "
            f"| {ratio:.2f} ({low:.2f} to {high:.2f}) |",
        ]
    )
    print(text)
    write_section("training", text)


def repeated(data, n: int):
    """The training set over and over, up to ``n`` images."""
    index = torch.arange(n) % len(data.train_y)
    return replace(
        data, train_x=data.train_x[index], train_y=data.train_y[index]
    )


if __name__ == "__main__":
    main()
