"""Keeps a fifth of the rows aside and scales the features by what the other rows are like."""

import argparse

import pandas as pd
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", required=True)
parser.add_argument("--train", required=True)
parser.add_argument("--held-out", required=True)
args = parser.parse_args()

table = pd.read_csv(args.data)
train, held_out = train_test_split(table, test_size=0.2, random_state=42, stratify=table["target"])
features = table.columns.drop("target")
mean, spread = train[features].mean(), train[features].std()
for rows, path in [(train, args.train), (held_out, args.held_out)]:
    scaled = (rows[features] - mean) / spread
    scaled.assign(target=rows["target"]).to_csv(path, index=False)
print(f"{len(train)} rows to train on, {len(held_out)} held out")
