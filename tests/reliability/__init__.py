"""What rthread's reliability rests on, tried many times: see `__main__.py`."""
