"""Peer of the rows of bench tune; word: branin, hartmann or rastrigin: the best of so many trials by Optuna's default sampler, and by its random one."""
import math
import sys

import optuna

from common import bench

ALPHA = [1.0, 1.2, 3.0, 3.2]
A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
P = [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991], [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]
CHOICES = [-4.5, -3.0, -1.5, 0.0, 1.0, 2.5]


def branin(x, y):
    return (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def hartmann(*x):
    return -sum(ALPHA[i] * math.exp(-sum(A[i][j] * (x[j] - P[i][j] * 1e-4) ** 2 for j in range(6))) for i in range(4))


def rastrigin(x1, x2, x3, x4, x5):
    return 50 + sum(x**2 - 10 * math.cos(2 * math.pi * x) for x in (x1, x2, x3, math.log10(x4), x5))


def suggested(name, trial):
    if name == "branin":
        return branin(trial.suggest_float("x", -5, 10), trial.suggest_float("y", 0, 15))
    if name == "hartmann":
        return hartmann(*(trial.suggest_float(f"x{i}", 0, 1) for i in range(1, 7)))
    return rastrigin(
        *(trial.suggest_float(f"x{i}", -5.12, 5.12) for i in range(1, 4)),
        trial.suggest_float("x4", 1e-5, 1e5, log=True),
        trial.suggest_categorical("x5", CHOICES),
    )


def middle(name):
    if name == "branin":
        return branin(-5 + 15 * 0.7, 15 * 0.7)
    if name == "hartmann":
        return hartmann(*[0.7] * 6)
    return rastrigin(*[-5.12 + 10.24 * 0.7] * 3, 10 ** (-5 + 10 * 0.7), CHOICES[4])


def bests(name, sampler, arguments):
    found = []
    for seed in range(1, arguments["seeds"] + 1):
        study = optuna.create_study(sampler=sampler(seed=seed))
        study.optimize(lambda trial: suggested(name, trial), n_trials=arguments["trials"])
        found.append(study.best_value)
    return found


def run(arguments):
    name = sys.argv[1]
    arguments["found"] = {"tpe": bests(name, optuna.samplers.TPESampler, arguments), "random": bests(name, optuna.samplers.RandomSampler, arguments)}
    return {"value": middle(name)}


optuna.logging.set_verbosity(optuna.logging.ERROR)
bench(run, facts=lambda arguments: arguments["found"], uncounted=False, version=optuna.__version__)
