"""Two clerks book payments between two accounts, in both directions.

docs/tutorial-deadlock.md finds the mistake in two_accounts.py. two_accounts_fixed.py is without it.
"""

import threading
import time

PAYMENTS = 100
# Both clerks begin at the same time.
OPENING = threading.Barrier(2)


class Account:
    def __init__(self, number, balance):
        self.number = number
        self.balance = balance
        self.lock = threading.Lock()

    def check(self, amount):
        """Ask the bank whether the account may pay. That takes a moment."""
        time.sleep(0.001)
        if self.balance < amount:
            raise ValueError(f"account {self.number} cannot pay {amount}")

    def pay(self, other, amount):
        with self.lock:
            self.check(amount)
            with other.lock:
                self.balance -= amount
                other.balance += amount


def book(source, target):
    OPENING.wait()
    for _ in range(PAYMENTS):
        source.pay(target, 1)


def main():
    one, two = Account(1, 1000), Account(2, 1000)
    clerks = [
        threading.Thread(target=book, args=(one, two), name="clerk-1"),
        threading.Thread(target=book, args=(two, one), name="clerk-2"),
    ]
    print(f"{PAYMENTS} payments each way", flush=True)
    for clerk in clerks:
        clerk.start()
    for clerk in clerks:
        clerk.join()
    print(f"account 1 has {one.balance}, account 2 has {two.balance}")


if __name__ == "__main__":
    main()
