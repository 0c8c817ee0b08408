"""What native libraries print is not seen, from however many threads; what mr2ct says is."""

from __future__ import annotations

import os
import subprocess
import sys

SAYS = """
import os, sys, threading
from mr2ct.quiet import OwnStderr, note, quiet_native_stderr

def native(text):
    os.write(2, text.encode())

inside, leave = threading.Event(), threading.Event()
def other():
    with quiet_native_stderr():
        inside.set()
        leave.wait()

native("1 ")
thread = threading.Thread(target=other)
with quiet_native_stderr():
    thread.start()
    inside.wait()
    native("hidden ")
    note("said at once")
native("hidden too, for the other thread is still in it ")
OwnStderr().write("2 ")
leave.set()
thread.join()
native("3 ")
note("said \\udcff")
with quiet_native_stderr(), quiet_native_stderr():
    native("hidden ")
native("4")
"""


def test_native_lines_are_hidden_while_any_thread_asks_for_that_and_ours_are_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAYS],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "1 note: said at once\n2 3 note: said \\udcff\n4"
