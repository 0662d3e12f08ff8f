#!/usr/bin/env python3
"""What rounds of anti-entropy cost: three nodes with equal stores, then stores that differ in a few keys.

Bytes are those of the cluster connections, less what they carry when nothing happens; CPU time is that of all nodes.
Exit code 1 when a round over equal stores moves 100 KB or more, or one over differences more than twice their own bytes
and 1 MB, or when the stores do not become equal.
"""
import argparse
import glob
import http.client
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

EQUAL_BYTES_MAX = 100_000
VALUE = 100

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("cairn")
arguments.add_argument("--data", required=True)
arguments.add_argument("--port-base", type=int, required=True)
arguments.add_argument("--keys", type=int, default=1_000_000)
arguments.add_argument("--differences", type=int, default=1000)
options = arguments.parse_args()
nodes = (1, 2, 3)


def cairn(*words):
    return subprocess.run([options.cairn, *words], check=True, capture_output=True, text=True).stdout


def url(node):
    return f"http://127.0.0.1:{options.port_base + 10 * node + 8}"


def ask(node, path, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(url(node) + path, method=method), timeout=600) as answer:
        return json.loads(answer.read())


def wire_bytes():
    """Bytes sent so far on the connections between the nodes, by all of them."""
    ports = {options.port_base + 10 * node + 6 for node in nodes}
    lines = subprocess.run(["ss", "-tinH"], check=True, capture_output=True, text=True).stdout.split("\n")
    total = 0
    for line, details in zip(lines, lines[1:]):
        found = re.match(r"ESTAB\s+\d+\s+\d+\s+\S+:(\d+)\s+\S+:(\d+)", line)
        if found and {int(found[1]), int(found[2])} & ports:
            sent = re.search(r"bytes_sent:(\d+)", details)
            total += int(sent[1]) if sent else 0
    return total


def cpu_seconds():
    total = 0
    for node in json.loads(cairn("local", "status", "--json", "--data", options.data)):
        fields = open(f"/proc/{node['pid']}/stat").read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def background():
    """Bytes a second when nothing happens."""
    before = wire_bytes()
    time.sleep(3)
    return (wire_bytes() - before) / 3


def round_of(node, per_second):
    bytes_before, cpu_before, began = wire_bytes(), cpu_seconds(), time.monotonic()
    report = ask(node, "/admin/anti-entropy", "POST")
    seconds = time.monotonic() - began
    moved = max(0, int(wire_bytes() - bytes_before - per_second * seconds))
    print(
        f"n{node}: {seconds * 1000:.0f} ms, {moved} bytes moved, {cpu_seconds() - cpu_before:.2f} s of CPU; "
        f"{report['stores']} stores, {report['keys_pulled']} keys of {report['bytes_pulled']} bytes pulled",
        flush=True,
    )
    if report["failed"]:
        sys.exit(f"the round failed: {report['failed']}")
    return moved, report


def until(what, holds):
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"not within a minute: {what}")
        time.sleep(0.05)


def main():
    urls = [word for node in nodes for word in ("--url", url(node))]
    settings = ["sync=never", "anti_entropy_interval=0s", "scrub_interval=0s", "hints_max=4KiB"]
    cairn(
        "local", "up", "--data", options.data, "--port-base", str(options.port_base),
        *[word for setting in settings for word in ("--set", setting)])
    cairn(
        "bench", *urls, "--preload", "--keys", str(options.keys), "--value-size", str(VALUE), "--op", "get",
        "--duration", "1s", "--warmup", "0s")
    until("every node has every key", lambda: all(ask(n, "/admin/status")["keys_live"] == options.keys for n in nodes))

    per_second = background()
    print(f"{options.keys} equal keys on each node; {per_second:.0f} bytes a second without rounds")
    for node in nodes:
        moved, report = round_of(node, per_second)
        if moved >= EQUAL_BYTES_MAX or report["differing"]:
            sys.exit(f"a round over equal stores moved {moved} bytes, and found {report['differing']} that differ")

    # Without room for hints, what is written now is news to node 3.
    cairn("local", "kill", "3", "--data", options.data)
    client = http.client.HTTPConnection("127.0.0.1", options.port_base + 18)
    for number in range(options.differences):
        key = number * (options.keys // options.differences)
        client.request("PUT", f"/buckets/bench/keys/{key:016d}", body=b"d" * VALUE, headers={"Content-Type": "text/plain"})
        answer = client.getresponse()
        answer.read()
        if answer.status != 204:
            sys.exit(f"PUT answered {answer.status}")
    cairn("local", "start", "3", "--data", options.data)
    until("no hint is left", lambda: all(ask(n, "/admin/status")["hints"]["count"] == 0 for n in nodes))
    per_second = background()
    print(f"{options.differences} keys written while node 3 was down, some of them handed over as hints")
    moved, report = round_of(3, per_second)
    if moved > 2 * report["bytes_pulled"] + 1_000_000:
        sys.exit(f"{moved} bytes moved for {report['bytes_pulled']}")
    again = ask(3, "/admin/anti-entropy", "POST")
    if again["differing"]:
        sys.exit(f"stores still differ: {again}")


try:
    main()
finally:
    if glob.glob(options.data + "/local.json"):
        subprocess.run([options.cairn, "local", "down", "--wipe", "--data", options.data], capture_output=True)
