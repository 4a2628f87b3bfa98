"""What is handed to the model's thread comes back once, however long it takes."""

import asyncio
import threading
import time

import pytest

from model_envelope.serving.model_thread import PATIENCE_SECONDS, ModelThread


def hand_over(orders: list[tuple[float, bool]]) -> tuple[list[int], list[int], set[int]]:
    """Numbers of orders that were waited for, of those delivered later, and the threads used.

    An order is how long it takes, and whether it is to be waited for.
    """
    threads: set[int] = set()

    def make(order: tuple[int, float]) -> int:
        threads.add(threading.get_ident())
        time.sleep(order[1])
        return order[0]

    async def run() -> tuple[list[int], list[int]]:
        waited, delivered = [], []
        came = asyncio.Event()

        def deliver(order: tuple[int, float], made: int) -> None:
            assert made == order[0]
            delivered.append(made)
            came.set()

        thread = ModelThread(make, deliver)
        for number, (seconds, wait) in enumerate(orders):
            came.clear()
            made = thread.begin((number, seconds), wait=wait)
            if made is None:
                await asyncio.wait_for(came.wait(), 60)
            else:
                waited.append(made)
        thread.close()
        await asyncio.sleep(0)  # what was called late finds nothing more to deliver
        return waited, delivered

    return (*asyncio.run(run()), threads)


def test_about_as_long_as_one_waits() -> None:
    times = [PATIENCE_SECONDS * factor for factor in (0.0, 0.5, 0.9, 0.95, 1.0, 1.05, 1.5)] * 40
    waited, delivered, threads = hand_over([(seconds, True) for seconds in times])
    assert sorted(waited + delivered) == list(range(len(times)))
    assert threading.get_ident() not in threads
    assert len(threads) == 1


def test_waiting_and_not_by_turns() -> None:
    orders = [(PATIENCE_SECONDS * (i % 3), i % 2 == 0) for i in range(200)]
    waited, delivered, _ = hand_over(orders)
    assert sorted(waited + delivered) == list(range(len(orders)))
    assert all(orders[number][1] for number in waited)


@pytest.mark.parametrize("wait", [True, False])
def test_the_loop_goes_on_while_it_takes_long(wait: bool) -> None:
    go_on = threading.Event()

    def make(given: str) -> str:
        assert go_on.wait(60)
        return given

    async def run() -> list[str]:
        found: list[str] = []
        done = asyncio.Event()

        def deliver(_: str, made: str) -> None:
            found.append(made)
            done.set()

        thread = ModelThread(make, deliver)
        assert thread.begin("slow", wait=wait) is None
        go_on.set()  # by the loop, which therefore runs
        await asyncio.wait_for(done.wait(), 60)
        thread.close()
        return found

    assert asyncio.run(run()) == ["slow"]
