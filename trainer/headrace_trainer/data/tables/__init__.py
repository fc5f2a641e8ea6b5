"""Tables of labels, as CSV or JSON lines: reads their cells, and turns rows into annotations."""
