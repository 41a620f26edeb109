"""Writes the samples' data again from scikit-learn's own tables: python make_data.py (needs pandas, scikit-learn).

The seeds are fixed, so the files come out byte for byte as they are shipped.
"""

from pathlib import Path

from numpy.random import RandomState
from sklearn import datasets

HERE = Path(__file__).parent


def table(name):
    """A table of scikit-learn's: its features with plain names, and the label in the column `target`."""
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    return frame.rename(columns=lambda column: column.replace(" ", "_"))


def shuffled(frame, rows, seed):
    """`rows` rows in an order that the seed decides."""
    return frame.iloc[RandomState(seed).permutation(len(frame))[:rows]]


def with_gaps(frame, share, seed):
    """The table with one value missing in a share of its rows, never the label."""
    frame, random = frame.copy().reset_index(drop=True), RandomState(seed)
    features = [column for column in frame.columns if column != "target"]
    for row in random.permutation(len(frame))[: int(len(frame) * share)]:
        frame.loc[row, features[random.randint(len(features))]] = None
    return frame


def write(frame, path):
    file = HERE / path
    file.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(file, index=False, lineterminator="\n")
    print(f"{path}: {len(frame)} rows")


cancer, digits, wine = table("breast_cancer"), table("digits"), table("wine")
pixels = digits.astype(int).rename(columns=lambda column: column.replace("pixel_", "p"))

write(with_gaps(shuffled(cancer, 300, seed=1), 0.05, seed=1), "ml-pipeline/data/first.csv")
write(with_gaps(shuffled(cancer, 569, seed=2), 0.10, seed=2), "ml-pipeline/data/second.csv")
write(shuffled(pixels, 900, seed=3), "train-until-accurate/data/digits.csv")
write(shuffled(cancer, 569, seed=4), "gpu-training/data/breast-cancer.csv")
write(shuffled(cancer, 400, seed=5), "scheduled-retraining/data/current.csv")
write(shuffled(wine, 120, seed=6), "data-drop/data/red.csv")
write(shuffled(wine, 178, seed=7), "data-drop/data/more-red.csv")
write(shuffled(wine, 178, seed=8), "hyperparameter-search/data/wine.csv")
write(shuffled(wine, 178, seed=9), "approval/data/wine.csv")
write(shuffled(wine, 178, seed=10), "notebook/data/wine.csv")
