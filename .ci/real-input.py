#!/usr/bin/env python3
"""Real input: puts a word list through one node of a local cluster and reads it back byte for byte through others,
also after kill -9 of all three. Without --words a list of the same shape is generated. Standard library only."""

import argparse
import hashlib
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

CONNECTIONS = 8
PIPELINE = 32  # requests on their way per connection


def generated_words(count):
    """Distinct words, short and long, some with apostrophes, spaces, accents and other scripts."""
    source = random.Random(20260101)
    syllables = ["ca", "ir", "n", "ston", "e", "gra", "ve", "ring", "é", "ß", "'s", " ", "ño", "山", "ль", "%", "/", "+"]
    words = set()
    while len(words) < count:
        words.add("".join(source.choices(syllables, [9] * 8 + [1] * 10, k=source.randint(1, 12))).strip() or "a")
    return sorted(words)


def listed_words(path, count):
    with open(path, encoding="utf-8") as file:
        words = sorted({line.rstrip("\n") for line in file if line.strip()})
    return words[:count]


def value_of(word):
    """Bytes of every kind, 4 to about 300 of them, that only this word has."""
    digest = hashlib.sha256(word.encode()).digest()
    return (word.encode() + b"\n" + digest * (digest[0] % 9))[: 4 + digest[1]]


class Connection:
    """Pipelined HTTP/1.1 on a plain socket."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", 1 << 16)

    def answer(self):
        status = int(self.file.readline().split()[1])
        length = 0
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return status, self.file.read(length)


def target(word):
    return "/buckets/words/keys/" + urllib.parse.quote(word, safe="")


def put_request(word):
    value = value_of(word)
    head = f"PUT {target(word)} HTTP/1.1\r\nHost: c\r\nContent-Type: text/plain\r\nContent-Length: {len(value)}\r\n\r\n"
    return head.encode() + value


def get_request(word):
    return f"GET {target(word)} HTTP/1.1\r\nHost: c\r\n\r\n".encode()


def in_parallel(words, port, request, problem):
    """Sends `request(word)` for every word; returns what `problem(word, status, body)` says of the answers."""
    problems = []

    def work(share):
        try:
            connection = Connection(port)
            for start in range(0, len(share), PIPELINE):
                batch = share[start : start + PIPELINE]
                connection.socket.sendall(b"".join(map(request, batch)))
                for word in batch:
                    found = problem(word, *connection.answer())
                    if found:
                        problems.append(found)
        except Exception as error:  # a thread must not die unheard
            problems.append(f"port {port}: {error!r}")

    threads = [threading.Thread(target=work, args=(words[part::CONNECTIONS],)) for part in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return problems


def put_problem(word, status, body):
    return None if status == 204 else f"PUT {word!r}: {status} {body[:200]!r}"


def get_problem(word, status, body):
    if status == 200 and body == value_of(word):
        return None
    return f"GET {word!r}: {status}, {len(body)} bytes, expected {len(value_of(word))}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cairn", help="the binary")
    parser.add_argument("--data", required=True)
    parser.add_argument("--port-base", type=int, required=True)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--words", help="a word list, one word per line")
    options = parser.parse_args()

    def local(*words):
        command = [options.cairn, "local", *words, "--data", options.data]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode != 0:
            sys.exit("failed: " + " ".join(command))

    def step(name, port, request, problem):
        begin = time.monotonic()
        problems = in_parallel(words, port, request, problem)
        seconds = time.monotonic() - begin
        print(f"{name}: {len(words)} records in {seconds:.1f} s, {len(problems)} problems", flush=True)
        for line in problems[:10]:
            print("  " + line)
        return not problems

    words = listed_words(options.words, options.records) if options.words else generated_words(options.records)
    ports = [options.port_base + 10 * node + 8 for node in (1, 2, 3)]
    local("up", "--port-base", str(options.port_base))
    try:
        held = step("put through node 1", ports[0], put_request, put_problem)
        held &= step("read through node 2", ports[1], get_request, get_problem)
        for node in ("1", "2", "3"):
            local("kill", node)
        local("up")
        held &= step("read through node 3, after kill -9 of all", ports[2], get_request, get_problem)
    finally:
        local("down", "--wipe")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
