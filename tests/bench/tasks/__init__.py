"""What every task learns: training runs through `headrace train`, one a row, and the tables of docs/results.md made of them.

    make bench-tasks [ARGS="--list | --only PATTERN | --again | --jobs 2 | --render"]

A row (rows.py, digits.py, …) is a dataset, a network and a training. It is run as a user would run it (run.py), on one thread, and
its scores are kept beside those of the simplest answer that knows nothing of the image (baselines.py) in measured/, a file a row,
with what it took. A row whose file is there is not run again unless its definition changed. The page is made of these files alone
(page.py), in a moment and without torch.
"""
