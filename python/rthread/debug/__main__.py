"""``python -m rthread.debug``: looks at a process from outside."""

import sys

from rthread.debug import _commands

if __name__ == "__main__":
    sys.exit(_commands.main(sys.argv[1:], "python -m rthread.debug"))
