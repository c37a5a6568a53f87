#!/usr/bin/env python3
"""Runs the chat example as its guests see it: test_chat.py PROGRAM"""
import signal
import socket
import subprocess
import sys
import time


def connect(port):
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except ConnectionRefusedError:
            time.sleep(0.02)
    sys.exit("the server does not listen")


def hear(guest, line):
    received = b""
    while line + b"\n" not in received:
        part = guest.recv(4096)
        if not part:
            sys.exit("the server hung up after %r" % received)
        received += part


def main():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen([sys.argv[1], "127.0.0.1:%d" % port]) as server:
        try:
            guests = [connect(port) for _ in range(3)]
            # Who has heard himself is known to be in.
            for number, guest in enumerate(guests):
                guest.sendall(b"I am %d\r\n" % number)
                hear(guest, b"I am %d" % number)
            guests[0].sendall(b"hello\n")
            for guest in guests:
                hear(guest, b"hello")
            guests[1].close()
            guests[2].sendall(b"still there?\n")
            hear(guests[0], b"still there?")
        finally:
            server.send_signal(signal.SIGINT)
        if server.wait(timeout=20) != 0:
            sys.exit("control-C does not end the server well")


if __name__ == "__main__":
    main()
