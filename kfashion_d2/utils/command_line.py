"""This module ends a command-line tool at a mistake or at Ctrl-C with one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["one_line_errors"]

INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


@contextmanager
def one_line_errors(
    tool: str, errors: tuple[type[Exception], ...] = (ModuleNotFoundError, ValueError, OSError), *, hint: str = ""
) -> Iterator[None]:
    """
    Turn errors that the user can mend into ``tool: error: ...`` and exit code 1, and Ctrl-C into exit code 130.

    Args:
        tool: the file name of the tool.
        errors: what the user can mend.
        hint: what to say at Ctrl-C, beside that it was one.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"{tool}: interrupted{'; ' + hint if hint else ''}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except errors as error:
        sys.exit(f"{tool}: error: {' '.join(str(error).splitlines())}")
