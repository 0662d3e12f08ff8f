#!/usr/bin/env python3
"""Deletes on three real nodes: that keys stay gone, that tombstones go away, and what that costs.

 1. every key is deleted and all tombstones are collected; ten rounds of anti-entropy after that move nothing, nothing is
    said between the nodes any more, and after a merge the disk is back where it was before the keys;
 2. keys are deleted and put again through other nodes, at once or just when their tombstones are collected, which happens
    without any hold: every put that was acknowledged is found afterwards;
 3. a node is down while keys are deleted: nothing is collected until it returns, and then everything is;
 4. keys that were never there are deleted: with all nodes up that leaves nothing; with one down no more tombstones than
    tombstones_max allows, in so much memory, and every delete beyond that is refused with the name of that node; when it
    is back everything goes.
Exit code 1 when one of that does not hold.
"""
import argparse
import collections
import glob
import http.client
import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
import urllib.request

VALUE = 100
IDLE_MESSAGES_MAX = 0
HOLD, FEED = 1, 0.2
# What a tombstone that waits may cost a node, its share of a hint for the node that is away included.
TOMBSTONE_BYTES_MAX = 400
# Clients at once.
WORKERS = 4

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("cairn")
arguments.add_argument("--data", required=True)
arguments.add_argument("--port-base", type=int, required=True)
arguments.add_argument("--keys", type=int, default=100_000)
arguments.add_argument("--check", choices=("collected", "races", "one-down", "never-there"), help="only this one")
arguments.add_argument("--tombstones-max", type=int, help="of check 4, per store; half of what would come by default")
options = arguments.parse_args()
nodes = (1, 2, 3)


def cairn(*words):
    return subprocess.run([options.cairn, *words], check=True, capture_output=True, text=True).stdout


def port(node):
    return options.port_base + 10 * node + 8


def ask(node, path, method="GET"):
    request = urllib.request.Request(f"http://127.0.0.1:{port(node)}{path}", method=method)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return answer.read()


def document(node, path, method="GET"):
    return json.loads(ask(node, path, method))


def metric(node, name):
    found = re.search(rf"^{name} (\S+)$", ask(node, "/metrics").decode(), re.MULTILINE)
    return float(found[1]) if found else sys.exit(f"there is no metric {name}")


def pending():
    return [document(node, "/admin/tombstones")["pending"] for node in nodes]


def until(what, holds, patience=120):
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"not within {patience} s: {what}")
        time.sleep(0.02)


def disk_bytes():
    paths = [path for node in nodes for path in glob.glob(f"{options.data}/n{node}/stores/p*/*.data")]
    return sum(os.path.getsize(path) for path in paths)


def resident_bytes():
    total = 0
    for node in json.loads(cairn("local", "status", "--json", "--data", options.data)):
        if node["pid"] is None:
            continue
        found = re.search(r"^VmRSS:\s+(\d+) kB", open(f"/proc/{node['pid']}/status").read(), re.MULTILINE)
        total += int(found[1]) * 1024
    return total


def begin(*settings):
    cairn(
        "local", "up", "--data", options.data, "--port-base", str(options.port_base),
        *[word for setting in settings for word in ("--set", setting)])


def end():
    cairn("local", "down", "--wipe", "--data", options.data)


class Client:
    """One connection to each node."""

    def __init__(self, bucket):
        self.connections = {node: http.client.HTTPConnection("127.0.0.1", port(node), timeout=60) for node in nodes}
        self.bucket = bucket

    def send(self, node, method, key, body=None, query=""):
        connection = self.connections[node]
        headers = {"Content-Type": "text/plain"} if body is not None else {}
        connection.request(method, f"/buckets/{self.bucket}/keys/{key}{query}", body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def in_parallel(work, count):
    """Calls `work(first, end)` for parts of all numbers, in some processes. Returns what they returned, added up."""
    part = (count + WORKERS - 1) // WORKERS
    with multiprocessing.Pool(WORKERS) as pool:
        return sum(pool.starmap(work, [(begin, min(count, begin + part)) for begin in range(0, count, part)]))


def put_all(first, end):
    client = Client("cost")
    for key in range(first, end):
        status, _ = client.send(1 + key % 3, "PUT", f"{key:08d}", "v" * VALUE)
        if status != 204:
            sys.exit(f"PUT answered {status}")
    return end - first


def delete_all(first, end):
    client = Client("cost")
    for key in range(first, end):
        status, body = client.send(1 + (key + 1) % 3, "DELETE", f"{key:08d}")
        if status != 204:
            sys.exit(f"DELETE answered {status}: {body}")
    return end - first


def race(first, end):
    """Deletes each key through one node and puts it again through another. Returns acknowledged puts."""
    client = Client("race")
    late = collections.deque()

    def put_again(key):
        status, body = client.send(1 + (key + 2) % 3, "PUT", f"{key:08d}", "new")
        if status != 204:
            sys.exit(f"PUT answered {status}: {body}")

    for key in range(first, end):
        client.send(1 + key % 3, "PUT", f"{key:08d}", "old")
        status, _ = client.send(1 + (key + 1) % 3, "DELETE", f"{key:08d}")
        if status != 204:
            sys.exit(f"DELETE answered {status}")
        if key % 4:
            put_again(key)
        else:
            # Collecting takes a few feed intervals and a round: somewhere in there.
            late.append((time.monotonic() + 0.02 + key % 100 / 500, key))
        while late and late[0][0] <= time.monotonic():
            put_again(late.popleft()[1])
    for _, key in late:
        put_again(key)
    return end - first


def count_lost(first, end):
    client = Client("race")
    lost = 0
    for key in range(first, end):
        for r in (2, 3):
            status, body = client.send(1 + key % 3, "GET", f"{key:08d}", query=f"?r={r}")
            if status != 200 or body != b"new":
                lost += 1
                print(f"key {key:08d} at r={r}: {status} {body!r}", flush=True)
    return lost


def collected():
    begin(f"tombstone_hold={HOLD}s", f"feed_interval={int(FEED * 1000)}ms", "sync=never")
    empty, resident_empty = disk_bytes(), resident_bytes()
    began = time.monotonic()
    in_parallel(put_all, options.keys)
    put_seconds = time.monotonic() - began
    resident_full = resident_bytes()
    began = time.monotonic()
    in_parallel(delete_all, options.keys)
    seconds = time.monotonic() - began
    until("every tombstone is collected", lambda: pending() == [0, 0, 0])
    waited = time.monotonic() - began - seconds
    purged = [int(metric(node, "cairn_tombstones_purged_total")) for node in nodes]
    print(f"{options.keys} keys put in {put_seconds:.1f} s, deleted in {seconds:.1f} s, collected {waited:.1f} s later: {purged}")

    moved = 0
    before = {name: [metric(node, name) for node in nodes] for name in ("cairn_feed_messages_total", "cairn_feed_entries_applied_total")}
    for _ in range(10):
        for node in nodes:
            report = document(node, "/admin/anti-entropy", "POST")
            moved += report["keys_pulled"]
            if report["differing"] or report["failed"]:
                sys.exit(f"a round over empty stores found something: {report}")
    after = {name: [metric(node, name) for node in nodes] for name in before}
    said = sum(after["cairn_feed_messages_total"]) - sum(before["cairn_feed_messages_total"])
    entries = sum(after["cairn_feed_entries_applied_total"]) - sum(before["cairn_feed_entries_applied_total"])
    print(f"ten rounds on each node: {moved} records pulled, {entries:.0f} tombstones and {said:.0f} messages in feeds")
    if moved or entries or said > IDLE_MESSAGES_MAX:
        sys.exit("something was moved though nothing was left")

    for node in nodes:
        document(node, "/admin/merge", "POST")
    print(f"bytes of data files: {empty} empty, {disk_bytes()} after a merge; "
          f"resident: {resident_empty >> 20} MiB empty, {resident_full >> 20} full, {resident_bytes() >> 20} now")
    if disk_bytes() > empty + 64 * 3 * 4096:
        sys.exit("collected keys take room on the disk")
    end()


def races():
    begin("tombstone_hold=0s", "feed_interval=20ms", "anti_entropy_interval=1s", "sync=never")
    began = time.monotonic()
    count = in_parallel(race, options.keys)
    seconds = time.monotonic() - began
    lost = in_parallel(count_lost, options.keys)
    purged = [int(metric(node, "cairn_tombstones_purged_total")) for node in nodes]
    print(f"{count} keys deleted and put again in {seconds:.1f} s while {purged} tombstones were collected: {lost} reads failed")
    if lost:
        sys.exit("an acknowledged put is gone")
    end()


def one_down():
    keys = options.keys // 10
    begin(f"tombstone_hold={HOLD}s", f"feed_interval={int(FEED * 1000)}ms", "sync=never")
    empty = disk_bytes()
    in_parallel(put_all, keys)
    cairn("local", "kill", "3", "--data", options.data)
    client = Client("cost")
    for key in range(keys):
        status, body = client.send(1 + key % 2, "DELETE", f"{key:08d}")
        if status != 204:
            sys.exit(f"DELETE with a node down answered {status}: {body}")
    time.sleep(2 * HOLD + 4 * FEED)
    waiting = [document(node, "/admin/tombstones")["pending"] for node in (1, 2)]
    if waiting != [keys, keys]:
        sys.exit(f"{waiting} of {keys} tombstones wait while an owner is down")
    cairn("local", "start", "3", "--data", options.data)
    until("node 3 serves", lambda: document(3, "/admin/status")["state"] == "serving")
    began = time.monotonic()
    until("every tombstone is collected", lambda: pending() == [0, 0, 0])
    seconds = time.monotonic() - began
    for node in nodes:
        document(node, "/admin/merge", "POST")
    print(f"one node down: {waiting} tombstones kept; collected {seconds:.1f} s after its return; data files {empty} -> {disk_bytes()}")
    if disk_bytes() > empty + 64 * 3 * 4096:
        sys.exit("collected keys take room on the disk")
    end()


def delete_never_there(first, end, nodes, prefix):
    """Deletes keys that nobody has put. Returns how many answers had which status, and how many refusals named n3."""
    client = Client("never")
    statuses = collections.Counter()
    for key in range(first, end):
        status, body = client.send(nodes[key % len(nodes)], "DELETE", f"{prefix}{key:08d}")
        statuses[status] += 1
        if status == 507:
            statuses["named"] += b"n3 is down" in body
    return statuses


def in_parallel_counted(nodes, prefix, count):
    part = (count + WORKERS - 1) // WORKERS
    with multiprocessing.Pool(WORKERS) as pool:
        work = [(begin, min(count, begin + part), nodes, prefix) for begin in range(0, count, part)]
        return sum(pool.starmap(delete_never_there, work), collections.Counter())


def never_there():
    partitions = 64
    bound = options.tombstones_max or max(1, options.keys // partitions // 2)
    begin(f"tombstone_hold={HOLD}s", f"feed_interval={int(FEED * 1000)}ms", "sync=never", f"tombstones_max={bound}")
    empty, resident_empty = disk_bytes(), resident_bytes()
    began = time.monotonic()
    up = in_parallel_counted((1, 2, 3), "u", options.keys)
    left = [document(node, "/admin/status")["tombstones"] for node in nodes]
    print(f"all up: {options.keys} keys that were never there deleted in {time.monotonic() - began:.1f} s: {dict(up)}, "
          f"tombstones left {left}, bytes {empty} -> {disk_bytes()}", flush=True)
    if pending() != [0, 0, 0]:
        print("some owner was slow, and a tombstone was written: waiting for it", flush=True)
        until("every tombstone is collected", lambda: pending() == [0, 0, 0])

    cairn("local", "kill", "3", "--data", options.data)
    until("n3 is seen to be down", lambda: document(1, "/admin/status")["peers"][1]["link"] == "down")
    resident_up = resident_bytes()
    began = time.monotonic()
    down = in_parallel_counted((1, 2), "d", options.keys)
    seconds = time.monotonic() - began
    waiting = [document(node, "/admin/tombstones") for node in (1, 2)]
    counts = [one["pending"] for one in waiting]
    hints = [document(node, "/admin/hints")["count"] for node in (1, 2)]
    grown = resident_bytes() - resident_up
    each = grown / max(1, sum(counts))
    print(f"n3 down: {options.keys} deleted in {seconds:.1f} s: {dict(down)}; {counts} tombstones wait, "
          f"{[one['bytes'] for one in waiting]} bytes, at most {bound} in each of {partitions} stores; {hints} hints; "
          f"resident {resident_up >> 20} -> {resident_up + grown >> 20} MiB, {each:.0f} bytes each", flush=True)
    print(f"blocked by: {[(one['node'], one['reason'], one['pending']) for one in waiting[0]['blocked_by']]}", flush=True)
    # What meets at the bound, each delete through another owner, is refused, and the feeds bring it to both all the same.
    if any(store["pending"] > bound + WORKERS for one in waiting for store in one["stores"]):
        sys.exit("more tombstones wait than tombstones_max allows")
    if down[507] != down["named"] or down[204] + down[507] != options.keys:
        sys.exit("a refusal did not name the node that keeps the tombstones, or there were other answers")
    if grown > TOMBSTONE_BYTES_MAX * sum(counts) + (32 << 20):
        sys.exit("the tombstones take too much memory")

    cairn("local", "start", "3", "--data", options.data)
    until("node 3 serves", lambda: document(3, "/admin/status")["state"] == "serving")
    began = time.monotonic()
    until("every tombstone is collected", lambda: pending() == [0, 0, 0], patience=600)
    seconds = time.monotonic() - began
    until("no hint is left", lambda: all(document(node, "/admin/hints")["count"] == 0 for node in nodes), patience=600)
    until("nothing comes back", lambda: pending() == [0, 0, 0], patience=600)
    for node in nodes:
        document(node, "/admin/merge", "POST")
    keys = [document(node, "/admin/status")["keys_live"] for node in nodes]
    print(f"collected {seconds:.1f} s after its return: keys {keys}, data files {empty} -> {disk_bytes()}, "
          f"resident {resident_empty >> 20} MiB empty, {resident_bytes() >> 20} now", flush=True)
    if disk_bytes() > empty + 64 * 3 * 4096 or keys != [0, 0, 0]:
        sys.exit("something is left behind")
    end()


checks = {"collected": collected, "races": races, "one-down": one_down, "never-there": never_there}
try:
    for name, check in checks.items():
        if options.check in (None, name):
            check()
finally:
    if glob.glob(options.data + "/local.json"):
        subprocess.run([options.cairn, "local", "down", "--wipe", "--data", options.data], capture_output=True)
