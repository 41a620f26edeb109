"""Runs the trained layers over the held-out rows; needs neither a GPU nor the framework that trained them."""

import argparse
import json

import numpy

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--held-out", required=True)
parser.add_argument("--model", required=True)
parser.add_argument("--accuracy", required=True)
parser.add_argument("--latest", required=True)
parser.add_argument("--run", required=True)
args = parser.parse_args()

table = numpy.loadtxt(args.held_out, delimiter=",", skiprows=1)
labels = table[:, -1]
with numpy.load(args.model) as layers:
    values = table[:, :-1]
    for index in range(3):
        values = values @ layers[f"weights{index}"] + layers[f"bias{index}"]
        if index < 2:
            values = numpy.maximum(values, 0)
# The last layer's sigmoid is above a half exactly where its argument is above zero.
accuracy = round(float(((values[:, 0] > 0) == labels).mean()), 4)
print(f"Model accuracy: {accuracy}")

with open(args.accuracy, "w") as file:
    json.dump({"accuracy": accuracy}, file)
with open(args.latest, "w") as file:
    model = f"models/gpu-training/{args.run}/model.npz"
    json.dump({"run": args.run, "model": model, "accuracy": accuracy}, file, indent=2)
