#!/usr/bin/env python3
"""Keeps many small inputs in one file: pack.py pack FOLDER FILE, pack.py unpack FILE FOLDER

In the file each input stands behind its length, 4 bytes, the least significant first. They are in the
order of their bytes, so that the same inputs make the same file.
"""
import hashlib
import pathlib
import sys


def pack(folder, file):
    inputs = sorted({path.read_bytes() for path in pathlib.Path(folder).iterdir()})
    pathlib.Path(file).write_bytes(b"".join(len(content).to_bytes(4, "little") + content for content in inputs))


def unpack(file, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rest = memoryview(pathlib.Path(file).read_bytes())
    while rest:
        end = 4 + int.from_bytes(rest[:4], "little")
        content = bytes(rest[4:end])
        # The name that libFuzzer would give it.
        (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)
        rest = rest[end:]


if __name__ == "__main__":
    {"pack": pack, "unpack": unpack}[sys.argv[1]](sys.argv[2], sys.argv[3])
