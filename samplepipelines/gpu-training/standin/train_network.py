"""Stands in for ../train_network.py where there is no GPU: the same network, trained on the CPU by scikit-learn."""

import argparse
import json
import resource
import sys
import time
import warnings

import numpy
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

DEVICE = "cpu (stand-in)"

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--train", required=True, help="CSV of scaled features, the label in the last column")
parser.add_argument("--model", required=True, help="where the layers are written, as .npz")
parser.add_argument("--device", required=True, help="where the device's name is written")
parser.add_argument("--numbers", required=True, help="where the numbers of this training are written, as JSON")
args = parser.parse_args()

table = numpy.loadtxt(args.train, delimiter=",", skiprows=1)
# Ten epochs are what the pipeline wants, converged or not.
warnings.simplefilter("ignore", ConvergenceWarning)
started = time.time()
model = MLPClassifier(hidden_layer_sizes=(128, 64), batch_size=32, max_iter=10, random_state=42)
model.fit(table[:, :-1], table[:, -1].astype(int))
# Linux counts in KiB, macOS in bytes.
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

arrays = {f"weights{index}": weights for index, weights in enumerate(model.coefs_)}
arrays.update({f"bias{index}": bias for index, bias in enumerate(model.intercepts_)})
numpy.savez(args.model, **arrays)
with open(args.device, "w") as file:
    file.write(DEVICE)
with open(args.numbers, "w") as file:
    seconds = round(time.time() - started, 2)
    json.dump({"loss": float(model.loss_), "memory_peak_bytes": peak, "training_seconds": seconds}, file)
print(f"SKIPPED: training on a GPU, since this machine has none; trained on {DEVICE}, loss {model.loss_:.4f}")
