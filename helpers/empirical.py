"""The exact path and field of n points, which is what a perfect learner of n points would find; and copies.

A table of n points is a distribution, too: it gives 1/n to each of them. Its path is a sum of n bells, and
its field the mean of n straight ways, so that both are written down where the true ones of real data are not.

Source: Bertrand, Gagneux, Massias and Emonet, "On the closed-form of flow matching: generalization does not
arise from target stochasticity" (2025).
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.matching import Time, independent_pairs, spread_times
from helpers.metrics import Estimate
from helpers.validation import require_count, require_finite, require_points, require_positive, require_time

__all__ = ["EmpiricalPath", "copy_share", "nearest_distances"]

CHUNK = 1 << 22  # numbers held at a time: a part of the batch against all of the points


class EmpiricalPath:
    """The path xt = (1 - t) x0 + t x1 from noise x0 ~ N(0, I) to x1, one of n given points, each as likely.

    With tau = 1 - t, the density is the mean of n bells, p_t(x) = 1/n sum_i N(x; t x_i, tau^2 I), and

        u_t(x) = sum_i w_i (x_i - x) / tau,    w = softmax_i(-|x - t x_i|^2 / (2 tau^2)).

    At time 1 it has arrived at the points themselves: it is the field that flow matching would find, if its
    network could take any shape and were trained for ever.

    Every method takes points, (batch, dim), and a time in [0, 1), one for all points or (batch,). It
    computes in float64 and returns the dtype of x. Differences are taken before they are squared, so that
    no digits are lost as t nears 1. Autograd finds the derivatives in x and t.

    Args:
        points: (n, dim) the data.

    Raises:
        TypeError: `points` is no floating-point tensor.
        ValueError: its shape is not (n, dim), it holds no point, or entries that are infinite or nan.

    Example:
        >>> path = EmpiricalPath(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        >>> path.velocity(torch.tensor([[0.0, 2.0], [3.0, 0.0]]), 0.0)  # at the start, to the mean of all
        tensor([[ 0., -2.],
                [-3.,  0.]])
        >>> path.mean(torch.tensor([[0.5, 0.1]]), 0.9)  # near the end, to the nearest
        tensor([[1., 0.]])
    """

    def __init__(self, points: Float[Tensor, "n dim"]) -> None:
        require_points(points, name="points")
        require_count(len(points), "the number of points")
        require_finite(points, "points")
        self.points = points.detach().double()

    def sample(
        self, n: int, t: Time
    ) -> tuple[Float[Tensor, "n dim"], Float[Tensor, "n dim"], Float[Tensor, "n dim"]]:
        """Draw n points xt of the path, with the noise x0 and the data x1 that they lie between, in float64.

        Raises:
            TypeError: `n` or `t` is of a wrong type.
            ValueError: `n` is below 1, or `t` lies outside [0, 1).
        """
        require_count(n)
        require_time(t, n)
        index = torch.randint(len(self.points), (n,), device="cpu")
        x0, x1, _ = independent_pairs(self.points[index.to(self.points.device)])
        time = _column(t, x1)
        return (1 - time) * x0 + time * x1, x0, x1

    def log_prob(self, x: Float[Tensor, "batch dim"], t: Time) -> Float[Tensor, " batch"]:
        """Log-density log p_t(x) in nats.

        Raises:
            TypeError: `x` or `t` is of a wrong type.
            ValueError: `x` is not finite points of the data's dim, or `t` lies outside [0, 1).
        """
        return self._over_points(x, t, _log_density).to(x.dtype)

    def mean(self, x: Float[Tensor, "batch dim"], t: Time) -> Float[Tensor, "batch dim"]:
        """Mean of x1 given xt = x: a weighted mean of the data. Errors are those of `log_prob`."""
        return self._over_points(x, t, _mean).to(x.dtype)

    def velocity(
        self, x: Float[Tensor, "batch dim"], t: Time, context: None = None
    ) -> Float[Tensor, "batch dim"]:
        """The field u_t that carries p_t, (E[x1 | xt = x] - x) / (1 - t). Errors are those of `log_prob`.

        The solvers of `ode` call a field with a context; this one takes none.
        """
        mean = self._over_points(x, t, _mean)
        return ((mean - x) / (1 - _column(t, x))).to(x.dtype)

    @torch.no_grad()
    def loss_floor(self, draws: int = 4000, late: float = 1.0) -> Estimate:
        """Least flow-matching loss on these points, by `draws` random points of the path.

        Given xt, what no field can tell of the line's velocity (x1 - xt) / tau is its variance, a sum over
        the points; the mean of it over random xt scatters far less than the loss itself does. For one point
        it is 0, and for ever more points it tends to the floor of the distribution that they came from.

        Args:
            draws: how many points of the path, at times that `spread_times` draws.
            late: as for `matching_loss`.

        Raises:
            TypeError: `draws` is no whole number, or `late` no number.
            ValueError: `draws` is below 2, or `late` not above 0.

        Example:
            >>> print(EmpiricalPath(torch.ones(1, 2)).loss_floor(draws=100))
            0.0000 ± 0.0000
        """
        require_count(draws, "draws", least=2)
        require_positive(late, "late")
        t = spread_times(draws, late).double().clamp(max=1 - 1e-6)
        xt, _, _ = self.sample(draws, t)
        return _estimate(self._over_points(xt, t, _variance))

    def _over_points(self, x: Tensor, t: Time, each: Callable[..., Tensor]) -> Tensor:
        """`each` of the log-weights, (part, n), the points and 1 - t, a part of the batch at a time."""
        require_points(x, self.points.shape[1])
        require_finite(x)
        require_time(t, len(x))
        points = self.points.to(x.device)
        rows, found = max(1, CHUNK // points.numel()), []
        for some, time in zip(x.double().split(rows), _column(t, x).split(rows)):
            gap = some[:, None] - time[..., None] * points
            log_weight = -gap.square().sum(-1) / (2 * (1 - time).square())
            found.append(each(log_weight, points, 1 - time))
        return torch.cat(found)


def _log_density(log_weight: Tensor, points: Tensor, tau: Tensor) -> Tensor:
    n, dim = points.shape
    return log_weight.logsumexp(1) - math.log(n) - dim * (math.log(2 * math.pi) / 2 + tau[:, 0].log())


def _mean(log_weight: Tensor, points: Tensor, tau: Tensor) -> Tensor:
    return log_weight.softmax(1) @ points


def _variance(log_weight: Tensor, points: Tensor, tau: Tensor) -> Tensor:
    weight = log_weight.softmax(1)
    away = points - (weight @ points)[:, None]
    return (weight * away.square().sum(-1)).sum(1) / tau[:, 0].square()


def _column(t: Time, x: Tensor) -> Float[Tensor, "batch 1"]:
    """Time as float64 on the device of the points, one for each of them."""
    return torch.as_tensor(t, dtype=torch.float64, device=x.device).expand(len(x))[:, None]


@torch.no_grad()
def nearest_distances(
    x: Float[Tensor, "batch dim"], points: Float[Tensor, "n dim"], count: int = 2
) -> Float[Tensor, "batch count"]:
    """Distances from each x to its `count` nearest among the points, the nearest first, in float64.

    Raises:
        TypeError: no floating-point tensors, or a count that is not whole.
        ValueError: points of different dims, infinite or nan; a count below 1, or above the number of points.
    """
    require_points(points, name="points")
    require_points(x, points.shape[1])
    require_finite(x)
    require_finite(points, "points")
    require_count(count, "count")
    require_count(len(points), "the number of points", least=count)
    exact = {"compute_mode": "donot_use_mm_for_euclid_dist"}  # or near points would be at distance 0
    parts = x.double().split(max(1, CHUNK // len(points)))
    near = [torch.cdist(part, points.double(), **exact).topk(count, largest=False).values for part in parts]
    return torch.cat(near)


def copy_share(
    samples: Float[Tensor, "batch dim"],
    points: Float[Tensor, "n dim"],
    ratio: float = 1 / 3,
) -> Estimate:
    """Share of the samples that count as copies, and its standard error.

    A sample does if the nearest of the points is closer than `ratio` times the second nearest. Fresh data
    have copies, too, by chance: about ratio^dim of them where the points lie densely in dim dimensions.
    Compare with that floor, measured on data held out.

    Args:
        samples: (batch, dim) what a model has made.
        points: (n, dim) what it was trained on.
        ratio: above 0; a third is usual.

    Raises:
        TypeError: no floating-point tensors, or a ratio that is no number.
        ValueError: points of different dims, infinite or nan; fewer than two of either; a ratio not above 0.

    Source: Yoon, Choi, Kwon and Ryu, "Diffusion probabilistic models generalize when they fail to memorize"
    (2023).
    """
    require_positive(ratio, "ratio")
    first, second = nearest_distances(samples, points).unbind(1)
    require_count(len(samples), "the number of samples", least=2)
    return _estimate((first < ratio * second).double())


def _estimate(values: Tensor) -> Estimate:
    return Estimate(float(values.mean()), float(values.std()) / math.sqrt(len(values)))
