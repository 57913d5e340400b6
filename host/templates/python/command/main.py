"""Writes its words as a line into a granted pipe: plugin-name PIPE WORD..."""

import sys

import pipehost


def main():
    if len(sys.argv) < 3:
        print("usage: plugin-name PIPE WORD...", file=sys.stderr)
        pipehost.exit(2)
    pipe, *words = sys.argv[1:]
    with pipehost.open_writer(pipe) as to:
        to.write(" ".join(words).encode() + b"\n")


Run = pipehost.command(main)
