"""A shop in which nothing moves any more: the program of docs/reading-a-report.md."""

import queue
import threading

prices = threading.Lock()
ledger = threading.RLock()
orders = queue.Queue()
parcels = threading.Condition()
opened = threading.Event()


def open_ledger():
    ledger.acquire()
    # The mistake: nothing releases the ledger after this.
    raise OSError("the ledger cannot be read")


def change_prices():
    with prices:
        with ledger:
            pass


def show_prices():
    with prices:
        pass


def sell():
    while True:
        orders.get()
        show_prices()


def pack():
    with parcels:
        parcels.wait(timeout=3600)


def close():
    opened.wait()


def main():
    # A traceback would only be in the way here.
    threading.excepthook = lambda args: print(f"{args.thread.name}: {args.exc_value}", flush=True)
    threads = [
        threading.Thread(target=open_ledger, name="ledger"),
        threading.Thread(target=sell, name="till", daemon=True),
        threading.Thread(target=change_prices, name="boss"),
        threading.Thread(target=show_prices, name="window"),
        threading.Thread(target=pack, name="packer"),
        threading.Thread(target=close, name="porter"),
    ]
    for thread in threads:
        thread.start()
        # One after the other, so that the report is the same each time.
        thread.join(0.1)
    threads[-1].join()


if __name__ == "__main__":
    main()
