"""What the C library keeps."""

import os
import subprocess
import sys

import pytest

from nst_demo import memory

PROGRAM = """
import re, resource
from pathlib import Path
from nst_demo import memory

def megabytes():
    return int(re.search(r"VmRSS:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

def blocks():
    return [bytearray(b"x" * 60_000) for _ in range(2000)]

{before}
kept = blocks()
last = bytearray(b"x" * 60_000)  # above the others, so that the heap's end stays in use
del kept
full = megabytes()
{after}
print(full - megabytes())
"""


@pytest.mark.skipif(memory._glibc() is None, reason="no glibc")
@pytest.mark.parametrize(
    ("before", "after", "least", "most"),
    [("", "memory.return_freed()", 80, 130), ("memory.keep_freed()", "", -1, 1)],
)
def test_pages_go_back_only_when_told_to(before, after, least, most):
    program = PROGRAM.format(before=before, after=after)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert least < float(done.stdout) < most


POOLS = """
import ctypes, threading
from nst_demo import memory

def work():
    block = bytearray(50_000)
    wait.wait()

{before}
wait = threading.Barrier(25)
threads = [threading.Thread(target=work) for _ in range(24)]
for thread in threads:
    thread.start()
library = ctypes.CDLL(None)
library.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
library.fopen.restype, library.fopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p] * 2
library.fclose.argtypes = [ctypes.c_void_p]
file = library.fopen(b"{found}", b"w")
library.malloc_info(0, file)
library.fclose(file)
wait.wait()
print(open("{found}").read().count("<heap nr="))
"""


@pytest.mark.skipif(memory._glibc() is None, reason="no glibc")
def test_threads_share_few_pools(tmp_path):
    def pools(before: str) -> int:
        program = POOLS.format(before=before, found=tmp_path / "pools.xml")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    few = max(2, os.cpu_count() or 1)
    assert pools("memory.keep_freed()") <= few < pools("")


def test_without_glibc_nothing_is_done(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert not memory.keep_freed()
    assert not memory.return_freed()
