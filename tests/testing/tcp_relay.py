"""A TCP relay for tests: a way between two programs with a delay and a rate, that can be cut, die, or fall silent.

Each piece waits for the line (`bits_per_second` of one direction are shared by all connections), then for
`delay_seconds`. Of a connection that lives nothing is lost or reordered: TCP sees to that on real lines, too.
"""

import asyncio
import threading

PIECE_BYTES = 16 << 10
# Pieces of one connection and direction that are on their way; the rest is left to its sender.
MOST_PIECES = 256
# Timers are no finer, so a line may be so far ahead of the clock.
SLACK_SECONDS = 0.002


def split_address(address):
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)


class Line:
    """One direction, of all connections together."""

    def __init__(self, delay_seconds, bits_per_second):
        self.delay_seconds, self.bits_per_second = delay_seconds, bits_per_second
        self.open, self.free_at, self.forwarded_bytes = asyncio.Event(), 0.0, 0
        self.open.set()

    async def carry(self, reader, writer):
        pieces = asyncio.Queue(MOST_PIECES)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.take(reader, pieces))
            tasks.create_task(self.deliver(pieces, writer))

    async def take(self, reader, pieces):
        loop, piece = asyncio.get_running_loop(), b"?"
        while piece:
            try:
                piece = await reader.read(PIECE_BYTES)
            except OSError:
                piece = b""  # broken is ended; who writes to it learns more
            self.free_at = max(self.free_at, loop.time())
            if self.bits_per_second is not None:
                self.free_at += 8 * len(piece) / self.bits_per_second
            await pieces.put((self.free_at + self.delay_seconds, piece))
            if (ahead := self.free_at - loop.time()) > SLACK_SECONDS:
                await asyncio.sleep(ahead)

    async def deliver(self, pieces, writer):
        loop, piece = asyncio.get_running_loop(), b"?"
        while piece:
            due, piece = await pieces.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self.open.wait()
            if piece:
                self.forwarded_bytes += len(piece)
                writer.write(piece)
                await writer.drain()
        writer.write_eof()


class TcpRelay:
    """Listens on `address` (HOST:PORT) until close(), in a thread of its own. Its methods may be called from any thread;
    what they ask for is done when they return."""

    def __init__(self, target, delay_seconds=0.0, bits_per_second=None, host="127.0.0.1"):
        self.target, self.connections = split_address(target), 0
        self._serving, self._dead = set(), False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.address = self._call(self._listen(host, delay_seconds, bits_per_second))

    def cut(self):
        """Closes all connections at once; new ones are welcome."""
        self._call(self._cut())

    def kill(self):
        """Closes all connections, and new ones as soon as they come, until mend()."""
        self._call(self._cut(dead=True))

    def freeze(self, to_target=True, from_target=True):
        """A half-open way: connections stay, new ones are accepted, and nothing passes, not even an end, until mend()."""
        self._call(self._set(open_to=not to_target, open_from=not from_target, dead=False))

    def mend(self):
        """As it was at first. What was sent into the silence arrives now, as after a plug is put back."""
        self._call(self._set(open_to=True, open_from=True, dead=False))

    @property
    def forwarded_bytes(self):
        return self._to_target.forwarded_bytes + self._from_target.forwarded_bytes

    def close(self):
        self._call(self._cut(dead=True, ended=True))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # In the relay's own thread.

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _listen(self, host, delay_seconds, bits_per_second):
        self._to_target = Line(delay_seconds, bits_per_second)
        self._from_target = Line(delay_seconds, bits_per_second)
        self._server = await asyncio.start_server(self._serve, host, 0, limit=PIECE_BYTES)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def _serve(self, reader, writer):
        if self._dead:
            writer.transport.abort()
            return
        self.connections += 1
        self._serving.add(asyncio.current_task())
        writers = [writer]
        try:
            await self._to_target.open.wait()
            far_reader, far_writer = await asyncio.open_connection(*self.target, limit=PIECE_BYTES)
            writers.append(far_writer)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._to_target.carry(reader, far_writer))
                tasks.create_task(self._from_target.carry(far_reader, writer))
        except (OSError, asyncio.CancelledError, BaseExceptionGroup):
            pass  # an end is gone, or it was cut: both ends hear of it below
        finally:
            self._serving.discard(asyncio.current_task())
            for end in writers:
                end.transport.abort()

    async def _cut(self, dead=False, ended=False):
        self._dead = self._dead or dead
        if ended:
            self._server.close()
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _set(self, open_to, open_from, dead):
        self._dead = dead
        for line, opened in ((self._to_target, open_to), (self._from_target, open_from)):
            line.open.set() if opened else line.open.clear()
