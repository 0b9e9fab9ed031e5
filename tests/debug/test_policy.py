"""`set_deadlock_policy`, and the environment variable for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import support
from rthread import debug


@pytest.fixture(autouse=True)
def former_policy() -> Iterator[None]:
    yield
    debug.set_deadlock_policy("off")


@pytest.mark.thread_unsafe(reason="the policy is the process's")
def test_a_policy_is_kept_and_the_former_one_returned() -> None:
    assert debug.deadlock_policy() == "off"
    assert debug.set_deadlock_policy("raise") == "off"
    assert debug.deadlock_policy() == "raise"
    assert debug.set_deadlock_policy("exit") == "raise"
    assert debug.set_deadlock_policy("warn") == "exit"
    assert debug.set_deadlock_policy("off") == "warn"
    assert debug.deadlock_policy() == "off"


@pytest.mark.thread_unsafe(reason="the policy is the process's")
@pytest.mark.parametrize("wrong", ["", "Raise", "panic", "warn "])
def test_a_policy_that_does_not_exist_is_a_value_error_that_names_the_choices(wrong: str) -> None:
    debug.set_deadlock_policy("warn")
    with pytest.raises(ValueError, match="'raise', 'warn', 'exit' or 'off', not") as caught:
        debug.set_deadlock_policy(wrong)  # type: ignore[arg-type]
    assert repr(wrong) in str(caught.value)
    assert debug.deadlock_policy() == "warn"


@pytest.mark.thread_unsafe(reason="the policy is the process's")
@pytest.mark.parametrize("wrong", [None, 1, b"raise", ["raise"]])
def test_a_policy_that_is_no_text_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match=f"must be a str, not {type(wrong).__name__}"):
        debug.set_deadlock_policy(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", ["raise", "warn", "exit", "off"])
def test_install_takes_the_policy_from_the_environment(policy: str) -> None:
    output = support.check_snippet(
        """
        import rthread
        rthread.install()
        from rthread import debug
        print(debug.deadlock_policy())
        """,
        env={"RTHREAD_DEADLOCKS": policy},
    )
    assert output == f"{policy}\n"


def test_the_policy_is_the_process_s_however_often_the_module_is_loaded() -> None:
    support.check_snippet(
        """
        import sys
        from rthread import debug
        debug.set_deadlock_policy("raise")
        for name in [name for name in sys.modules if name.startswith("rthread.debug")]:
            del sys.modules[name]
        del sys.modules["rthread"].debug
        from rthread import debug as again
        assert again is not debug
        assert again.deadlock_policy() == "raise"
        """
    )
