#!/usr/bin/env python3
"""Makes seeds out of the recorded vectors: seeds.py VECTORS CORPUS

VECTORS is shared/vectors; CORPUS gets a folder for each target. Nothing of it is committed.
"""
import base64
import gzip
import json
import pathlib
import sys

TERMINATOR = b"\n##\n"
LARGEST = 16 << 10
MD_MAGIC = b"\xfc\x4e\x2b\xa9"


def main(vectors, corpus):
    def seed(target, name, content):
        folder = corpus / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"vector-{name}").write_bytes(content[:LARGEST])

    for file in sorted((vectors / "wire").glob("*.jsonl")):
        requests = []
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            if "request" in entry:
                requests.append(entry["request"].encode())
            elif "request_b64" in entry:
                requests.append(base64.b64decode(entry["request_b64"]))
        conversation = TERMINATOR.join(requests)
        seed("request", file.stem, b"\0" + conversation)
        seed("frame", file.stem, b"\1\4\7\100\3\377" + conversation[:2048])
        for number, request in enumerate(requests[:4]):
            seed("text", f"{file.stem}-{number}", request)
    for file in sorted((vectors / "disks" / "expected").glob("*.mda?.txt")):
        text = file.read_bytes()
        seed("text", file.stem, text)
        seed("metadata", file.stem, text)
        for flags in (7, 7 | 16 | 32):
            seed("scan", f"{file.stem}-{flags}", bytes([flags, 0]) + text)
    for file in sorted((vectors / "disks").glob("*.img.gz")):
        with gzip.open(file) as image:
            whole = image.read()
        head = whole[:LARGEST]
        for place in whole.find(MD_MAGIC), whole.rfind(MD_MAGIC):
            if place >= 0:
                seed("files", f"{file.stem}-{place}", bytes([0, 0, 0, 8, 16]) + whole[place:place + 4096])
        for flags in (8, 8 | 7):
            seed("scan", f"{file.stem}-{flags}", bytes([flags, 0]) + head)
        seed("ondisk", f"{file.stem}-label", bytes([0, 8, 16, 1]) + head[:2048])
        seed("ondisk", f"{file.stem}-mda", bytes([0, 8, 16, 1]) + head[4096:4608])


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
