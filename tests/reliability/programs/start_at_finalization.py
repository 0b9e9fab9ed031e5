"""Interpreters with objects that try to start a thread when they die at the end.

Prints as JSON what becomes of it, each answer once.
"""

from __future__ import annotations

import json
import os
import sys

from chosen import MODE, say
from interpreters import create, end, run

KIND, COUNT = sys.argv[1], int(sys.argv[2])
reader, writer = os.pipe()

DYING = f"""
import os
if {MODE!r} == "install":
    import rthread
    rthread.install()
import _thread

class Dying:
    def __del__(self, start=_thread.start_new_thread, write=os.write):
        try:
            start(int, ())
        except RuntimeError as error:
            write({writer}, f"{{type(error).__name__}}: {{error}}\\n".encode())
        else:
            write({writer}, b"started\\n")

dying = Dying()
"""

for _ in range(COUNT):
    interpreter = create(KIND)
    run(interpreter, DYING)
    end(interpreter)
os.close(writer)
with open(reader, encoding="utf-8") as told:
    answers = told.read().splitlines()
assert len(answers) == COUNT, answers
say(json.dumps(sorted(set(answers))))
