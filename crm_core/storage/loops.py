"""Event loops: whether one runs here, and one of our own for synchronous code that waits for coroutines."""

from __future__ import annotations

import asyncio
from typing import Any, cast


def loop_of_our_own() -> asyncio.AbstractEventLoop:
    """Make a loop for coroutines that synchronous code waits for: what they call works on the synchronous driver, as that code does."""
    loop: Any = asyncio.SelectorEventLoop()  # whatever the host's policy makes: not every loop can be marked
    loop.crm_own = True
    return cast(asyncio.AbstractEventLoop, loop)


def in_our_loop() -> bool:
    """Say whether the loop that runs here, if one does, is of our own."""
    return in_a_loop() and hasattr(asyncio.get_running_loop(), "crm_own")


def in_a_loop() -> bool:
    """Say whether a loop runs here."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
