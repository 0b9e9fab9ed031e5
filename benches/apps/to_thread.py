"""asyncio.to_thread, one call at a time: prints the seconds of one."""

import asyncio
import sys
import time


async def main(count: int) -> float:
    await asyncio.to_thread(int)
    begun = time.perf_counter()
    for _ in range(count):
        await asyncio.to_thread(int)
    return (time.perf_counter() - begun) / count


print(asyncio.run(main(int(sys.argv[1]))))
