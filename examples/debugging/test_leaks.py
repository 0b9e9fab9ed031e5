"""Tests that leave something behind. Run them with pytest --rthread-leaks=warn."""

import threading

table = threading.Lock()


def test_takes_a_lock():
    table.acquire()


def test_starts_a_thread():
    forever = threading.Event()
    threading.Thread(target=forever.wait, name="forgotten", daemon=True).start()
