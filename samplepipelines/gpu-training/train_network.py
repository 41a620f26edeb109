"""Trains a network on the GPU, with TensorFlow or PyTorch, whichever the image has.

The layers are written as plain arrays, so that whoever uses the model needs neither of the two.
Runs on Python 3.6, which tensorflow/tensorflow:2.6.0-gpu holds, and needs nothing but NumPy beside the framework.
"""

import argparse
import json
import time

import numpy

EPOCHS, BATCH = 10, 32


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", required=True, help="CSV of scaled features, the label in the last column")
    parser.add_argument("--model", required=True, help="where the layers are written, as .npz")
    parser.add_argument("--device", required=True, help="where the device's name is written")
    parser.add_argument("--numbers", required=True, help="where the numbers of this training are written, as JSON")
    args = parser.parse_args()

    table = numpy.loadtxt(args.train, delimiter=",", skiprows=1, dtype="float32")
    features, labels = table[:, :-1], table[:, -1:]
    train = find_framework()
    started = time.time()
    layers, loss, device, peak = train(features, labels)
    numbers = {"loss": loss, "gpu_memory_peak_bytes": peak, "training_seconds": round(time.time() - started, 2)}

    arrays = {}
    for index, (weights, bias) in enumerate(layers):
        arrays["weights%d" % index], arrays["bias%d" % index] = weights, bias
    numpy.savez(args.model, **arrays)
    with open(args.device, "w") as file:
        file.write(device)
    with open(args.numbers, "w") as file:
        json.dump(numbers, file)
    print("trained on %s, loss %.4f, at most %.1f MiB of GPU memory" % (device, loss, peak / 2**20))


def find_framework():
    try:
        import tensorflow  # noqa: F401

        return with_tensorflow
    except ImportError:
        pass
    try:
        import torch  # noqa: F401

        return with_torch
    except ImportError:
        raise SystemExit("the image has neither TensorFlow nor PyTorch")


def with_tensorflow(features, labels):
    import tensorflow

    gpus = tensorflow.config.list_physical_devices("GPU")
    if not gpus:
        raise SystemExit("TensorFlow sees no GPU")
    tensorflow.random.set_seed(42)
    dense = tensorflow.keras.layers.Dense
    with tensorflow.device("/GPU:0"):
        model = tensorflow.keras.Sequential(
            [dense(128, activation="relu"), dense(64, activation="relu"), dense(1, activation="sigmoid")]
        )
        model.compile(optimizer="adam", loss="binary_crossentropy")
        history = model.fit(features, labels, epochs=EPOCHS, batch_size=BATCH, verbose=2)
    layers = [layer.get_weights() for layer in model.layers]
    device = tensorflow.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)
    peak = tensorflow.config.experimental.get_memory_info("GPU:0")["peak"]
    return layers, float(history.history["loss"][-1]), device, int(peak)


def with_torch(features, labels):
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no GPU")
    torch.manual_seed(42)
    x, y = torch.from_numpy(features).cuda(), torch.from_numpy(labels).cuda()
    model = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], 128),
        torch.nn.ReLU(),
        torch.nn.Linear(128, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 1),
        torch.nn.Sigmoid(),
    ).cuda()
    optimizer, measure = torch.optim.Adam(model.parameters()), torch.nn.BCELoss()
    for epoch in range(EPOCHS):
        total = 0.0
        for rows in torch.randperm(len(x), device=x.device).split(BATCH):
            optimizer.zero_grad()
            loss = measure(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        print("epoch %d of %d, loss %.4f" % (epoch + 1, EPOCHS, total / len(x)))
    linear = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    layers = [(layer.weight.detach().cpu().numpy().T, layer.bias.detach().cpu().numpy()) for layer in linear]
    return layers, total / len(x), torch.cuda.get_device_name(0), torch.cuda.max_memory_allocated()


if __name__ == "__main__":
    main()
