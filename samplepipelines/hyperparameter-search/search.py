"""Tries one candidate, or publishes the one that was chosen.

The rows are cut in three: candidates learn from the first part and are compared on the second. The third is
looked at only for the chosen one, since the best of many is always a little lucky where it was chosen.
"""

import argparse
import json
import shutil
from pathlib import Path

import joblib
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("try")
    verb.set_defaults(run=try_candidate)
    verb.add_argument("--trees", required=True, type=int)
    verb.add_argument("--depth", required=True, type=int)
    verb.add_argument("--score", required=True)
    publish_verb = verbs.add_parser("publish")
    publish_verb.set_defaults(run=publish)
    for name in ["--candidate", "--run-name", "--accuracy", "--latest"]:
        publish_verb.add_argument(name, required=True)
    for either in [verb, publish_verb]:
        for name in ["--data", "--name", "--model"]:
            either.add_argument(name, required=True)
    return parser.parse_args()


def split(path):
    table = pd.read_csv(path)
    train, rest = train_test_split(table, test_size=0.5, random_state=42, stratify=table["target"])
    validation, test = train_test_split(rest, test_size=0.5, random_state=42, stratify=rest["target"])
    return train, validation, test


def score(model, rows):
    return round(model.score(rows.drop(columns="target"), rows["target"]), 4)


def try_candidate(args):
    train, validation, _ = split(args.data)
    model = RandomForestClassifier(n_estimators=args.trees, max_depth=args.depth, random_state=42)
    model.fit(train.drop(columns="target"), train["target"])
    accuracy = score(model, validation)
    joblib.dump(model, args.model)
    Path(args.score).write_text(json.dumps({"name": args.name, "validation_accuracy": accuracy}))
    print(f"{args.name}: {accuracy} on {len(validation)} validation rows")


def publish(args):
    _, _, test = split(args.data)
    accuracy = score(joblib.load(args.candidate), test)
    shutil.copyfile(args.candidate, args.model)
    Path(args.accuracy).write_text(json.dumps({"accuracy": accuracy}))
    model = f"models/hyperparameter-search/{args.run_name}/model.joblib"
    latest = {"run": args.run_name, "model": model, "chosen": args.name, "accuracy": accuracy}
    Path(args.latest).write_text(json.dumps(latest, indent=2))
    print(f"published {args.name}: {accuracy} on {len(test)} test rows")


if __name__ == "__main__":
    args = arguments()
    args.run(args)
