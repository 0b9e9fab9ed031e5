"""``top``: looks at a process again and again, on a terminal or as plain text."""

import os
import sys
import time

from rthread.debug import _table
from rthread.debug._outside import has_findings
from rthread.debug._table import SORT_KEYS, Sample, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    import curses
    from collections.abc import Callable

    from rthread.debug._outside import Outside
    from rthread.debug._proc import Task

__all__ = ["LONGEST_INTERVAL", "SHORTEST_INTERVAL", "interval_in", "run"]

SHORTEST_INTERVAL, LONGEST_INTERVAL = 0.05, 86400.0

_HELP = (
    "q quit",
    "space look now",
    "s seconds between looks",
    *(f"{key} sort by {column}" for key, column in SORT_KEYS.items()),
    "R reverse",
    "arrows and page keys scroll",
)
# Keys that mean the same as others.
_SAME_KEYS = {"Q": "q", "S": "s", "d": "s", "r": "R", "?": "h", "H": "h"}
_LONGEST_ANSWER = 12


def interval_in(text: str) -> "float | None":
    """The number of seconds in a text, None if it is none or out of range."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if SHORTEST_INTERVAL <= seconds <= LONGEST_INTERVAL else None


def run(outside: "Outside", interval: float, once: bool, write: "Callable[[str], object]") -> bool:
    """Show the threads of a process until the user or the process ends it.

    Args:
        outside: the process.
        interval: seconds between two looks.
        once: whether to look once and show that as text.
        write: writes text to standard output.

    Returns:
        Whether the last look has found a deadlock or a stuck thread.

    Raises:
        CannotLook: if the process has ended.
    """
    looks = _Looks(outside)
    view = View(interval)
    if not once and _has_terminal():
        import curses

        return curses.wrapper(lambda window: _Terminal(looks, view, window).run())
    sample = looks.next()
    if once and interval > SHORTEST_INTERVAL:
        # Shares of the processor are known only between two looks.
        time.sleep(min(interval, 0.2))
        sample = looks.next()
    while True:
        above, threads = _table.page(sample, view)
        write("\n".join([*above, *threads]))
        if once:
            return has_findings(sample.snapshot)
        time.sleep(view.interval)
        write("")
        sample = looks.next()


def _has_terminal() -> bool:
    """Tell whether there is a terminal, and a library for it."""
    if sys.stdout is None or not (sys.stdout.isatty() and os.isatty(0)):
        return False
    try:
        import curses
    except ImportError:
        return False
    try:
        curses.setupterm()
    except curses.error:
        return False
    return True


class _Looks:
    """Looks at a process one after the other."""

    def __init__(self, outside: "Outside") -> None:
        self._outside = outside
        self._before: dict[int, Task] = {}
        self._at = 0.0

    def next(self) -> Sample:
        """Look once more.

        Raises:
            CannotLook: if the process has ended.
        """
        snapshot = self._outside.look(stacks=False)
        at, tasks = time.monotonic(), self._outside.tasks
        sample = Sample(snapshot, tasks, self._before, at - self._at)
        self._before, self._at = tasks, at
        return sample


class _Terminal:
    """The page on a terminal, and the keys."""

    def __init__(self, looks: _Looks, view: View, window: "curses.window") -> None:
        self._looks = looks
        self._view = view
        self._window = window
        self._sample = looks.next()
        self._due = 0.0
        self._first = 0
        self._shows_help = False

    def run(self) -> bool:
        """Show looks until q or Ctrl-C. Tells whether the last one has found something."""
        import curses

        try:
            curses.curs_set(0)
        except curses.error:
            # This terminal cannot hide its cursor.
            pass
        self._window.keypad(True)
        try:
            while self._show():
                pass
        except KeyboardInterrupt:
            pass
        return has_findings(self._sample.snapshot)

    def _show(self) -> bool:
        """Look if it is time to, draw, and wait for a key. False if that ends it."""
        now = time.monotonic()
        if now >= self._due:
            self._sample = self._looks.next()
            self._due = now + self._view.interval
        self._draw()
        self._window.timeout(max(1, int((self._due - time.monotonic()) * 1000)))
        code = self._window.getch()
        key = chr(code) if 0 < code < 0x7F else ""
        key = _SAME_KEYS.get(key, key)
        if key == " ":
            self._due = now
        elif key == "s":
            self._ask_for_interval()
            self._due = now
        elif key == "h":
            self._shows_help = not self._shows_help
        elif key == "R":
            self._view.is_reversed = not self._view.is_reversed
        elif key.upper() in SORT_KEYS:
            self._view.sort = key.upper()
        else:
            self._scroll(code)
        return key != "q"

    def _scroll(self, code: int) -> None:
        import curses

        height = self._window.getmaxyx()[0]
        steps = {
            curses.KEY_UP: -1,
            curses.KEY_DOWN: 1,
            curses.KEY_PPAGE: -height // 2,
            curses.KEY_NPAGE: height // 2,
            curses.KEY_HOME: -len(self._sample.snapshot.threads),
            curses.KEY_END: len(self._sample.snapshot.threads),
        }
        last = max(0, len(self._sample.snapshot.threads) - 1)
        self._first = min(max(0, self._first + steps.get(code, 0)), last)

    def _draw(self) -> None:
        import curses

        window = self._window
        height, width = window.getmaxyx()
        above, threads = _table.page(self._sample, self._view, width - 1)
        if self._shows_help:
            above[:0] = [", ".join(_HELP)[: width - 1], ""]
        self._first = min(self._first, max(0, len(threads) - 1))
        window.erase()
        for row, line in enumerate([*above, *threads[self._first :]][:height]):
            style = curses.A_REVERSE if row == len(above) - 1 else curses.A_NORMAL
            try:
                window.addstr(row, 0, line, style)
            except curses.error:
                # The terminal has become smaller meanwhile.
                break
        window.refresh()

    def _ask_for_interval(self) -> None:
        import curses

        window = self._window
        question = f"seconds between looks, now {self._view.interval:g}: "
        window.move(0, 0)
        window.clrtoeol()
        window.addnstr(0, 0, question, window.getmaxyx()[1] - 1)
        window.timeout(-1)
        curses.echo()
        try:
            answer = window.getstr(_LONGEST_ANSWER).decode("ascii", "replace")
        except (curses.error, KeyboardInterrupt):
            answer = ""
        curses.noecho()
        self._view.interval = interval_in(answer.strip()) or self._view.interval
