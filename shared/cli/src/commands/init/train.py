"""Logistic regression on a table whose last column is 0 or 1, with nothing but Python."""

import argparse
import csv
import json
import math
import os


def read(path):
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    return rows[0], [[float(value) for value in row] for row in rows[1:] if all(row)]


def scale(rows):
    """Brings each column to mean 0 and deviation 1."""
    columns = list(zip(*rows))
    means = [sum(column) / len(column) for column in columns]
    spreads = [math.sqrt(sum((x - m) ** 2 for x in c) / len(c)) or 1.0 for c, m in zip(columns, means)]
    return means, spreads


def chance(weights, row):
    z = weights[0] + sum(w * x for w, x in zip(weights[1:], row))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, z))))


def fit(rows, labels, steps, rate=0.1):
    weights = [0.0] * (len(rows[0]) + 1)
    for _ in range(steps):
        gradient = [0.0] * len(weights)
        for row, label in zip(rows, labels):
            error = chance(weights, row) - label
            gradient[0] += error
            for i, x in enumerate(row):
                gradient[i + 1] += error * x
        weights = [w - rate * g / len(rows) for w, g in zip(weights, gradient)]
    return weights


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", required=True)
    parser.add_argument("--otherwise", required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--out", required=True)
    given = parser.parse_args()

    path = given.table if os.path.exists(given.table) else given.otherwise
    names, table = read(path)
    print(f"{path}: {len(table)} rows of {', '.join(names)}")
    # Every fourth row is kept aside, to measure on.
    aside, rest = table[::4], [row for i, row in enumerate(table) if i % 4]
    means, spreads = scale([row[:-1] for row in rest])
    scaled = lambda rows: [[(x - m) / s for x, m, s in zip(row, means, spreads)] for row in rows]
    weights = fit(scaled(rest), [row[-1] for row in rest], given.steps)
    right = sum((chance(weights, row) > 0.5) == (whole[-1] == 1) for row, whole in zip(scaled(aside), aside))
    accuracy = right / len(aside)
    print(f"accuracy {accuracy:.3f} on {len(aside)} rows kept aside")

    os.makedirs(given.out, exist_ok=True)
    model = {"columns": names[:-1], "means": means, "spreads": spreads, "weights": weights}
    for name, text in [
        ("model.json", json.dumps(model)),
        ("metrics.json", json.dumps({"accuracy": accuracy})),
        ("accuracy", f"{accuracy:.4f}"),
    ]:
        with open(os.path.join(given.out, name), "w") as file:
            file.write(text)


main()
