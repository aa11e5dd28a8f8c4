"""From a table to samples and a judged density: python scripts/your_data.py TABLE.csv --positive price"""

import argparse

import pandas as pd
import torch
from sklearn.mixture import GaussianMixture

from helpers import instruments, ode, training
from helpers.empirical import nearest_distances
from helpers.flows import NormalizingFlow
from helpers.matching import VelocityField, independent_pairs, matching_loss
from helpers.transforms import Exp, Sigmoid, Whiten

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("table", help="a CSV file of numbers, without holes")
parser.add_argument("--positive", default="", help="columns above zero: NAME,NAME")
parser.add_argument("--between", default="", help="columns between two walls: NAME:LOW:HIGH,NAME:LOW:HIGH")
parser.add_argument("--group", help="the column that says which rows belong together: a day, a patient")
parser.add_argument("--step", type=float, default=0.0, help="what readings are rounded to")
parser.add_argument("--steps", type=int, default=2000, help="of training")
asked = parser.parse_args()

torch.manual_seed(0)
frame = pd.read_csv(asked.table)
kin = frame.pop(asked.group) if asked.group else frame.index.to_series()
group, names, dim = torch.from_numpy(kin.factorize()[0]), list(frame), frame.shape[1]
if wrong := [name for name in names if frame[name].dtype.kind not in "biuf" or frame[name].isna().any()]:
    parser.error(f"columns with text or holes: {', '.join(wrong)}; mend or drop them first")
x = torch.tensor(frame.to_numpy(float), dtype=torch.float32)
x += asked.step * (torch.rand_like(x) - 0.5)  # a reading is a cell
part = torch.randperm(int(group.max()) + 1)[group] % 5  # whole groups are held out
train, valid, test = part < 3, part == 3, part == 4

walls = [wall.split(":") for wall in asked.between.split(",") if wall]
layers = [Sigmoid(dim, [names.index(name)], float(low), float(high)) for name, low, high in walls]
layers += [Exp(dim, [names.index(name) for name in asked.positive.split(",")])] if asked.positive else []
y = NormalizingFlow(layers).inverse(x)[0] if layers else x
to_columns = NormalizingFlow([Whiten.of(y[train]), *layers])
z, log_det = to_columns.inverse(x)
if outside := int(log_det.isinf().sum()):
    parser.error(f"{outside} rows lie on a wall or beyond it; see --positive and --between")


def trained(noise: float) -> ode.ContinuousFlow:
    """Flow matching on data with so much noise, stopped where the validation rows say."""
    field = VelocityField(dim, hidden=64, frequencies=1)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        rows = rows + noise * torch.randn_like(rows) if field.training else rows
        return matching_loss(field, *independent_pairs(rows)[:2])

    rest = {"steps": asked.steps, "held_out": z[valid], "every": 100, "keep_best": True}
    training.fit(field, loss, z[train], **rest)
    return ode.ContinuousFlow(field)


mixtures = [GaussianMixture(k, reg_covar=1e-3, random_state=0).fit(z[train].double()) for k in (1, 2, 4, 8)]
mixture = max(mixtures, key=lambda one: one.score(z[valid].double()))
noises = {noise: trained(noise) for noise in (0.05, 0.2, 0.4)}
noise, model = max(noises.items(), key=lambda one: float(one[1].log_prob(z[valid]).mean()))

of_mixture, of_model = torch.from_numpy(mixture.score_samples(z[test].double())), model.log_prob(z[test])
for name, log_prob in (("mixture", of_mixture), (f"flow matching, noise {noise}", of_model)):
    print(f"{name}: {instruments.grouped_mean(log_prob + log_det[test], group[test])} nats a row, held out")
print("flow matching over the mixture:", instruments.grouped_mean(of_model - of_mixture, group[test]))
doubled = ode.log_prob(model.field, z[test], 2 * model.steps, model.method)
print(f"with twice the steps: {float((doubled - of_model).mean()):+.4f} nats")
drawn = model.sample(len(z))
near, usual = (nearest_distances(rows, z[train], 1).median() for rows in (drawn, z[test]))
print(f"nearest training row, over that of held-out rows: {float(near / usual):.2f}; far below 1: copies")
print("classifier, held-out rows against samples:", instruments.two_sample_accuracy(drawn, z[test]))
pd.DataFrame(to_columns(drawn)[0], columns=names).to_csv("samples.csv", index=False)
