"""The options of the plugin for pytest: what they switch on, and what is said of bad ones."""

from __future__ import annotations

import pytest
from pytest_runs import RunPytest

IS_INSTALLED = """
    import rthread

    def test_is_installed():
        assert rthread.is_installed()
    """
IS_NOT_LOADED = """
    import sys

    def test_is_not_loaded():
        assert "_rthread_pytest" in sys.modules
        assert "rthread" not in sys.modules
        assert "rthread._rthread" not in sys.modules
    """
PASSES = """
    def test_passes():
        pass
    """
# Stands for an extension that was built for another interpreter.
BROKEN = "import sys; sys.modules['rthread._rthread'] = None"

USAGE_ERROR = 4


def test_without_an_option_nothing_of_rthread_is_imported(run_pytest: RunPytest) -> None:
    run = run_pytest(IS_NOT_LOADED, "-W", "error", "--strict-config", "--strict-markers")
    assert run.counts == {"passed": 1}, run


@pytest.mark.parametrize(
    ("options", "ini"),
    [
        (["--rthread"], ""),
        ([], "rthread = true"),
        (["--rthread-queue"], ""),
        (["--rthread-deadlocks=raise"], ""),
        ([], "rthread_deadlocks = raise"),
        (["--rthread-leaks=error"], ""),
        ([], "rthread_leaks = warn"),
    ],
)
def test_an_option_puts_the_session_on_rthread(
    run_pytest: RunPytest, options: list[str], ini: str
) -> None:
    run = run_pytest(IS_INSTALLED, *options, "-W", "error", "--strict-config", ini=ini)
    assert run.counts == {"passed": 1}, run
    assert "\nrthread: " in run.out, run


@pytest.mark.parametrize("table", ["tool.pytest.ini_options", "tool.pytest"])
def test_settings_in_pyproject_toml(run_pytest: RunPytest, table: str) -> None:
    if table == "tool.pytest" and int(pytest.__version__.partition(".")[0]) < 9:
        pytest.skip("new in pytest 9")
    source = """
        import rthread, threading
        from rthread import debug

        def test_settings():
            assert rthread.is_installed()
            assert debug.deadlock_policy() == "raise"
            stay = threading.Thread(target=threading.Event().wait, name="stays", daemon=True)
            stay.start()
        """
    text = f"""
        [{table}]
        rthread = true
        rthread_deadlocks = "raise"
        rthread_leaks = "error"
        rthread_leaks_ignore = ["pool-*", "stay*"]
        """
    run = run_pytest(source, "-c", "pyproject.toml", files={"pyproject.toml": text})
    assert run.counts == {"passed": 1}, run


@pytest.mark.parametrize("option", ["--rthread-deadlocks=off", "--rthread-leaks=off"])
def test_off_alone_does_not_install(run_pytest: RunPytest, option: str) -> None:
    run = run_pytest(IS_NOT_LOADED, option)
    assert run.counts == {"passed": 1}, run


def test_the_command_line_overrides_the_file(run_pytest: RunPytest) -> None:
    source = """
        from rthread import debug

        def test_policy():
            assert debug.deadlock_policy() == "warn"
        """
    run = run_pytest(source, "--rthread-deadlocks=warn", ini="rthread_deadlocks = raise")
    assert run.counts == {"passed": 1}, run


def test_a_conftest_is_imported_on_rthread(run_pytest: RunPytest) -> None:
    conftest = "import rthread; assert rthread.is_installed()"
    run = run_pytest(PASSES, "--rthread", files={"conftest.py": conftest})
    assert run.counts == {"passed": 1}, run


@pytest.mark.parametrize(
    ("option", "ini", "expected"),
    [
        ("--rthread", "", "stock"),
        ("--rthread-queue", "", "rthread"),
        ("--rthread", "rthread_queue = true", "rthread"),
    ],
)
def test_the_classes_of_queue(run_pytest: RunPytest, option: str, ini: str, expected: str) -> None:
    source = f"""
        import queue
        import rthread.queue

        def test_queue():
            ours = queue.SimpleQueue is rthread.queue.SimpleQueue
            assert ours is {expected == "rthread"}
        """
    assert run_pytest(source, option, ini=ini).counts == {"passed": 1}


def test_one_session_may_have_all_options(run_pytest: RunPytest) -> None:
    options = ("--rthread", "--rthread-queue", "--rthread-deadlocks=exit", "--rthread-leaks=error")
    run = run_pytest(IS_INSTALLED, *options, "-W", "error")
    assert run.counts == {"passed": 1}, run
    assert "with its queues, deadlocks: exit, leaks: error" in run.out


@pytest.mark.parametrize(
    ("option", "choices"),
    [
        ("--rthread-deadlocks=never", ("raise", "warn", "exit", "off")),
        ("--rthread-leaks=never", ("warn", "error", "off")),
    ],
)
def test_a_bad_value_is_a_usage_error_that_names_the_choices(
    run_pytest: RunPytest, option: str, choices: tuple[str, ...]
) -> None:
    run = run_pytest(PASSES, option)
    assert run.status == USAGE_ERROR, run
    assert "invalid choice: 'never'" in run.err
    message = run.err.partition("invalid choice")[2]
    assert all(choice in message for choice in choices), run


@pytest.mark.parametrize(
    ("ini", "message"),
    [
        (
            "rthread_deadlocks = never",
            "rthread_deadlocks in the configuration file is 'never', and must be one of: "
            "raise, warn, exit, off",
        ),
        (
            "rthread_leaks = never",
            "rthread_leaks in the configuration file is 'never', and must be one of: "
            "warn, error, off",
        ),
        ("rthread = never", "rthread in the configuration file must be true or false"),
        ("rthread_queue = never", "rthread_queue in the configuration file must be true or false"),
    ],
)
def test_a_bad_value_in_the_file_is_a_usage_error(
    run_pytest: RunPytest, ini: str, message: str
) -> None:
    run = run_pytest(PASSES, ini=ini)
    assert run.status == USAGE_ERROR, run
    assert message in run.err, run


def test_without_the_extension_pytest_runs_as_ever(run_pytest: RunPytest) -> None:
    run = run_pytest(PASSES, "-p", "broken", files={"broken.py": BROKEN})
    assert run.counts == {"passed": 1}, run


def test_without_the_extension_an_option_is_a_usage_error(run_pytest: RunPytest) -> None:
    run = run_pytest(PASSES, "-p", "broken", "--rthread", files={"broken.py": BROKEN})
    assert run.status == USAGE_ERROR, run
    assert "rthread cannot be imported: " in run.err


def test_a_thread_that_runs_before_is_a_usage_error(run_pytest: RunPytest) -> None:
    early = """
        import threading

        threading.Thread(target=threading.Event().wait, name="early", daemon=True).start()
        """
    run = run_pytest(PASSES, "-p", "early", "--rthread", files={"early.py": early})
    assert run.status == USAGE_ERROR, run
    assert "the tests cannot be run on rthread" in run.err
    assert "another thread is alive: 'early'" in run.err


def test_a_warning_of_install_that_is_an_error_is_a_usage_error(run_pytest: RunPytest) -> None:
    patch = """
        import _thread

        real = _thread.get_ident
        _thread.get_ident = lambda: real()
        """
    run = run_pytest(PASSES, "-p", "patch", "--rthread", "-W", "error", files={"patch.py": patch})
    assert run.status == USAGE_ERROR, run
    assert "the tests cannot be run on rthread" in run.err


def test_help_needs_no_extension(run_pytest: RunPytest) -> None:
    run = run_pytest(PASSES, "-p", "broken", "--rthread", "--help", files={"broken.py": BROKEN})
    assert run.status == 0, run
    assert "--rthread-deadlocks={raise,warn,exit,off}" in run.out


def test_the_plugin_can_be_blocked(run_pytest: RunPytest) -> None:
    assert run_pytest(PASSES, "-p", "no:rthread").counts == {"passed": 1}
    assert run_pytest(PASSES, "-p", "no:rthread", "--rthread").status == USAGE_ERROR


@pytest.mark.parametrize("autoload", ["", "1"])
@pytest.mark.parametrize("name", ["rthread", "rthread.pytest_plugin"])
def test_the_plugin_can_be_named(run_pytest: RunPytest, name: str, autoload: str) -> None:
    env = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": autoload}
    run = run_pytest(IS_INSTALLED, "-p", name, "--rthread", "-W", "error", env=env)
    assert run.counts == {"passed": 1}, run


def test_a_process_that_is_on_rthread_already_is_welcome(run_pytest: RunPytest) -> None:
    for options in ((), ("--rthread-deadlocks=raise",)):
        run = run_pytest(IS_INSTALLED, *options, "-W", "error", env={"RTHREAD": "1"})
        assert run.counts == {"passed": 1}, run


def test_pytest_leaves_the_source_of_rthread_alone(run_pytest: RunPytest) -> None:
    source = """
        import rthread, rthread._install, rthread.debug, rthread.threading

        def test_names():
            for module in (rthread, rthread._install, rthread.debug, rthread.threading):
                assert not [name for name in vars(module) if "@" in name]
        """
    for option in ("--rthread", "--rthread-deadlocks=off"):
        assert run_pytest(source, option).counts == {"passed": 1}
