"""Puts a child process on rthread at its start; ``rthread.pth`` imports this when told to.

``python -m rthread --children`` sets RTHREAD_CHILDREN=1, which processes started by the program
inherit. Each of them that finds ``rthread.pth`` in its site-packages comes through here before
anything of the program runs; so does each sub-interpreter, of these processes and of the program.
"""

from rthread import install

install()
