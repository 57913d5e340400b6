"""Turns CSV, whose first row has the names of the columns, into lines of JSON."""

import csv
import io
import json

import pipehost


def main():
    with pipehost.input() as source, pipehost.output() as out:
        for row in csv.DictReader(io.TextIOWrapper(source, "utf-8", newline="")):
            out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


Run = pipehost.command(main)
