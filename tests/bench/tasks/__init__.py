"""What every task learns: runs `headrace train` once per row, and makes the tables in docs/results.md from the results.

    make bench-tasks [ARGS="--list | --only PATTERN | --again | --jobs 2 | --render"]

A row (rows.py, digits.py, …) is a dataset, a network and a training. It runs as a user would run it (run.py), on one thread.
measured/ keeps a file per row with its scores, the scores of the simplest answer that knows nothing about the image (baselines.py),
and what the run cost. A row with a file is not run again unless its definition changed. The page is made from these files alone
(page.py), in a moment and without torch.
"""
