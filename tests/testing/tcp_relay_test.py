#!/usr/bin/env python3
"""The relay of tcp_relay.py is what the tests that lean on it take it for."""

import os
import socket
import threading
import time
import unittest

from tcp_relay import TcpRelay, split_address

PATIENCE_SECONDS = 60


class Echo:
    """Sends back what comes, on as many connections as there are; keeps its ends, so that a test can close them."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "%s:%d" % self.listener.getsockname()
        self.ends = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                end, _ = self.listener.accept()
            except OSError:
                return
            self.ends.append(end)
            threading.Thread(target=self.echo, args=(end,), daemon=True).start()

    def close(self):
        self.listener.close()
        for end in self.ends:
            end.close()

    @staticmethod
    def echo(end):
        try:
            while data := end.recv(1 << 16):
                end.sendall(data)
            end.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def dial(address):
    return socket.create_connection(split_address(address), PATIENCE_SECONDS)


def receive(end, count):
    data = b""
    while len(data) < count and (piece := end.recv(count - len(data))):
        data += piece
    return data


class Relay(unittest.TestCase):
    def setUp(self):
        self.server = Echo()
        self.addCleanup(self.server.close)
        self.beside = self.dialled(self.relay())
        self.ask(self.beside)

    def relay(self, **options):
        relay = TcpRelay(self.server.address, **options)
        self.addCleanup(relay.close)
        return relay

    def dialled(self, relay):
        end = dial(relay.address)
        self.addCleanup(end.close)
        return end

    def ask(self, end, data=b"a word"):
        end.sendall(data)
        self.assertEqual(receive(end, len(data)), data)

    def assert_silent(self, end):
        """Nothing has come though something else went the whole way and back meanwhile."""
        for _ in range(20):
            self.ask(self.beside)
        end.setblocking(False)
        with self.assertRaises(BlockingIOError):
            end.recv(1)
        end.settimeout(PATIENCE_SECONDS)

    def assert_closed(self, end):
        try:
            self.assertEqual(end.recv(1), b"")
        except ConnectionError:
            pass

    def test_bytes_arrive_as_they_were_sent(self):
        data = os.urandom(3 << 20)
        relay = self.relay()
        end = self.dialled(relay)
        threading.Thread(target=lambda: (end.sendall(data), end.shutdown(socket.SHUT_WR)), daemon=True).start()
        self.assertEqual(receive(end, len(data) + 1), data, "and an end is passed on, too")
        self.assertEqual((relay.connections, relay.forwarded_bytes), (1, 2 * len(data)))

    def test_a_delay_and_a_rate_hold_at_least_what_they_say(self):
        slow = self.dialled(self.relay(delay_seconds=0.02))
        begun = time.monotonic()
        self.ask(slow)
        self.assertGreaterEqual(time.monotonic() - begun, 2 * 0.02)
        thin = self.dialled(self.relay(bits_per_second=16e6))
        data = os.urandom(1 << 20)
        begun = time.monotonic()
        threading.Thread(target=thin.sendall, args=(data,), daemon=True).start()
        self.assertEqual(receive(thin, len(data)), data)
        # All but the slack of either direction.
        self.assertGreaterEqual(time.monotonic() - begun, 8 * len(data) / 16e6 - 2 * 0.002)

    def test_connections_share_the_line(self):
        relay = self.relay(bits_per_second=16e6)
        ends = [self.dialled(relay) for _ in range(4)]
        data = os.urandom(1 << 18)
        begun = time.monotonic()
        for end in ends:
            threading.Thread(target=end.sendall, args=(data,), daemon=True).start()
        for end in ends:
            self.assertEqual(receive(end, len(data)), data)
        self.assertGreaterEqual(time.monotonic() - begun, 8 * len(ends) * len(data) / 16e6 - 2 * 0.002)

    def test_a_cut_closes_all_and_welcomes_new_ones(self):
        relay = self.relay()
        ends = [self.dialled(relay) for _ in range(3)]
        for end in ends:
            self.ask(end)
        relay.cut()
        for end in ends:
            self.assert_closed(end)
        self.ask(self.dialled(relay))

    def test_dead_until_mended(self):
        relay = self.relay()
        end = self.dialled(relay)
        self.ask(end)
        relay.kill()
        self.assert_closed(end)
        self.assert_closed(self.dialled(relay))
        relay.mend()
        self.ask(self.dialled(relay))

    def test_frozen_is_silent_in_every_way(self):
        relay = self.relay()
        end, ending = self.dialled(relay), self.dialled(relay)
        self.ask(ending)
        theirs = self.server.ends[-1]
        self.ask(end)
        relay.freeze()
        end.sendall(b"into the silence")
        theirs.shutdown(socket.SHUT_WR)
        new = self.dialled(relay)
        new.sendall(b"hello")
        for quiet in (end, ending, new):
            self.assert_silent(quiet)
        relay.mend()
        self.assertEqual(receive(end, 16), b"into the silence")
        self.assertEqual(receive(new, 5), b"hello")
        self.assert_closed(ending)

    def test_frozen_in_one_direction(self):
        relay = self.relay()
        end = self.dialled(relay)
        self.ask(end)
        passed = relay.forwarded_bytes
        relay.freeze(to_target=False)
        end.sendall(b"heard, not answered")
        self.assert_silent(end)
        relay.mend()
        self.assertEqual(receive(end, 19), b"heard, not answered")
        self.assertEqual(relay.forwarded_bytes - passed, 2 * 19)

    def test_a_target_that_is_not_there(self):
        self.server.listener.close()
        nobody = TcpRelay("127.0.0.1:1")
        self.addCleanup(nobody.close)
        self.assert_closed(self.dialled(nobody))


if __name__ == "__main__":
    unittest.main()
