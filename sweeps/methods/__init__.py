"""What each `method` makes of a cell: one file a method, found by its name in `sweeps/cell/method.py`."""
