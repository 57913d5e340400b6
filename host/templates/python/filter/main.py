"""Reads lines, and writes what changed() makes of each."""

import pipehost


def changed(line):
    """Returns what is written for a line. Both are bytes, and end as the line does."""
    return line.upper()


def main():
    with pipehost.input() as lines, pipehost.output() as out:
        for line in lines:
            out.write(changed(line))
            # Whoever waits for the answer to a line gets it. Without this, a filter is faster.
            out.flush()


Run = pipehost.command(main)
