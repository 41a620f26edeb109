"""Trains a forest to read digits. A higher iteration gives more and deeper trees."""

import argparse
import hashlib
import json
from pathlib import Path

import joblib
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="CSV with the label in the column `target`")
    parser.add_argument("--iteration", required=True, type=int, help="how often was trained before, from 0")
    parser.add_argument("--model", required=True, help="where the model is written")
    parser.add_argument("--sha256", required=True, help="where the model file's SHA-256 is written")
    parser.add_argument("--accuracy", required=True, help="where the accuracy in percent is written")
    parser.add_argument("--metrics", required=True, help="where the numbers of this training are written, as JSON")
    return parser.parse_args()


def main():
    args = arguments()
    table = pd.read_csv(args.data)
    train, held_out = train_test_split(table, test_size=0.6, random_state=42, stratify=table["target"])

    capacity = args.iteration + 1
    model = RandomForestClassifier(n_estimators=2 * capacity, max_depth=capacity, random_state=42)
    model.fit(train.drop(columns="target"), train["target"])
    accuracy = round(100 * model.score(held_out.drop(columns="target"), held_out["target"]), 2)

    joblib.dump(model, args.model)
    Path(args.sha256).write_text(hashlib.sha256(Path(args.model).read_bytes()).hexdigest())
    Path(args.accuracy).write_text(str(accuracy))
    Path(args.metrics).write_text(json.dumps({"accuracy": accuracy, "trainings": capacity}))
    print(f"{2 * capacity} trees of depth {capacity}: {accuracy} % of {len(held_out)} held-out rows")


if __name__ == "__main__":
    main()
