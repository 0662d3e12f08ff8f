"""What a program that uses Riak's Python client does, on a cluster: riak-client.py PB_PORT…"""
import collections
import collections.abc
import sys

# The client is older than the Python that runs it: names that have moved or gone since.
for name in collections.abc.__all__:
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))
named_tuple = collections.namedtuple
collections.namedtuple = lambda *names, verbose=False, **rest: named_tuple(*names, **rest)

import riak  # noqa: E402

checks = 0


def expect(what, found, wanted):
    global checks
    checks += 1
    if found != wanted:
        sys.exit(f"riak-client: {what}: {found!r}, not {wanted!r}")


def refused(what, text, action):
    try:
        action()
    except riak.RiakError as error:
        expect(what, str(error).strip("'"), text)
    else:
        sys.exit(f"riak-client: {what}: not refused")


clients = [riak.RiakClient(protocol="pbc", host="127.0.0.1", pb_port=int(port)) for port in sys.argv[1:]]
one, other = clients[0], clients[-1]
bucket, there = one.bucket("riak-client"), other.bucket("riak-client")

for client in clients:
    expect("ping", client.ping(), True)

apple = bucket.new("apple", data={"color": "red"})
apple.usermeta = {"from": "the garden"}
apple.add_link(bucket.new("pear"), "next")
apple.store(return_body=True)
read = there.get("apple", r="quorum", pr="one")
expect("value through another node", read.data, {"color": "red"})
expect("user metadata", read.usermeta, {"from": "the garden"})
expect("link", read.links, [("riak-client", "pear", "next")])
expect("content type", read.content_type, "application/json")
expect("clock", read.vclock is not None and len(read.siblings), 1)

read.data = {"color": "green"}
read.store(w="all", dw="quorum")
expect("value after a second put", bucket.get("apple").data, {"color": "green"})

text = bucket.new("text", encoded_data="gr\u00fcn".encode(), content_type="text/plain")
text.charset = "utf-8"
text.store()
expect("text", (there.get("text").encoded_data.decode(), there.get("text").charset), ("gr\u00fcn", "utf-8"))

made = bucket.new(None, data="x")
made.store()
expect("a key made by the node", len(made.key), 22)
expect("value under it", there.get(made.key).data, "x")

refused("if_none_match", "match_found", lambda: bucket.new("apple", data=1).store(if_none_match=True))
bucket.new("fresh", data=1).store(if_none_match=True)
expect("if_none_match of a new key", there.get("fresh").data, 1)
refused("a quorum above n_val", "{n_val_violation,3}", lambda: bucket.get("apple", r=7))

keys = sorted(["apple", "text", "fresh", made.key])
expect("keys", sorted(bucket.get_keys()), keys)
expect("keys in parts", sorted(key for part in there.stream_keys() for key in part), keys)
expect("buckets", "riak-client" in [found.name for found in other.get_buckets()], True)
expect("buckets in parts", "riak-client" in [b.name for part in one.stream_buckets() for b in part], True)

properties = bucket.get_properties()
expect("properties", (properties["n_val"], properties["allow_mult"], properties["r"]), (3, False, "quorum"))
bucket.set_property("n_val", 3)
bucket.clear_properties()
refused(
    "another n_val", "Invalid bucket properties: [{n_val,cannot_be_changed}]", lambda: bucket.set_property("n_val", 5))
expect("owners of a key", [place["primary"] for place in one.get_preflist(bucket, "apple")], [True, True, True])

there.get("apple").delete()
expect("a deleted key", bucket.get("apple").exists, False)
bucket.delete("nothing")
expect("a key that never was", there.get("nothing").exists, False)
expect("keys without a deleted one", sorted(there.get_keys()), [key for key in keys if key != "apple"])
for key in keys:
    bucket.delete(key)
expect("no keys are left", bucket.get_keys(), [])

print(f"{checks} answers as Riak's client wants them")
