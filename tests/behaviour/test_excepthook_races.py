"""`_excepthook` while another thread replaces what it prints to."""

from __future__ import annotations

import support


def test_sys_stderr_is_replaced_meanwhile() -> None:
    """Each replacement frees a stream: without a GIL the hook has to have a reference."""
    output = support.check_snippet(
        """
        import io, sys, types
        import rthread
        from rthread import threading

        over = False
        kept = sys.stderr

        class Quiet(io.TextIOBase):
            def write(self, text): return len(text)

        def replace():
            while not over:
                sys.stderr = Quiet()

        error = ValueError()
        def report():
            for _ in range(3000):
                rthread._excepthook(rthread._ExceptHookArgs((ValueError, error, None, None)))

        replacers = [threading.Thread(target=replace) for _ in range(2)]
        reporters = [threading.Thread(target=report) for _ in range(2)]
        for thread in replacers + reporters: thread.start()
        for thread in reporters: thread.join()
        over = True
        for thread in replacers: thread.join()
        sys.stderr = kept
        print("done")
        """
    )
    assert output == "done\n"
