"""Python code run in a process of its own, with packages kept from it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def run(code):
    """Run Python code in a process of its own at the root of the repository, and return what it printed."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
