"""`python -m headrace_chart FOLDER`: writes the chart's generated files into that folder."""

import argparse
from pathlib import Path

from headrace_chart.generate import write

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m headrace_chart", description=__doc__)
    parser.add_argument("folder", type=Path, help="the chart's folder")
    write(parser.parse_args().folder)
