"""The command line: ``dldna``.

To add a command, write a file with two functions, ``add(parser)``, which
gives the parser its words and sets ``run``, and ``run(arguments)``, which
does it and returns an exit code; then name the file in :data:`COMMANDS`.
A name with a hyphen has a file with an underscore.
"""

import argparse
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from dldna import __version__
from dldna.cli.arguments import bound

COMMANDS = {
    "landscape": "evaluate the loss on a plane around a network",
    "explore": "walk in the landscape of a network, in a browser",
    "page": "one page on a network, measured within a budget",
    "make-checkpoints": "train the networks that published notebooks load",
}

OK, FAILED, USAGE, STOPPED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the words after ``dldna``; those of the process by default.

    Returns:
        0, done; 1, it failed and said why; 2, the words made no sense;
        130, stopped by Ctrl-C.

    Example:
        >>> main(["landscape", "nosuch", "--data", "digits"])
        1
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = _parser(argv)
    try:
        arguments = parser.parse_args(bound(argv))
    except SystemExit as error:  # argparse has said what is wrong
        return int(error.code or OK)
    if not hasattr(arguments, "run"):
        parser.print_help()
        return USAGE
    with warnings.catch_warnings():
        warnings.showwarning = _note
        try:
            return arguments.run(arguments)
        except KeyboardInterrupt:
            _say("stopped; what is finished is kept")
            return STOPPED
        except BrokenPipeError:
            return FAILED
        except Exception as error:
            return _explain(error)


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dldna",
        description="How deep networks start, move, and what they move on.",
    )
    parser.add_argument(
        "--version", action="version", version=f"dldna {__version__}"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, what in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=what,
            description=what.capitalize() + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in argv:  # the others need not be imported
            file = name.replace("-", "_")
            importlib.import_module(f"dldna.cli.{file}").add(command)
    return parser


def _explain(error: Exception) -> int:
    if os.environ.get("DLDNA_DEBUG"):
        traceback.print_exc()
    text = str(error).strip() or type(error).__name__
    if isinstance(error, KeyError):
        text = f"missing {text}"
    known = (ValueError, TypeError, OSError, ImportError, RuntimeError)
    if not isinstance(error, known):
        text = f"{type(error).__name__}: {text}"
    _say(f"error: {text}")
    if not os.environ.get("DLDNA_DEBUG"):
        _say("(DLDNA_DEBUG=1 shows where)")
    return FAILED


def _note(message, category, filename, lineno, file=None, line=None):
    _say(f"note: {message}")


def _say(text: str) -> None:
    print(f"dldna: {text}", file=sys.stderr, flush=True)
