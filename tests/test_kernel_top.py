"""kernel-top and the console commands :top and :trace, run as a user runs them, against a program with reactors."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

HOST = pathlib.Path(sys.argv.pop(2)) if len(sys.argv) > 2 else pathlib.Path("build/release/tests/top_host")
PROGRAM = pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else pathlib.Path("build/release/bin/kernel-top")
USAGE, UNAVAILABLE, CANNOT_CREATE, LOST = 64, 69, 73, 74
DEADLINE = 60
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, timeout=DEADLINE)


class Host:
    """A program with reactors to look into; leaving the block ends it."""

    def __init__(self, reactors=2):
        self.reactors = reactors

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "control")
        self.process = subprocess.Popen([HOST, self.path, str(self.reactors)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"Ready\n"
        return self

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(DEADLINE) == 0

    def __exit__(self, *ignored):
        if not self.process.stdin.closed:
            self.end()
        self.process.stdout.close()
        self.folder.cleanup()

    def ask(self, *lines):
        """What its console answers to these lines."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE)
            connection.connect(self.path)
            connection.sendall("".join(line + "\n" for line in (*lines, ":quit")).encode())
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        return answer.decode()


class Fake:
    """A program that takes one connection and answers each line with `answer`; None: not at all."""

    def __init__(self, answer):
        self.answer = answer

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "control")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        return self

    def serve(self):
        connection, _ = self.listener.accept()
        with connection:
            while connection.recv(65536):
                if self.answer is not None:
                    connection.sendall(self.answer)

    def __exit__(self, *ignored):
        self.thread.join(DEADLINE)
        self.listener.close()
        self.folder.cleanup()


class Terminal:
    """kernel-top on a pseudo-terminal."""

    def __init__(self, *arguments, rows=40, columns=90, **environment):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.text = b""
        self.everything = b""
        variables = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment}
        variables = {name: value for name, value in variables.items() if value is not None}
        self.process = subprocess.Popen([PROGRAM, *arguments], stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                        env=variables, preexec_fn=self.take_terminal)

    @staticmethod
    def take_terminal():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text)

    def read(self, timeout):
        ready, _, _ = select.select([self.master], [], [], timeout)
        if not ready:
            return False
        piece = os.read(self.master, 65536)
        self.text += piece
        self.everything += piece
        return True

    def wait_for(self, pattern):
        """Reads until a pattern is there, and forgets the text up to its end."""
        end = time.monotonic() + DEADLINE
        while not (found := re.search(pattern, self.text)):
            assert self.read(max(0, end - time.monotonic())), f"{pattern} did not appear in {self.text}"
        self.text = self.text[found.end():]
        return found

    def frame(self):
        """The lines of the next whole picture, without colours; the status is the last."""
        picture = self.wait_for(rb"(?s)\x1b\[H((?:(?!\x1b\[H).)*?)\x1b\[J\x1b\[\d+;1H\x1b\[7m(.*?)\x1b\[0m\x1b\[K")
        body, status = (part.decode() for part in picture.groups())
        plain = re.sub(r"\x1b\[[0-9;]*[mK]", "", body)
        return re.split(r"\r*\n", plain)[:-1] + [status]

    def frame_where(self, condition):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            frame = self.frame()
            if condition(frame):
                return frame
        raise AssertionError(f"no such picture in {self.everything}")

    def exit_code(self):
        """The program's end; negative: of a signal. Checks that the terminal is as it was."""
        end = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < end
            self.read(0.05)
        while self.read(0):
            pass
        assert termios.tcgetattr(self.slave) == self.before
        assert self.everything.count(ENTER) == self.everything.count(LEAVE), self.everything
        if LEAVE in self.everything:
            assert self.everything.rindex(b"\x1b[?25h") > self.everything.rindex(b"\x1b[?25l")
            assert self.everything.rindex(LEAVE) > self.everything.rindex(b"\x1b[7m")
        return self.process.returncode


class Commands(unittest.TestCase):
    def test_top_shows_the_reactors_as_a_table(self):
        with Host(3) as host:
            first, second = host.ask(":top"), host.ask(":top")
        for text in (first, second):
            self.assertRegex(text, r"\A3 reactors, \d parked  in \d+\.\d\d s:  polls \S+/s ")
            self.assertLessEqual(max(map(len, text.splitlines())), 80)

    def test_top_json_is_one_line(self):
        with Host(3) as host:
            text = host.ask(":top --json")
        self.assertEqual(text.count("\n"), 1)
        sample = json.loads(text)
        self.assertEqual((sample["version"], sample["count"], len(sample["reactors"])), (1, 3, 3))
        for number, reactor in enumerate(sample["reactors"]):
            self.assertEqual(reactor["reactor"], number)
            self.assertEqual(reactor["roles"], ["control", "io", "timer", "task"])
            self.assertIs(type(reactor["parked"]), bool)
            self.assertEqual([len(reactor[key]) for key in ("waiting", "received", "poll_times", "bus_out")],
                             [8, 8, 32, 3])

    def test_what_makes_no_sense_is_answered_with_the_usage(self):
        with Host() as host:
            self.assertEqual(host.ask(":top --yaml"), "Usage: :top [--json]\n")
            for arguments in ("", " on off", " write", " onn", " dump x", " writes x"):
                self.assertEqual(host.ask(":trace" + arguments), "Usage: :trace on | off | write FILE | dump\n")

    def test_trace_is_written_to_a_file_and_to_the_console(self):
        with Host() as host:
            path = os.path.join(host.folder.name, "a trace.json")
            self.assertEqual(host.ask(":trace on"), "Trace on\n")
            while json.loads(host.ask(":trace dump"))["otherData"]["recorded"] < 1000:
                pass
            self.assertEqual(host.ask(":trace off", f":trace write {path}"), f"Trace off\nTrace written to {path}\n")
            with open(path, encoding="utf-8") as file:
                text = file.read()
            # Off means off, and asking does not change it. A poll under way at the first dump may come in late.
            host.ask(":trace dump")
            self.assertEqual(host.ask(":trace dump"), host.ask(":trace dump"))
            self.assertEqual(host.ask(":trace write /no/such/folder/file"),
                             "Cannot write /no/such/folder/file: No such file or directory\n")
            self.assertEqual(host.ask(":trace write /dev/full"), "Cannot write /dev/full: Input/output error\n")
        trace = json.loads(text)
        polls = [event for event in trace["traceEvents"] if event.get("cat") == "poll"]
        self.assertGreater(len(polls), 100)
        self.assertEqual({event["name"] for event in polls}, {'spin "here"'})
        for event in polls:
            self.assertEqual(event["ph"], "X")
            self.assertGreater(event["ts"], 0)
            self.assertGreaterEqual(event["dur"], 0)


class Printing(unittest.TestCase):
    def test_once_prints_one_table_and_ends(self):
        with Host() as host:
            done = run("--once", "--interval", "100ms", host.path)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertRegex(done.stdout, rb"\A2 reactors, \d parked  in 0\.\d\d s:")
        self.assertNotIn(b"\x1b", done.stdout)
        self.assertEqual(done.stdout.count(b" reactors, "), 1)

    def test_json_prints_a_line_a_look(self):
        with Host() as host:
            done = run("--json", "--interval", "20ms", "--count", "5", host.path)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        samples = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(samples), 5)
        for before, after in zip(samples, samples[1:]):
            self.assertGreater(after["time_ns"], before["time_ns"])
            self.assertGreaterEqual(after["reactors"][0]["polls"], before["reactors"][0]["polls"])

    def test_tables_follow_one_another_where_there_is_no_terminal(self):
        with Host() as host:
            done = run("--interval", "20ms", "--count", "3", host.path)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(done.stdout.decode().split("\n\n")), 3)

    def test_many_reactors_are_shown(self):
        with Host(20) as host:
            done = run("--once", "--interval", "50ms", host.path)
        self.assertEqual(done.returncode, 0)
        tables = re.split(rb"(?m)^(?:from  to|bus:)", done.stdout)[0]
        self.assertEqual(len(re.findall(rb"(?m)^  19 ", tables)), 3)

    def test_help_and_version(self):
        self.assertIn(b"Usage: kernel-top", run("--help").stdout)
        self.assertRegex(run("--version").stdout, rb"\Akernel-top \(The Kernel\) \d")

    def test_wrong_usage_is_refused(self):
        for arguments in (["--nonsense"], ["a", "b"], ["--count", "0"], ["--interval", "1ms"], ["--interval", "5"],
                          ["--trace", "x", "--json"], ["--seconds", "1"], ["--trace", "x", "--seconds", "x"],
                          ["--once", "--count", "2"], ["--trace", "x", "--seconds", "0"]):
            done = run(*arguments)
            self.assertEqual((arguments, done.returncode), (arguments, USAGE))
            self.assertNotEqual(done.stderr, b"")

    def test_says_that_nobody_is_there(self):
        done = run("--once", "/no/such/socket")
        self.assertEqual(done.returncode, UNAVAILABLE)
        self.assertEqual(done.stderr, b"kernel-top: cannot attach to /no/such/socket: No such file or directory\n")

    def test_the_path_is_that_of_the_server_unless_given(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([PROGRAM, "--once"], capture_output=True, timeout=DEADLINE,
                                  env={**os.environ, "XDG_RUNTIME_DIR": folder})
        self.assertIn(f"{folder}/kernel-server.sock".encode(), done.stderr)

    def test_says_what_a_program_without_reactors_answers(self):
        with Fake(b'Unknown command ":top" \x1b[31m(try :help)\n') as fake:
            done = run("--once", fake.path)
        self.assertEqual(done.returncode, UNAVAILABLE)
        self.assertEqual(done.stderr, b'kernel-top: the program answers "Unknown command \\":top\\" \\u{1b}[31m(try '
                                      b':help)"\n')

    def test_says_that_the_connection_is_lost(self):
        with Host() as host:
            process = subprocess.Popen([PROGRAM, "--json", "--interval", "1h", host.path], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
            json.loads(process.stdout.readline())
            host.end()
            _, errors = process.communicate(timeout=DEADLINE)
        self.assertEqual((process.returncode, errors),
                         (LOST, b"kernel-top: the program has closed the connection\n"))


class Tracing(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "trace.json")

    def tearDown(self):
        self.folder.cleanup()

    def check(self, text):
        names = {event["name"] for event in json.loads(text)["traceEvents"]}
        self.assertTrue({"process_name", "thread_name", "park", 'spin "here"'} <= names)

    def test_records_for_a_while_and_fetches_the_trace(self):
        with Host() as host:
            done = run("--trace", self.path, "--seconds", "0.2", host.path)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
            with open(self.path, encoding="utf-8") as file:
                self.check(file.read())
            done = run("--trace", "-", "--seconds", "200ms", host.path)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.check(done.stdout)

    def test_an_interrupted_recording_is_switched_off_and_leaves_no_file(self):
        with Host() as host:
            process = subprocess.Popen([PROGRAM, "--trace", self.path, "--seconds", "3600", host.path])
            while json.loads(host.ask(":trace dump"))["otherData"]["recorded"] == 0:
                pass
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(DEADLINE), -signal.SIGINT)
            self.assertFalse(os.path.exists(self.path))
            host.ask(":trace dump")
            self.assertEqual(host.ask(":trace dump"), host.ask(":trace dump"))

    def test_a_file_that_cannot_be_written_is_told_before_anything_is_recorded(self):
        with Host() as host:
            done = run("--trace", "/no/such/folder/file", "--seconds", "3600", host.path)
            self.assertEqual(json.loads(host.ask(":trace dump"))["otherData"]["recorded"], 0)
        self.assertEqual(done.returncode, CANNOT_CREATE)
        self.assertEqual(done.stderr, b"kernel-top: cannot write /no/such/folder/file: No such file or directory\n")

    def test_a_full_disk_is_told(self):
        with Host() as host:
            done = run("--trace", "/dev/full", "--seconds", "0.1", host.path)
        self.assertEqual(done.returncode, CANNOT_CREATE)
        self.assertIn(b"cannot write /dev/full", done.stderr)

    def test_a_program_that_keeps_no_events_is_told(self):
        with Fake(b"No trace: the program keeps no events\n") as fake:
            done = run("--trace", self.path, fake.path)
        self.assertEqual(done.returncode, UNAVAILABLE)
        self.assertEqual(done.stderr, b'kernel-top: the program answers "No trace: the program keeps no events"\n')
        self.assertFalse(os.path.exists(self.path))


class Live(unittest.TestCase):
    def test_shows_the_reactors_until_q(self):
        with Host() as host, Terminal("--interval", "50ms", host.path) as terminal:
            terminal.wait_for(re.escape(ENTER))
            frame = terminal.frame_where(lambda lines: " in 0." in lines[0])
            self.assertTrue(frame[0].startswith("2 reactors, "))
            self.assertIn(host.path, frame[-1])
            self.assertIn(b"\x1b[1m", terminal.everything)  # colours
            terminal.type(b"q")
            self.assertEqual(terminal.exit_code(), 0)

    def test_ends_after_so_many_looks(self):
        with Host() as host, Terminal("--interval", "20ms", "--count", "3", host.path) as terminal:
            self.assertEqual(terminal.exit_code(), 0)

    def test_gives_the_terminal_back_at_every_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT, signal.SIGBUS):
            with Host() as host, Terminal("--interval", "50ms", host.path) as terminal:
                terminal.frame_where(lambda lines: " in 0." in lines[0])
                self.assertNotEqual(termios.tcgetattr(terminal.slave), terminal.before)
                terminal.process.send_signal(number)
                self.assertEqual(terminal.exit_code(), -number)

    def test_control_c_ends_it(self):
        with Host() as host, Terminal("--interval", "50ms", host.path) as terminal:
            terminal.frame()
            terminal.type(b"\x03")
            self.assertEqual(terminal.exit_code(), -signal.SIGINT)

    def test_gives_the_terminal_back_while_it_is_stopped(self):
        with Host() as host, Terminal("--interval", "50ms", host.path) as terminal:
            terminal.frame_where(lambda lines: " in 0." in lines[0])
            terminal.process.send_signal(signal.SIGTSTP)
            _, status = os.waitpid(terminal.process.pid, os.WUNTRACED)
            self.assertTrue(os.WIFSTOPPED(status))
            terminal.wait_for(re.escape(LEAVE))
            self.assertEqual(termios.tcgetattr(terminal.slave), terminal.before)
            terminal.process.send_signal(signal.SIGCONT)
            terminal.wait_for(re.escape(ENTER))
            terminal.frame()
            terminal.type(b"q")
            self.assertEqual(terminal.exit_code(), 0)

    def test_follows_the_size_of_the_terminal(self):
        with Host() as host, Terminal("--interval", "50ms", host.path, rows=30, columns=100) as terminal:
            frame = terminal.frame_where(lambda lines: " in 0." in lines[0])
            self.assertGreater(max(map(len, frame)), 70)
            terminal.resize(30, 33)
            frame = terminal.frame_where(lambda lines: max(map(len, lines)) <= 33)
            self.assertEqual(max(map(len, frame)), 33)
            terminal.type(b"q")
            self.assertEqual(terminal.exit_code(), 0)

    def test_pages_what_does_not_fit(self):
        with Host(12) as host, Terminal("--interval", "50ms", host.path, rows=11) as terminal:
            total = int(terminal.frame_where(lambda lines: "lines 1-10 of " in lines[-1])[-1].split()[3])
            self.assertGreater(total, 40)
            for keys, first in ((b" ", 11), (b"\x1b[B", 12), (b"\x1b[A", 11), (b"j", 12), (b"k", 11), (b"b", 1),
                                (b"\x1b[6~", 11), (b"\x1b[5~", 1), (b"\x1b[F", total - 9), (b"\x1b[H", 1)):
                terminal.type(keys)
                frame = terminal.frame_where(lambda lines, first=first: f"lines {first}-{first + 9} of" in lines[-1])
                self.assertEqual(len(frame), 11)
            terminal.type(b"q")
            self.assertEqual(terminal.exit_code(), 0)

    def test_keys_show_and_hide_parts(self):
        with Host() as host, Terminal("--interval", "50ms", host.path) as terminal:
            def has(text):
                return lambda lines: any(text in line for line in lines)

            def lacks(text):
                return lambda lines: not any(text in line for line in lines)
            for key, text in ((b"1", "role state"), (b"2", "timed"), (b"3", "asked empty")):
                terminal.frame_where(has(text))
                terminal.type(key)
                terminal.frame_where(lacks(text))
                terminal.type(key)
                terminal.frame_where(has(text))
            terminal.type(b"q")
            self.assertEqual(terminal.exit_code(), 0)

    def test_has_no_colours_or_blocks_where_they_are_not_wanted(self):
        with Host() as host:
            with Terminal("--interval", "50ms", "--count", "5", host.path, NO_COLOR="1", LC_ALL="C") as terminal:
                self.assertEqual(terminal.exit_code(), 0)
                self.assertIsNone(re.search(rb"\x1b\[[123]\d?m", terminal.everything))
                self.assertTrue(terminal.everything.isascii())
            with Terminal("--interval", "20ms", "--count", "1", host.path, TERM="dumb") as terminal:
                self.assertEqual(terminal.exit_code(), 0)
                self.assertNotIn(b"\x1b", terminal.everything)

    def test_says_that_the_program_has_ended(self):
        with Host() as host, Terminal("--interval", "50ms", host.path) as terminal:
            terminal.frame()
            host.end()
            self.assertEqual(terminal.exit_code(), LOST)
            self.assertTrue(terminal.everything.endswith(b"kernel-top: the program has closed the connection\r\n"))

    def test_says_what_a_program_without_reactors_answers(self):
        with Fake(b"Unknown command\n") as fake, Terminal(fake.path) as terminal:
            self.assertEqual(terminal.exit_code(), UNAVAILABLE)
            self.assertTrue(terminal.everything.endswith(b'kernel-top: the program answers "Unknown command"\r\n'))

    def test_stays_usable_while_the_program_does_not_answer(self):
        with Fake(None) as fake, Terminal("--interval", "50ms", fake.path) as terminal:
            terminal.wait_for(rb"no answer for \d+ s")
            terminal.type(b"q")
            self.assertEqual(terminal.exit_code(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2 if "KN_TEST_VERBOSE" in os.environ else 1)
