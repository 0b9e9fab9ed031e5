"""Ways to break `sync`, each with the models that must notice: the tests of the models.

Every mutant replaces one piece of the source, which must be there exactly once (within `near`,
where that is given), so that none gets stale unseen. A piece is an expression, or whole statements.
"""

from .channels import CHANNEL
from .locks import LOCK, REENTRANT, SEMAPHORE
from .meetings import BARRIER, CONDITION, EVENT, LIFE
from .mutant import Mutant
from .retiring import GRANTS, RETIRE
from .sight import OWNER, RECORD, WAIT_GRAPH
from .waiting import GUARD, WAIT

__all__ = ["MUTANTS", "Mutant"]

MUTANTS = [
    *GUARD,
    *WAIT,
    *LOCK,
    *REENTRANT,
    *SEMAPHORE,
    *EVENT,
    *CONDITION,
    *BARRIER,
    *LIFE,
    *CHANNEL,
    *RETIRE,
    *GRANTS,
    *OWNER,
    *RECORD,
    *WAIT_GRAPH,
]
