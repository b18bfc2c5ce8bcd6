"""How fast the networks train in four arithmetics, as a Markdown table.

    taskset -c 0 python -m benchmarks.studies.speed

Each number is the median of five steps on a batch of 128, after one that
does not count.
"""

import statistics
import time

import torch
from torch.nn import functional as F

from benchmarks.studies import networks

NETWORKS = ("resnet50", "vgg11", "resnet20", "resnet56")
WAYS = {
    "float32": (False, False),
    "float32, channels last": (False, True),
    "bfloat16": (True, False),
    "bfloat16, channels last": (True, True),
}


def speed(name: str, short: bool, last: bool, steps: int = 5) -> float:
    """Images a second.

    Args:
        name: of a network.
        short: bfloat16 products.
        last: the channels-last layout.
        steps: to time.
    """
    net = networks.build(name, (3, 32, 32), 10, 0)
    optimizer = networks.optimizer("sgd", net, 0.01, 0.0)
    layout = torch.channels_last if last else torch.contiguous_format
    net.to(memory_format=layout)
    x = torch.randn(128, 3, 32, 32).to(memory_format=layout)
    y = torch.arange(128) % 10
    times = []
    for _ in range(steps + 1):
        began = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(
            "cpu", torch.bfloat16, enabled=short, cache_enabled=False
        ):
            loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    return 128 / statistics.median(times[1:])


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("| |", " | ".join(WAYS), "|")
    print("|---" * (len(WAYS) + 1) + "|")
    for name in NETWORKS:
        row = [f"{speed(name, *way):.0f}" for way in WAYS.values()]
        print(f"| {name} |", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
