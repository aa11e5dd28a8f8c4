"""From a table to samples and a judged density: your_data.py TABLE.csv --positive price"""

import pandas as pd
import torch
from look_at_table import as_read, numbers_of, options
from sklearn.mixture import GaussianMixture

from helpers import instruments, ode, training
from helpers.empirical import nearest_distances
from helpers.flows import NormalizingFlow
from helpers.matching import VelocityField, independent_pairs, matching_loss
from helpers.transforms import Exp, Sigmoid, Whiten

asked = options(__doc__)
torch.manual_seed(asked.seed)
frame, kin = numbers_of(asked)
names, dim, group = list(frame), frame.shape[1], torch.from_numpy(kin)
part = torch.randperm(int(group.max()) + 1)[group] % 5  # whole groups are held out
train, valid, test = part < 3, part == 3, part == 4

x = torch.tensor(frame.to_numpy(float), dtype=torch.float32)
layers = [Sigmoid(dim, [names.index(name)], low, high) for name, low, high in asked.between]
layers += [Exp(dim, [names.index(name)]) for name in asked.positive]
layers = [Whiten.of((NormalizingFlow(layers).inverse(x)[0] if layers else x)[train]), *layers]
z, log_det = NormalizingFlow(layers).inverse(x)


class _Mixture(torch.nn.Module):
    """So many normal distributions, each as much wider as noise on data would make it."""

    def __init__(self, kinds: int, noise: float) -> None:
        super().__init__()
        self.dim, self.law = dim, GaussianMixture(kinds, reg_covar=noise**2, random_state=0)
        self.law.fit(z[train].double())

    def log_prob(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.law.score_samples(rows.double())).to(rows)

    def sample(self, n: int) -> torch.Tensor:
        return torch.from_numpy(self.law.sample(n)[0]).float()


def matched(noise: float, steps: int) -> ode.ContinuousFlow:
    """Flow matching on data with so much noise, for so many steps."""
    field = VelocityField(dim, hidden=64, frequencies=1)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return matching_loss(field, *independent_pairs(rows + noise * torch.randn_like(rows))[:2])

    training.fit(field, loss, z[train], steps=steps)
    return ode.ContinuousFlow(field.requires_grad_(False), steps=asked.solver)


tried = [(kinds, noise) for kinds in (1, 2, 4, 8, 16) for noise in (0.03, 0.1, 0.3, 0.6)]
models = {f"{kinds} normal, noise {noise}": _Mixture(kinds, noise) for kinds, noise in tried}
tried = [(noise, steps) for noise in (0.1, 0.3, 0.6) for steps in (asked.steps // 4, asked.steps)]
models |= {f"flow matching, noise {noise}, {steps} steps": matched(noise, steps) for noise, steps in tried}
nats = pd.Series({name: float(model.log_prob(z[valid]).mean()) for name, model in models.items()})
normal, mixture, field = (nats.filter(regex=of).idxmax() for of in ("^1 normal", "normal", "flow"))
print("validation, over the mixture:\n" + nats.filter(like="flow").sub(nats[mixture]).round(2).to_string())
score = {name: models[name].log_prob(z[test]) for name in (normal, mixture, field)}
for name, log_prob in score.items():
    print(f"{name}: {instruments.grouped_mean(log_prob + log_det[test], group[test])} nats a row, held out")
for name, over in ((mixture, normal), (field, mixture))[mixture == normal :]:  # one of one is no pair
    print(f"{name} over {over}:", lead := instruments.grouped_mean(score[name] - score[over], group[test]))
doubled = ode.log_prob(models[field].field, z[test], 2 * asked.solver, models[field].method)
print(f"flow matching with --solver {2 * asked.solver}: {float((doubled - score[field]).mean()):+.4f} nats")
for name in (mixture, field):
    drawn = models[name].sample(len(z))
    near, usual = (nearest_distances(rows, z[train], 1).median() for rows in (drawn, z[test]))
    told = instruments.two_sample_accuracy(drawn, z[test], (-1 - torch.arange(len(z)) % 60, group[test]))
    print(f"{name}: nearest training row {float(near / usual):.2f} of held-out rows', classifier {told}")
print("samples.csv is from:", better := field if lead.value > 2 * lead.stderr else mixture)
density = NormalizingFlow(layers, base=models[better])
as_read(pd.DataFrame(density.sample(len(x)), columns=names), asked).to_csv("samples.csv", index=False)
