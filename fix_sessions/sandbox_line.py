"""The line in front of the sandbox's venue: passes every byte on, but slow or cut when a scenario's order goes by.

Why: a slow acknowledgement and a lost connection are not the venue's doing, so the venue needs no code for them. It
reads what goes by to find the scenarios' orders and must never change a byte, only hold it or end the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from decimal import Decimal, InvalidOperation

import simplefix

from fix_sessions.sandbox_scenarios import CUT_LOTS, SLOW_LOTS, SLOW_SECONDS
from venue.config import Instrument

READ_BYTES = 1 << 16
CUT_SECONDS = 0.3
"""How long after the order the connection goes: long enough for the venue to take it."""


class Connection:
    """One broker's connection and the venue's end of it."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.slow_until = 0.0
        self.muted = asyncio.Event()
        self.parser = simplefix.FixParser()

    async def up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Broker to venue."""
        while data := await reader.read(READ_BYTES):
            lots = self.scenario(data)
            if lots == SLOW_LOTS:
                self.slow_until = asyncio.get_running_loop().time() + SLOW_SECONDS
            if lots == CUT_LOTS:
                self.muted.set()
            writer.write(data)
            await writer.drain()
            if lots == CUT_LOTS:
                await asyncio.sleep(CUT_SECONDS)
                return

    async def down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Venue to broker."""
        while data := await reader.read(READ_BYTES):
            late = self.slow_until - asyncio.get_running_loop().time()
            if late > 0:
                await asyncio.sleep(late)
            if self.muted.is_set():
                continue
            writer.write(data)
            await writer.drain()

    def scenario(self, data: bytes) -> int:
        """The quantity in lots of the last new order for the scenarios' instrument in these bytes, 0 for none."""
        self.parser.append_buffer(data)
        found = 0
        while (message := self.parser.get_message()) is not None:
            if message.get(35) == b"D" and message.get(55) == self.line.instrument.symbol.encode():
                found = self._lots(message.get(38)) or found
        return found

    def _lots(self, quantity: bytes | None) -> int:
        try:
            return int(Decimal((quantity or b"0").decode()) / self.line.instrument.lot)
        except (InvalidOperation, ValueError, OverflowError):
            return 0


class Line:
    """Listens at (host, port), port 0 for any, and connects everybody to the venue. Runs in a thread of its own."""

    def __init__(self, host: str, port: int, venue_port: int, instrument: Instrument) -> None:
        self.host, self.port, self.venue_port, self.instrument = host, port, venue_port, instrument
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._failure: OSError | OverflowError | None = None
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)

    def start(self) -> None:
        """Listens when it returns. Raises OSError, for a port in use."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Cuts everybody. Idempotent."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def check(self) -> None:
        """Asserts that no connection is counted that was closed."""
        assert self.connections >= 0

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            server = self._loop.run_until_complete(asyncio.start_server(self._serve, self.host, self.port))
        except (OSError, OverflowError) as error:
            self._failure = error
            self._ready.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            venue_reader, venue_writer = await asyncio.open_connection(self.host, self.venue_port)
        except OSError:
            writer.close()
            self.connections -= 1
            return
        connection = Connection(self)
        ways = [
            asyncio.create_task(connection.up(reader, venue_writer)),
            asyncio.create_task(connection.down(venue_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.connections -= 1
            for way in ways:
                way.cancel()
            for end in (writer, venue_writer):
                end.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(*ways, return_exceptions=True)
