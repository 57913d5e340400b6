"""The pipes that a component is granted under pipehost, as file objects.

    import pipehost

    def main():
        with pipehost.input() as lines, pipehost.output() as out:
            for line in lines:
                out.write(line.upper())

    Run = pipehost.command(main)

componentize-py makes a component of that: `build` has the command. What is not here (children, how much
a pipe holds) is in `wit_world`, which componentize-py makes of the WIT package.

Under python3 itself, without a component around it, nothing is granted: input() and output() are stdin and
stdout, so that a filter runs and is tested as it stands.
"""

import errno
import io
import os
import sys
import traceback
from collections import namedtuple

try:
    from componentize_py_types import Err
    from wit_world.imports import anonymous, exit as wasi_exit, named, streams, types
except ImportError:
    named = None

BUFFER = 64 * 1024
"""How many bytes a file object reads at once, or holds back. Call flush() where the other side waits."""

Granted = namedtuple("Granted", "name read write")
"""A granted pipe: the name to open it by, and which of its ends may be opened."""

_NUMBERS = {
    "NOT_PERMITTED": errno.EACCES,
    "INVALID_NAME": errno.EINVAL,
    "LIMIT_EXCEEDED": errno.EMFILE,
    "BROKEN_PIPE": errno.EPIPE,
    "TIMED_OUT": errno.ETIMEDOUT,
    "IN_USE": errno.EBUSY,
    "UNSUPPORTED": errno.ENOTSUP,
}


def granted():
    """Returns the granted pipes, in the order in which the operator named them."""
    if named is None:
        return []
    read, write = named.Directions.READ, named.Directions.WRITE
    return [Granted(it.name, read in it.directions, write in it.directions) for it in named.list()]


def open_reader(name):
    """Opens the granted pipe `name` as a binary file object. Does not wait: the first read waits for a writer.

    Raises OSError: PermissionError where it is not granted; else see its errno.
    """
    return _reader(_opened(named.open_reader, name))


def open_writer(name):
    """Opens the granted pipe `name` as a binary file object. Does not wait: the first write waits for a reader.

    Raises OSError, as open_reader() does. Writing raises BrokenPipeError once the reader is gone.
    """
    return _writer(_opened(named.open_writer, name))


def pipe():
    """Makes an anonymous pipe, and returns its reader and its writer.

    It holds a bounded number of bytes: who fills a pipe that only it reads waits for ever.
    """
    reader, writer = _opened(anonymous.create)
    return _reader(reader), _writer(writer)


def input():
    """Opens what a filter reads: the granted pipe `in`, or the only one that may be read, or else stdin."""
    readable = [it.name for it in granted() if it.read]
    if "in" in readable:
        return open_reader("in")
    return open_reader(readable[0]) if len(readable) == 1 else sys.stdin.buffer


def output():
    """Opens what a filter writes: the granted pipe `out`, or else stdout."""
    if any(it.name == "out" and it.write for it in granted()):
        return open_writer("out")
    return sys.stdout.buffer


def exit(status):
    """Flushes stdout and ends with this status, 0 to 255. sys.exit() makes every status but 0 a 1."""
    if not sys.stdout.closed:
        sys.stdout.flush()
    if named is not None:
        wasi_exit.exit_with_code(status)
    os._exit(status)


def command(main):
    """Makes of a function what componentize-py wants a command to export: a class named `Run`.

    An exception that main() raises is shown on stderr, and the status is 1; or 141, and nothing is shown, if
    it is that the reader is gone.
    """

    class Run:
        def run(self):
            try:
                main()
                if not sys.stdout.closed:
                    sys.stdout.flush()
            except BrokenPipeError:
                _leave(141)
            except SystemExit as end:
                code = end.code
                if isinstance(code, str):
                    print(code, file=sys.stderr)
                _leave(code if isinstance(code, int) else int(code is not None))
            except Exception:
                traceback.print_exc()
                _leave(1)

    return Run


def _leave(status):
    sys.stderr.flush()
    wasi_exit.exit_with_code(status & 0xFF)


class _Reading(io.RawIOBase):
    def __init__(self, stream):
        self._stream = stream

    def readable(self):
        return True

    def readinto(self, into):
        try:
            some = _moved(self._stream.blocking_read, min(len(into), BUFFER))
        except EOFError:
            return 0
        into[: len(some)] = some
        return len(some)

    def close(self):
        if not self.closed:
            self._stream.__exit__(None, None, None)
        super().close()


class _Writing(io.RawIOBase):
    def __init__(self, stream):
        self._stream = stream

    def writable(self):
        return True

    def write(self, data):
        try:
            room = _moved(self._stream.check_write)
            while room == 0:
                with self._stream.subscribe() as ready:
                    ready.block()
                room = _moved(self._stream.check_write)
            some = bytes(data[:room])
            _moved(self._stream.write, some)
        except EOFError:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
        return len(some)

    def close(self):
        # The host delivers what it was given.
        if not self.closed:
            self._stream.__exit__(None, None, None)
        super().close()


def _reader(end):
    return io.BufferedReader(_Reading(types.PipeReader.read_via_stream(end)), BUFFER)


def _writer(end):
    return io.BufferedWriter(_Writing(types.PipeWriter.write_via_stream(end)), BUFFER)


def _opened(function, *name):
    """Calls a function of the package, whose error becomes an OSError."""
    try:
        return function(*name)
    except Err as error:
        raise _os_error(_NUMBERS.get(error.value.name, errno.EIO), *name) from None


def _moved(function, *args):
    """Calls a function of a stream. Raises EOFError where the other side is gone."""
    try:
        return function(*args)
    except Err as error:
        if isinstance(error.value, streams.StreamError_Closed):
            raise EOFError from None
        code = types.pipe_error_code(error.value.value)
        # What a stream can reach is the operator's bound of bytes.
        numbers = _NUMBERS | {"LIMIT_EXCEEDED": errno.EDQUOT}
        raise _os_error(numbers.get(code.name, errno.EIO) if code else errno.EIO) from None


def _os_error(number, *name):
    return OSError(number, os.strerror(number), *name)
