#!/usr/bin/env python3
"""Prints the licences of all that the program contains: the crates in it, those in the bundled guests, Rust's standard
library, and what zig links. Which licences are allowed stands in deny.toml, and `cargo deny` looks.

    licenses.py ZIGLANG [--target TRIPLE]

ZIGLANG is the folder of PyPI's ziglang, which has the texts of its own libraries and of wasi-libc."""

import argparse
import html
import html.parser
import json
import pathlib
import re
import subprocess
import sys

GUESTS = ["cat", "lines", "tee", "upper"]
RULE = "=" * 100
# Names that files of licences and notices have.
LICENSE = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


def crates(target, roots):
    """Returns the packages of which code for `target` is in `roots`, which are left out, or that made such code."""
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", target]
    metadata = json.loads(subprocess.check_output(command))
    packages = {it["id"]: it for it in metadata["packages"]}
    nodes = {it["id"]: it for it in metadata["resolve"]["nodes"]}
    wanted = [it["id"] for it in metadata["packages"] if it["name"] in roots and it["source"] is None]
    assert len(wanted) == len(roots), roots
    seen = set()
    while wanted:
        package = wanted.pop()
        if package not in seen:
            seen.add(package)
            normal = lambda it: any(kind["kind"] is None for kind in it["dep_kinds"])
            wanted += [it["pkg"] for it in nodes[package]["deps"] if normal(it)]
    # What has no source is this repository's.
    return [packages[it] for it in seen if packages[it]["source"] is not None]


def texts_of(package):
    """Returns the texts that the crate comes with, each as it is, for its name."""
    folder = pathlib.Path(package["manifest_path"]).parent
    files = [it for it in sorted(folder.iterdir()) if LICENSE.match(it.name)]
    files = [inner for it in files for inner in (sorted(it.iterdir()) if it.is_dir() else [it])]
    if package["license_file"] and folder / package["license_file"] not in files:
        files.append(folder / package["license_file"])
    return [it.read_text(encoding="utf-8", errors="replace").strip() for it in files if it.is_file()]


class Text(html.parser.HTMLParser):
    """The text of a page: of rustc's COPYRIGHT-library.html, whose licences stand in <pre>."""

    def __init__(self):
        super().__init__()
        self.pieces, self.skip, self.exact = [], 0, 0

    def handle_starttag(self, tag, _):
        self.skip += tag in ("style", "title")
        self.exact += tag == "pre"
        if tag in ("p", "h1", "h2", "h3", "h4", "li", "pre", "div", "details"):
            self.pieces.append("\n")

    def handle_endtag(self, tag):
        self.skip -= tag in ("style", "title")
        self.exact -= tag == "pre"

    def handle_data(self, data):
        if not self.skip:
            self.pieces.append(data if self.exact else re.sub(r"\s+", " ", data))

    def text(self):
        return re.sub(r"\n\s*\n\s*\n+", "\n\n", "".join(self.pieces)).strip()


def standard_library():
    sysroot = pathlib.Path(subprocess.check_output(["rustc", "--print", "sysroot"], text=True).strip())
    page = Text()
    page.feed((sysroot / "share/doc/rust/COPYRIGHT-library.html").read_text(encoding="utf-8"))
    return page.text()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ziglang", type=pathlib.Path)
    parser.add_argument("--target", required=True)
    args = parser.parse_args()

    found = {}
    for package in crates(args.target, ["pipehost"]) + crates("wasm32-wasip2", GUESTS):
        found[package["id"]] = package
    found = sorted(found.values(), key=lambda it: (it["name"], it["version"]))
    own = {it["id"]: texts_of(it) for it in found}
    # Some crates of a family come without the text that the others have.
    family = {it["license"]: own[it["id"]] for it in found if own[it["id"]] and it["name"] == "wasmtime"}
    users = {}
    for package in found:
        texts = own[package["id"]] or family.get(package["license"])
        if not texts:
            sys.exit(f"licenses.py: {package['name']} {package['version']} has no file with its licence")
        for text in texts:
            # Equal texts, set in other lines, stand here once.
            users.setdefault(" ".join(text.split()), (text, []))[1].append(f"{package['name']} {package['version']}")

    print("Licences of what the program `pipehost` contains. It has itself those of LICENSE-APACHE or LICENSE-MIT.")
    print("\nCrates, in it and in its bundled guests, or that made code of them:\n")
    for package in found:
        authors = ", ".join(re.sub(r"\s*<.*?>", "", it) for it in package["authors"])
        print(f"  {package['name']} {package['version']}: {package['license']}" + (f"; {authors}" if authors else ""))
    for text, names in users.values():
        print(f"\n{RULE}\n" + "\n".join(names) + f"\n{RULE}\n\n{text}")

    zig = args.ziglang
    wasi = zig / "lib/libc/wasi"
    parts = [("Rust's standard library, in the program and in its bundled guests", standard_library())]
    for what, file in [
        ("wasi-libc, in the bundled guests", wasi / "LICENSE"),
        ("wasi-libc, in the bundled guests: MIT", wasi / "LICENSE-MIT"),
        ("musl, a part of wasi-libc", wasi / "libc-top-half/musl/COPYRIGHT"),
        ("cloudlibc, a part of wasi-libc", wasi / "libc-bottom-half/cloudlibc/LICENSE"),
        ("zig's compiler-rt, linked to the program", zig / "LICENSE"),
        ("LLVM's libunwind, linked to the program", zig / "lib/libunwind/LICENSE.TXT"),
        ("glibc's start files, linked to the program", zig / "lib/libc/glibc/LICENSES"),
    ]:
        parts.append((what, file.read_text(encoding="utf-8").strip()))
    for what, text in parts:
        print(f"\n{RULE}\n{what}\n{RULE}\n\n{text}")


main()
