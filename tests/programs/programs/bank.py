"""A bank with a thread for each client, on `socketserver`.

Lines from a client: `pay ACCOUNT AMOUNT`, `move FROM TO AMOUNT`, `all`, and `close`, which closes
the bank when the other clients have gone.
"""

from __future__ import annotations

import socketserver
import threading
from collections import defaultdict


class Bank(socketserver.ThreadingTCPServer):
    # Their threads are waited for when the bank closes.
    daemon_threads = False
    request_queue_size = 128

    def __init__(self) -> None:
        self.accounts: defaultdict[str, int] = defaultdict(int)
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Client)

    def obey(self, words: list[str]) -> str:
        with self.lock:
            match words:
                case ["pay", account, amount]:
                    self.accounts[account] += int(amount)
                    return str(self.accounts[account])
                case ["move", source, target, amount]:
                    if self.accounts[source] < int(amount):
                        return "refused"
                    self.accounts[source] -= int(amount)
                    self.accounts[target] += int(amount)
                    return "moved"
                case ["all"]:
                    return str(sum(self.accounts.values()))
                case _:
                    return "what?"


class Client(socketserver.StreamRequestHandler):
    server: Bank

    def handle(self) -> None:
        for line in self.rfile:
            words = line.decode().split()
            if words == ["close"]:
                # Waits until the loop in the main thread has ended.
                self.server.shutdown()
                break
            self.wfile.write(f"{self.server.obey(words)}\n".encode())


def main() -> None:
    with Bank() as bank:
        print(bank.server_address[1], flush=True)
        bank.serve_forever()
    print("closed with", sum(bank.accounts.values()))


if __name__ == "__main__":
    main()
