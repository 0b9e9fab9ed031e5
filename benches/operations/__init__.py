"""What is timed: an entry for each operation, in files by subject."""

from . import locks, queues, signals, threads

OPERATIONS = [*locks.OPERATIONS, *signals.OPERATIONS, *queues.OPERATIONS, *threads.OPERATIONS]
