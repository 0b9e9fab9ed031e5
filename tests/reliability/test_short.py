"""Every proof in its short form."""

from __future__ import annotations

import pytest

from reliability.proof import Proof
from reliability.proofs import proofs


@pytest.mark.parametrize("proof", proofs(), ids=lambda proof: proof.name)
def test_proof(proof: Proof) -> None:
    if proof.missing:
        pytest.skip(proof.missing)
    figures = list(proof.run(proof.short))
    assert figures
    assert not [str(figure) for figure in figures if not figure.ok]
