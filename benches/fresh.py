"""Fresh processes of this interpreter: what is measured there has not been touched before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def printed_number(*arguments: str) -> float:
    """Run Python with these arguments, in the project's folder: the number that it prints."""
    ran = subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    return float(ran.stdout)
