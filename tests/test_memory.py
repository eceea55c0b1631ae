"""What the C library keeps."""

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


def test_without_glibc_nothing_is_done(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert not memory.keep_freed()
    assert not memory.return_freed()
