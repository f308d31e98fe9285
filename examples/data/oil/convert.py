"""Makes prices.csv of wti.csv.gz of the package arch 8.0.0 (arch/data/wti/): the days that have a price.

    python3 convert.py wti.csv.gz
"""

import csv
import gzip
import sys
from datetime import datetime
from pathlib import Path

with gzip.open(sys.argv[1], "rt") as file:
    rows = [row for row in csv.reader(file)][1:]
lines = ["day,price"]
for day, price in rows:
    if price != ".":
        lines.append(f"{datetime.strptime(day, '%m/%d/%Y'):%Y-%m-%d},{price}")
Path(__file__).with_name("prices.csv").write_text("\n".join(lines) + "\n")
