"""Payments in both directions at once. Run it with pytest --rthread-deadlocks=raise."""

import threading

from two_accounts import Account, book


def test_no_money_is_lost():
    one, two = Account(1, 1000), Account(2, 1000)
    clerks = [
        threading.Thread(target=book, args=(one, two), name="clerk-1"),
        threading.Thread(target=book, args=(two, one), name="clerk-2"),
    ]
    for clerk in clerks:
        clerk.start()
    for clerk in clerks:
        clerk.join()
    assert one.balance + two.balance == 2000
