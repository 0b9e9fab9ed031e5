"""A server that is asynchronous around work that is not.

Each line from a client is a list of numbers. The sum is made in another thread by a function that
blocks, and is told together with the client's name, which that function gets from a context
variable. After the line `stop` from any client the server ends when all clients have gone.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

client: contextvars.ContextVar[str] = contextvars.ContextVar("client")


def blocking_sum(numbers: list[int]) -> str:
    time.sleep(0.001)
    elsewhere = threading.current_thread() is not threading.main_thread()
    return f"{client.get()} {sum(numbers)} {elsewhere}"


class Server:
    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.tasks: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        client.set((await reader.readline()).decode().strip())
        while line := (await reader.readline()).decode().strip():
            if line == "stop":
                self.stop.set()
                break
            answer = await asyncio.to_thread(blocking_sum, [int(word) for word in line.split()])
            writer.write(f"{answer}\n".encode())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def run(self) -> None:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await self.stop.wait()
        server.close()
        await asyncio.gather(*filter(None, self.tasks))


def report_from_afar(loop: asyncio.AbstractEventLoop) -> None:
    """Call back into the loop from a thread that the loop knows nothing of."""
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()


async def main() -> None:
    caller = threading.Thread(target=report_from_afar, args=(asyncio.get_running_loop(),))
    server = asyncio.create_task(Server().run())
    caller.start()
    await server
    caller.join()
    print("stopped")


if __name__ == "__main__":
    asyncio.run(main())
