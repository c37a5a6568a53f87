"""The programs, run as a user runs them: server, client and console over pipes, sockets and terminals."""
import fcntl
import json
import os
import pathlib
import pty
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest
import xml.etree.ElementTree

PROGRAMS = pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else pathlib.Path("build/release/bin")
USAGE, BAD_DATA, NO_INPUT, UNAVAILABLE, CANNOT_CREATE, NOT_PERMITTED = 64, 65, 66, 69, 73, 77
DEADLINE = 60


def run(program, *arguments, text=b""):
    return subprocess.run([PROGRAMS / program, *arguments], input=text, capture_output=True, timeout=DEADLINE)


class Server:
    """A running server on a free port; leaving the block ends it with SIGTERM and checks that it ended well."""

    def __init__(self, *arguments, listen="127.0.0.1:0", stdin=subprocess.DEVNULL):
        self.process = subprocess.Popen([PROGRAMS / "server", "--listen", listen, *arguments], stdin=stdin,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.address = ""
        for line in self.process.stdout:
            if line.startswith(b"Listening on "):
                self.address = line.split()[-1].decode()
            if line.startswith(b"Server run loop"):
                break

    def connect(self):
        if self.address.startswith("unix:"):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(DEADLINE)
            connection.connect(self.address[len("unix:"):])
            return connection
        host, port = self.address.split(":")
        return socket.create_connection((host, int(port)), timeout=DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.output, self.errors = self.process.communicate(timeout=DEADLINE)
        if kind is None:
            assert self.process.returncode == 0, (self.process.returncode, self.errors)


def receive(connection, length):
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            break
        data += piece
    return data


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, command, environment):
        self.text = b""
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # rlwrap wants a size
            os.execvpe(command[0], command, environment)

    def type(self, text):
        os.write(self.descriptor, text)

    def wait_for(self, expected):
        end = time.monotonic() + DEADLINE
        while expected not in self.text:
            ready, _, _ = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))
            assert ready, f"{expected} did not appear in {self.text}"
            try:
                self.text += os.read(self.descriptor, 65536)
            except OSError:
                raise AssertionError(f"{expected} did not appear in {self.text}") from None
        self.text = self.text.split(expected, 1)[1]

    def exit_code(self):
        end = time.monotonic() + DEADLINE
        while True:
            ready, _, _ = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))
            if not ready:
                os.kill(self.pid, signal.SIGKILL)
            try:
                if not os.read(self.descriptor, 65536):
                    break
            except OSError:
                break
        os.close(self.descriptor)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class ConsoleOnAPipe(unittest.TestCase):
    def test_prints_what_it_promises_and_answers(self):
        done = run("server", "--listen", "127.0.0.1:0", text=b"ENSO\n:help\n:stats\n:connections\n:nothing\n:quit\n")
        lines = done.stdout.decode().splitlines()
        self.assertEqual(done.returncode, 0)
        for line in ["IO Server started", "Console is listening...", "Server run loop starting...", 'Message: "ENSO"',
                     "0 open", 'Unknown command ":nothing" (try :help)']:
            self.assertIn(line, lines)

    def test_shows_bytes_that_are_no_utf8(self):
        done = run("server", "--listen", "127.0.0.1:0", text=b"h\xff\xfei\n:quit\n")
        self.assertIn(b'Message: "h\\xff\\xfei"\n', done.stdout)

    def test_refuses_a_huge_line_in_constant_memory_and_goes_on(self):
        length = 1 << 30 if "KN_TEST_LONG" in os.environ else 64 << 20
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(length)  # a hole of zero bytes
            file.seek(0, os.SEEK_END)
            file.write(b"\nafter\n:quit\n")
            file.flush()
            file.seek(0)
            cat = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
            server = subprocess.Popen([PROGRAMS / "server", "--listen", "127.0.0.1:0"], stdin=cat.stdout,
                                      stdout=subprocess.PIPE)
            cat.stdout.close()
            output = server.stdout.read()
            _, status, usage = os.wait4(server.pid, 0)
            server.returncode = os.waitstatus_to_exitcode(status)
            server.stdout.close()
            cat.wait(DEADLINE)
        self.assertEqual(server.returncode, 0)
        self.assertEqual(output.count(b"Line longer than 65536 bytes: ignored\n"), 1)
        self.assertIn(b'Message: "after"\n', output)
        if not is_sanitized():
            self.assertLess(usage.ru_maxrss, 48 * 1024)  # KiB

    def test_goes_on_serving_when_its_input_ends(self):
        with Server() as server, server.connect() as client:
            client.sendall(b"still there?")
            self.assertEqual(receive(client, 12), b"still there?")
        self.assertIn(b"Console closed; the server goes on\n", server.output)

    def test_lists_connections_while_they_are_open(self):
        with Server(stdin=subprocess.PIPE) as server, server.connect() as client:
            client.sendall(b"12345")
            receive(client, 5)
            server.process.stdin.write(b":connections\n:quit\n")
            server.process.stdin.flush()
            server.process.wait(DEADLINE)
        self.assertIn(b"1 open\n", server.output)
        self.assertRegex(server.output, rb"127\.0\.0\.1:\d+ +5 in +5 out")


class ConsoleOnATerminal(unittest.TestCase):
    def environment(self, directory):
        return {**os.environ, "TERM": "xterm", "HOME": directory, "XDG_STATE_HOME": directory}

    def test_edits_completes_and_remembers(self):
        with tempfile.TemporaryDirectory() as directory:
            command = [str(PROGRAMS / "server"), "--listen", "127.0.0.1:0"]
            terminal = Terminal(command, self.environment(directory))
            terminal.wait_for(b"> ")
            terminal.type(b"ENSOX\x7f\r")
            terminal.wait_for(b'Message: "ENSO"')
            terminal.type(b":conn\t\r")
            terminal.wait_for(b"0 open")
            terminal.type(b"\x1b[A\x1b[A\r")  # up twice: the first line again
            terminal.wait_for(b'Message: "ENSO"')
            terminal.type(b":quit\r")
            self.assertEqual(terminal.exit_code(), 0)
            self.assertIn("ENSO", (pathlib.Path(directory) / "kernel" / "history").read_text())

    def test_ends_at_control_d(self):
        with tempfile.TemporaryDirectory() as directory:
            terminal = Terminal([str(PROGRAMS / "server"), "--listen", "127.0.0.1:0"], self.environment(directory))
            terminal.wait_for(b"> ")
            terminal.type(b"\x04")
            self.assertEqual(terminal.exit_code(), 0)

    def test_works_under_rlwrap(self):
        if not shutil.which("rlwrap"):
            self.skipTest("rlwrap is not installed")
        with tempfile.TemporaryDirectory() as directory:
            for extra in ([], ["--plain"]):
                command = ["rlwrap", str(PROGRAMS / "server"), "--listen", "127.0.0.1:0", *extra]
                terminal = Terminal(command, self.environment(directory))
                terminal.wait_for(b"Server run loop starting..." if extra else b"> ")
                terminal.type(b"ENSO\r")
                terminal.wait_for(b'Message: "ENSO"')
                terminal.type(b":quit\r")
                self.assertEqual(terminal.exit_code(), 0)


class ControlSocket(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.directory.name, "control.sock")

    def tearDown(self):
        self.directory.cleanup()

    def test_lets_a_console_in_and_outlives_it(self):
        with Server("--control", self.path):
            self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)
            for _ in range(20):  # more than may be attached at once: each leaves its place
                done = run("console", self.path, text=b"ENSO\n:stats\n:quit\n")
                self.assertEqual(done.returncode, 0)
                self.assertIn(b'Message: "ENSO"\n', done.stdout)
                self.assertIn(b"connections open       0\n", done.stdout)
        self.assertFalse(os.path.exists(self.path))

    def test_console_answers_everything_before_the_end_of_its_input(self):
        with Server("--control", self.path):
            done = run("console", self.path, text=b"".join(b"%d\n" % i for i in range(1000)))
        self.assertEqual(done.stdout, b"".join(b'Message: "%d"\n' % i for i in range(1000)))

    def test_console_says_that_no_server_is_there(self):
        done = run("console", self.path)
        self.assertEqual(done.returncode, UNAVAILABLE)
        self.assertIn(b"cannot attach to", done.stderr)


class Reactors(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.directory.name, "file")
        self.core = min(os.sched_getaffinity(0))
        self.two = "%d,%d" % (self.core, self.core)  # two reactors, on whatever machine

    def tearDown(self):
        self.directory.cleanup()

    def ask(self, server, text):
        """What the server says to commands, once it has ended."""
        server.process.stdin.write(text + b":quit\n")
        server.process.stdin.flush()
        server.process.wait(DEADLINE)

    def exchange(self, clients):
        for number, client in enumerate(clients):
            client.sendall(b"%04d" % number)
        for number, client in enumerate(clients):
            self.assertEqual(receive(client, 4), b"%04d" % number)

    def spread(self, server):
        clients = []
        for _ in range(10):
            clients.append(server.connect())
            self.exchange(clients)
        self.ask(server, b":stats\n:connections\n")
        for client in clients:
            self.assertEqual(client.recv(1), b"")
            client.close()

    def test_share_the_connections_evenly(self):
        with Server("--cores", self.two, stdin=subprocess.PIPE) as server:
            self.spread(server)
        for line in (b"connections open       10\n", b"connections accepted   10\n", b"10 open\n",
                     b"on reactor 0           5 open, 5 accepted\n", b"on reactor 1           5 open, 5 accepted\n"):
            self.assertIn(line, server.output)
        first, second = server.output.split(b"reactor 0:\n")[1].split(b"reactor 1:\n")
        self.assertEqual([first.count(b"127.0.0.1:"), second.count(b"127.0.0.1:")], [5, 5])

    def test_share_the_connections_of_a_local_socket(self):
        with Server("--cores", self.two, listen="unix:" + self.path, stdin=subprocess.PIPE) as server:
            self.spread(server)
        for number in (0, 1):
            self.assertIn(b"on reactor %d           5 open, 5 accepted\n" % number, server.output)
        self.assertFalse(os.path.exists(self.path))

    def test_answer_everybody_who_came_before_the_end(self):
        with Server("--cores", self.two) as server:
            clients = [server.connect() for _ in range(200)]
            for client in clients:
                client.sendall(b"x" * 1000)
            self.assertEqual(len(receive(clients[-1], 1000)), 1000)
            server.process.send_signal(signal.SIGTERM)
            for client in clients[:-1]:
                self.assertEqual(len(receive(client, 1000)), 1000)
            for client in clients:
                client.close()

    def test_bind_a_port_that_is_free_and_no_other(self):
        with Server("--cores", self.two) as server:
            done = run("server", "--listen", server.address, "--cores", self.two)
        self.assertEqual(done.returncode, UNAVAILABLE)
        self.assertIn(b"Address already in use", done.stderr)

    def test_do_what_a_placement_says(self):
        cores = sorted(os.sched_getaffinity(0))
        pathlib.Path(self.path).write_text("control = %d\nio = %d\ntask = %d\n" % (cores[0], cores[-1], cores[-1]))
        with Server("--placement", self.path, stdin=subprocess.PIPE) as server, server.connect() as client:
            self.exchange([client])
            self.ask(server, b":top\n:connections\n")
        self.assertIn(b"%d reactor" % min(len(cores), 2), server.output)
        self.assertRegex(server.output, rb"(?m)^ +\d+ +%d +c" % cores[0])
        self.assertRegex(server.output, rb"(?m)^ +\d+ +%d +.i" % cores[-1])
        self.assertRegex(server.output, rb"127\.0\.0\.1:\d+ +4 in +4 out")

    def test_show_what_they_do(self):
        with Server("--cores", self.two, stdin=subprocess.PIPE) as server, server.connect() as client:
            self.exchange([client])
            self.ask(server, b":top\n:top --json\n:trace on\n:trace off\n:trace write " + self.path.encode() + b"\n")
        self.assertIn(b"2 reactors", server.output)
        reply = next(line for line in server.output.splitlines() if line.startswith(b"{"))
        self.assertEqual(json.loads(reply)["count"], 2)
        self.assertIn("traceEvents", json.loads(pathlib.Path(self.path).read_text()))

    def test_use_no_processor_time_when_there_is_nothing_to_do(self):
        if is_sanitized():
            self.skipTest("sanitizers have threads of their own")
        with Server("--cores", self.two) as server, server.connect() as client:
            self.exchange([client])
            end = time.monotonic() + DEADLINE
            before, now = None, self.work_of(server.process.pid)
            while before != now:  # until they rest for a while
                self.assertLess(time.monotonic(), end)
                time.sleep(0.3)
                before, now = now, self.work_of(server.process.pid)

    def work_of(self, process):
        """How often the threads of a process went to sleep, or were interrupted."""
        return [line for status in pathlib.Path("/proc/%d/task" % process).glob("*/status")
                for line in status.read_text().splitlines() if "ctxt_switches" in line]

    def test_handle_messages_on_other_threads(self):
        text = b"".join(b"line %d\n" % i for i in range(20000))
        for cores in (str(self.core), self.two):
            with Server("--offload", "--cores", cores) as server:
                done = run("client", server.address, text=text)
            self.assertEqual(done.returncode, 0)
            self.assertEqual(done.stdout, text)


class Ends(unittest.TestCase):
    def test_signals_drain(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server() as server, server.connect() as client:
                client.sendall(b"x" * 100000)
                self.assertEqual(len(receive(client, 100000)), 100000)
                server.process.send_signal(number)
                self.assertEqual(client.recv(1), b"")
            self.assertIn(b"draining", server.errors)

    def test_an_attached_console_drains(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "control.sock")
            with Server("--control", path) as server, server.connect() as client:
                client.sendall(b"x")
                self.assertEqual(receive(client, 1), b"x")
                self.assertIn(b"Draining\n", run("console", path, text=b":drain\n").stdout)
                self.assertEqual(client.recv(1), b"")
                self.assertEqual(server.process.wait(DEADLINE), 0)

    def test_an_idle_connection_is_closed(self):
        with Server("--idle-timeout", "200ms") as server, server.connect() as client:
            self.assertEqual(client.recv(1), b"")


class Refusals(unittest.TestCase):
    def refuse(self, code, text, *arguments, program="server"):
        done = run(program, *arguments)
        self.assertEqual(done.returncode, code, done)
        self.assertIn(text, done.stderr)
        self.assertNotIn(b"IO Server started", done.stdout)

    def test_bad_options(self):
        for arguments in (["--listen", "nowhere"], ["--listen", "1.2.3.4:99999"], ["--max-connections", "0"],
                          ["--max-connections", "many"], ["--idle-timeout", "soon"], ["--backend", "kqueue"],
                          ["--cores", "a"], ["--log-level", "loud"], ["--nothing"], ["surplus"]):
            self.refuse(USAGE, b"", *arguments)
        self.refuse(USAGE, b"'nowhere'", "--listen", "nowhere")
        self.refuse(USAGE, b"'soon'", "--idle-timeout", "soon")

    def test_placements_that_make_no_sense(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "placement.conf")
            self.refuse(NO_INPUT, b"No such file", "--placement", path)
            core = min(os.sched_getaffinity(0))
            for text, reason in (("task = %d\nio = here\n" % core, b"placement.conf:2: "),
                                 ("task = 4095\n", b"placement.conf:1: "),
                                 ("task = %d\n" % core, b"names no core for io")):
                pathlib.Path(path).write_text(text)
                self.refuse(BAD_DATA, reason, "--placement", path)
            self.refuse(USAGE, b"only one of", "--placement", path, "--cores", "0")
            self.refuse(USAGE, b"4095", "--cores", "4095")

    def test_port_in_use(self):
        with Server() as server:
            done = run("server", "--listen", server.address)
            self.assertEqual(done.returncode, UNAVAILABLE)
            self.assertIn(b"Address already in use", done.stderr)

    def test_foreign_address(self):
        done = run("server", "--listen", "192.0.2.1:8000")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"cannot listen on 192.0.2.1:8000: Cannot assign requested address", done.stderr)

    def test_privileged_port(self):
        if int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 1:
            self.skipTest("every port is unprivileged here")

        def drop_rights():
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)

        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)  # where that user can run it
            copy = shutil.copy(PROGRAMS / "server", directory)
            done = subprocess.run([copy, "--listen", "127.0.0.1:1"], stdin=subprocess.DEVNULL, capture_output=True,
                                  preexec_fn=drop_rights, timeout=DEADLINE)
        self.assertEqual(done.returncode, NOT_PERMITTED)
        self.assertIn(b"Permission denied (ports below 1024", done.stderr)

    def test_control_path_without_permission_or_too_long(self):
        self.refuse(71, b"cannot open the console", "--listen", "127.0.0.1:0", "--control", "/" + "x" * 200)
        done = run("server", "--listen", "127.0.0.1:0", "--control", "/nowhere/at/all.sock")
        self.assertNotEqual(done.returncode, 0)

    def test_help_and_version(self):
        for program in ("server", "client", "console"):
            self.assertEqual(run(program, "--help").returncode, 0)
            self.assertIn(b"Usage: " + program.encode(), run(program, "--help").stdout)
            self.assertRegex(run(program, "--version").stdout, rb"\d+\.\d+\.\d+")


class Topology(unittest.TestCase):
    MACHINE = ("--synthetic", "package:2 [numa] l3:2 core:4 pu:2")

    def test_writes_a_placement_that_it_accepts(self):
        for machine in [(), self.MACHINE]:
            written = run("kernel-topology", *machine, "--placement-only").stdout
            with tempfile.NamedTemporaryFile(suffix=".conf") as file:
                file.write(written)
                file.flush()
                again = run("kernel-topology", *machine, "--placement", file.name, "--placement-only")
            self.assertEqual((again.returncode, again.stdout), (0, written))

    def test_refuses_a_bad_placement_with_its_line(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"control = 0\ntasks = 1\n")
            file.flush()
            done = run("kernel-topology", "--placement", file.name)
        self.assertEqual(done.returncode, BAD_DATA)
        self.assertEqual(done.stdout, b"")
        self.assertEqual(done.stderr.decode(),
                         f"{file.name}:2: 'tasks' is no key (there are control, io, timer and task)\n")

    def test_describes_a_machine_in_json(self):
        machine = json.loads(run("kernel-topology", *self.MACHINE, "--json").stdout)
        self.assertEqual((machine["unit_count"], machine["core_count"], machine["node_count"]), (32, 16, 2))
        self.assertEqual(machine["placement"]["control"], [0])
        self.assertEqual([unit["number"] for unit in machine["units"] if "io" in unit["roles"]],
                         [number for number in [2, 4, 6, 8, 3, 5, 7, 9]])
        numbers = [unit["number"] for unit in machine["units"]]
        self.assertEqual(machine["distances"][numbers.index(0)][numbers.index(1)], 1)
        self.assertEqual(machine["distances"][numbers.index(0)][numbers.index(31)], 6)

    def test_draws_each_unit_once(self):
        picture = xml.etree.ElementTree.fromstring(run("kernel-topology", *self.MACHINE, "--svg", "-").stdout)
        name = "{http://www.w3.org/2000/svg}"
        numbers = [text.text for text in picture.iter(name + "text") if text.get("class") == "number"]
        self.assertEqual(sorted(map(int, numbers)), list(range(32)))

    def test_refuses_what_makes_no_sense(self):
        for arguments in [["--json", "--placement-only"], ["--synthetic", "elephant"], ["--io-cores", "0"], ["extra"]]:
            done = run("kernel-topology", *arguments)
            self.assertEqual((done.returncode, done.stdout), (USAGE, b""))
        self.assertEqual(run("kernel-topology", "--placement", "/nowhere").returncode, NO_INPUT)
        self.assertEqual(run("kernel-topology", "--svg", "/nowhere/file").returncode, CANNOT_CREATE)
BAD_DATA, NO_INPUT, CANNOT_CREATE = 65, 66, 73


class Client(unittest.TestCase):
    def test_sends_lines_and_prints_the_answers(self):
        text = b"".join(b"line %d\n" % i for i in range(20000))
        with Server() as server:
            done = run("client", server.address, text=text)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout, text)

    def test_says_that_no_server_is_there(self):
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can be there
            done = run("client", "127.0.0.1:%d" % holder.getsockname()[1])
        self.assertEqual(done.returncode, UNAVAILABLE)
        self.assertIn(b"onnection refused", done.stderr)

    def test_load_measures_and_verifies(self):
        core = min(os.sched_getaffinity(0))
        for cores in ("%d" % core, "%d,%d" % (core, core)):
            with Server("--cores", cores) as server:
                done = run("client", "--load", "--connections", "10", "--pipeline", "4", "--size", "300", "--duration",
                           "500ms", "--warmup", "50ms", "--verify", "--json", server.address)
            self.assertEqual(done.returncode, 0, done)
            self.assertRegex(done.stdout, rb'"requests":\s*[1-9]')


def is_sanitized():
    return b"san_init" in (PROGRAMS / "server").read_bytes()


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    unittest.main()
