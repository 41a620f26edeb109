"""Trains a model and compares it with the current one on rows that neither has seen."""

import argparse
import json
from pathlib import Path

import joblib
import pandas as pd
from sklearn.ensemble import RandomForestClassifier


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="CSV with the label in the column `target`")
    parser.add_argument("--current", required=True, help="the model in use; there may be none")
    parser.add_argument("--model", required=True, help="where the challenger is written")
    parser.add_argument("--accuracy", required=True, help="where its accuracy is written")
    parser.add_argument("--is-better", required=True, help="where `yes` or `no` is written")
    parser.add_argument("--metrics", required=True, help="where the numbers of this training are written, as JSON")
    return parser.parse_args()


def split(table):
    """A row is held out or not by what it holds, so that last week's model has not learned this week's test."""
    held_out = pd.util.hash_pandas_object(table, index=False) % 4 == 0
    return table[~held_out], table[held_out]


def main():
    args = arguments()
    train, held_out = split(pd.read_csv(args.data))
    features, labels = held_out.drop(columns="target"), held_out["target"]

    model = RandomForestClassifier(random_state=42)
    model.fit(train.drop(columns="target"), train["target"])
    numbers = {"accuracy": round(model.score(features, labels), 4)}
    # In a pod the place of an input that is not there is an empty folder, as with Argo.
    if Path(args.current).is_file():
        numbers["current_accuracy"] = round(joblib.load(args.current).score(features, labels), 4)
    is_better = numbers["accuracy"] > numbers.get("current_accuracy", 0)

    joblib.dump(model, args.model)
    Path(args.accuracy).write_text(str(numbers["accuracy"]))
    Path(args.is_better).write_text("yes" if is_better else "no")
    Path(args.metrics).write_text(json.dumps(numbers))
    current = numbers.get("current_accuracy", "none yet")
    print(f"challenger {numbers['accuracy']}, current {current}, on {len(held_out)} held-out rows")


if __name__ == "__main__":
    main()
