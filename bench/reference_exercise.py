"""The reference exercise's flow on the book's data, with the exercise's settings.

Fifteen affine couplings, each with two networks of five linear layers of width 8 (LeakyReLU); batches
of 128 from a DataLoader, 20 epochs of 250,000 points, Adam at 1e-3 with a cosine schedule by epoch.

python -m bench.reference_exercise
"""

import time

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bench.judging import score
from bench.result_files import write_records
from helpers.flows import Layer, NormalizingFlow, Permutation
from helpers.rings import OlympicRings

POINTS, EPOCHS, BATCH, WIDTH, COUPLINGS = 250_000, 20, 128, 8, 15


def small_network() -> nn.Sequential:
    """Five linear layers of width 8, from one number to one number."""
    sizes = [1, WIDTH, WIDTH, WIDTH, WIDTH]
    hidden = [part for n, m in zip(sizes, sizes[1:]) for part in (nn.Linear(n, m), nn.LeakyReLU())]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, 1))


class ReferenceCoupling(Layer):
    """An affine coupling in two dimensions, with a network each for log-scale and shift."""

    def __init__(self) -> None:
        super().__init__()
        self.dim = 2
        self.log_scale, self.shift = small_network(), small_network()

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map noise to data; return the point and the log-determinant."""
        a, b = z.split(1, dim=1)
        log_scale = self.log_scale(a)
        return torch.cat([a, b * log_scale.exp() + self.shift(a)], dim=1), log_scale[:, 0]

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data back to noise; return the point and the log-determinant of this map."""
        a, b = x.split(1, dim=1)
        log_scale = self.log_scale(a)
        return torch.cat([a, (b - self.shift(a)) * (-log_scale).exp()], dim=1), -log_scale[:, 0]


def measure_reference(seed: int) -> dict[str, object]:
    """Train and judge the reference flow. The CPU time counts data and training, not the judging."""
    torch.manual_seed(seed)
    rings = OlympicRings()
    held_out, _ = rings.sample(20_000)
    started = time.process_time()
    data, _ = rings.sample(POINTS)
    loader = DataLoader(TensorDataset(data), batch_size=BATCH, shuffle=True)
    layers = [part for _ in range(COUPLINGS) for part in (ReferenceCoupling(), Permutation([1, 0]))]
    flow = NormalizingFlow(layers)
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
    trace = []
    for _ in range(EPOCHS):
        for (x,) in loader:
            loss = -flow.log_prob(x).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        paused = time.process_time()
        with torch.no_grad():
            above = -flow.log_prob(held_out).mean().item() - rings.entropy()
        trace.append((paused - started, above))
        started += time.process_time() - paused
        print(f"{trace[-1][0]:6.1f} CPU-s  {above:.4f} nats above the floor", flush=True)
    return {
        "model": "reference",
        "seed": seed,
        "cpu_seconds": trace[-1][0],
        **score(flow, seed),
        "trace": trace,
    }


def main() -> None:
    """Measure one seed and write the record."""
    write_records("reference_exercise", [measure_reference(seed=0)])


if __name__ == "__main__":
    main()
