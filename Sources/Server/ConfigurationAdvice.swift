// What an operator must know to decide about a setting, beyond its one line in the table: formulas, consequences, and what
// else to look at. Paragraphs of Markdown; they become part of Docs/Configuration.md.

extension ConfigurationKey {
  /// Values for a setting without a default: together those of a node that could run.
  static let examples: KeyValuePairs<String, String> = [
    "name": "n1",
    "data": "/var/lib/cairn",
    "http": "10.0.0.1:8098",
    "pb": "10.0.0.1:8087",
    "cluster": "10.0.0.1:8099",
    "initial_cluster": "n1=10.0.0.1:8099,n2=10.0.0.2:8099,n3=10.0.0.3:8099",
  ]

  static let adviceTexts: KeyValuePairs<String, [String]> = [
    "data": [
      "One node per directory: a lock refuses a second. Put it on a local disk that tells the truth about fsync."
    ],
    "http": [
      "`0.0.0.0:8098` listens on every address. There is neither TLS nor authentication: who reaches this port can read and "
        + "delete everything. Only `/admin` is kept from other machines, see `admin_remote`."
    ],
    "pb": [
      "Riak's clients connect here by changing an address ([what they can do](Riak-compatibility.md)). As open as `http`: there "
        + "is neither TLS nor authentication."
    ],
    "cluster": [
      "Must be this node's address in `initial_cluster`, or its port on every address (`0.0.0.0:8099`). Whoever reaches this "
        + "port can speak as a node."
    ],
    "initial_cluster": [
      "A node compares the list with the one its directory was created with, and with those of its peers, and refuses to "
        + "run with another. The order does not matter."
    ],
    "partitions": [
      "Every owner of a partition keeps one store for it, so a node has *partitions × n_val / nodes* stores: 64 on three "
        + "nodes with the defaults. More partitions spread more evenly over many nodes and cost files, memory and, "
        + "with `sync = interval`, an fsync for each store that was written.",
      "Take the power of two above *ten times the most nodes the cluster will ever have, divided by n_val*: 64 does for up "
        + "to 19 nodes with three copies, 256 for up to 76. Then every node has at least ten stores, and one store more or less "
        + "is a tenth of its load at most. It cannot be changed later.",
    ],
    "n_val": [
      "With quorums (the default) one of three copies may be away for reads and for writes, two of five; two copies allow "
        + "none and are worse than one for availability. It must not be above the number of nodes: what lacks nodes lacks "
        + "quorums. It cannot be changed later.",
      "Give the founder's values of `partitions` and `n_val` to all nodes; what counts afterwards is what was founded.",
    ],
    "sync": [
      "`always`: a write is acknowledged when *dw* nodes (by default as many as *w*) have fsynced it. It survives a power cut "
        + "of all machines at once. Writes of one turn of the loop share one fsync, so throughput grows with the "
        + "number of clients; latency is that of the device, see `cairn_sync_duration_seconds`.",
      "`interval`: a write is acknowledged when *w* nodes have it in their files, which survives the end of any process, "
        + "kill -9 included. Data files are fsynced within `sync_interval`. A power cut of one machine costs nothing "
        + "that its peers keep; one of all machines costs up to the last `sync_interval`.",
      "`never`: as `interval`, but the system decides when: on Linux some 30 seconds. For data that can be made again.",
      "A `dw` in a request waits for its fsyncs whatever is set here. All nodes should have the same value: the default of "
        + "`dw` is that of the node that coordinates the write.",
    ],
    "sync_interval": ["Used with `sync = interval` only. It bounds what a power cut of all machines can take."],
    "request_timeout": [
      "After this time the client is told 503 `request timed out` and what was missing; a write may or may not have taken "
        + "effect. A request may name a timeout of its own, of ten minutes at most.",
      "Take more than *2 × suspect_after + the slowest fsync you have seen*: a request that waits for a node which has just "
        + "died goes on as soon as that node is suspected, and must have time left then. Clients should wait longer than "
        + "this, or they will not hear the reason.",
    ],
    "max_file_size": [
      "A sealed file gets a hint file, from which a start reads keys without values. After a kill or a power cut the "
        + "unsealed file of each store is read whole: at most *stores × max_file_size* bytes (16 GiB with the defaults, "
        + "if every file is nearly full). Every data file stays open: *stores + bytes of all data / max_file_size* "
        + "descriptors.",
      "Smaller files mean a quicker start after a crash and more descriptors; 256 MiB suits some 100 GiB a node. "
        + "It may be changed at any time and holds for files that are sealed from then on.",
    ],
    "disk_reserve": [
      "What is kept free for deletes, checkpoints and merging, so that deleting makes room again without an operator. While "
        + "less is free than this, puts are refused on this node (507), unless enough other owners take them; reads and "
        + "deletes go on. Puts are taken again when a quarter more than this is free, and at least 1 MiB more.",
      "Leave it at *2 × max_file_size*. On a disk that is itself hardly larger set both lower; `0` refuses puts only once "
        + "the disk really is full, when deletes find no room either.",
    ],
    "hints_max": [
      "What a node that is down costs the others on disk: every write that it misses is kept by another node until it can be "
        + "handed over. Take *bytes written per second × the longest time that a node may be away*, with 100 bytes more for "
        + "each write: 1 GiB are some 5 million writes of 100 bytes, and half an hour of 3000 a second. Only the newest "
        + "write of a key is kept.",
      "A hint beyond this is refused (`cairn_hints_refused_total`, a line in the log): the write still succeeds where "
        + "enough owners have it, but the node that missed it gets it by anti-entropy, later. `0` keeps none. What is in "
        + "quarantine may take as much again.",
    ],
    "hint_retry_interval": [
      "Hints leave as soon as their node is up, without waiting for this. It counts where that node refuses them or does "
        + "not answer: a full disk, a store that still loads. The pause doubles while nothing is taken, up to 32 times "
        + "this."
    ],
    "handoff_rate": [
      "Keeps a node that has just come back from being flooded. A short write counts as 256 bytes, since it is messages "
        + "that weigh then: the default hands over up to some 60,000 small writes a second from each node, and 1 GiB of "
        + "hints in a minute or so. Lower it when requests get slower while hints are handed over."
    ],
    "anti_entropy_interval": [
      "What hints and read repair have missed is found by this, within the interval. Where nothing differs a round costs a "
        + "few kilobytes with each peer, whatever the number of keys, so there is little to gain from a longer one. Each "
        + "node begins at a moment of its own, and asks only peers that are up.",
      "With `0` replicas that differ stay so until `cairn anti-entropy --run` or a read of the key. Stores that lost something "
        + "are filled all the same. Do not set both this and `scrub_interval` to `0`: then a record that went bad is noticed "
        + "when it is read, and by then the other copies may have gone bad too.",
    ],
    "pull_rate": [
      "Keeps disks and network free for clients while a store is filled: it takes *bytes of the stores / pull_rate* at "
        + "least, so 100 GiB take about an hour with the default. Raise it if you would rather have the third copy back "
        + "soon; lower it when requests get slower meanwhile. Each node pulls by its own value; one that is asked by several "
        + "answers them all."
    ],
    "scrub_interval": [
      "A pass is spread over this span, at `scrub_rate` at most. Take less than *the time in which two of your disks may go "
        + "bad in the same place*: a damaged record is repaired from another owner, as long as one of them has it whole.",
      "With `0` files are never read for their own sake, and damage in data that nobody reads stays hidden, on every copy.",
    ],
    "scrub_rate": [
      "A pass over 1 TiB takes a day and a half at 8 MiB a second. Take more than *bytes of all data / scrub_interval*, or "
        + "passes take longer than the interval (`cairn_scrub_last_pass_seconds`)."
    ],
    "tombstone_hold": [
      "Not what keeps a deleted key deleted: a tombstone is forgotten only when every owner has acknowledged it, however "
        + "long that takes. After the hold it may go, and an old write of the key that is still on its way somewhere is then "
        + "refused, or looked into with the other owners first. Keeping tombstones a little makes that rare.",
      "Memory for waiting tombstones is *deletes per second × (tombstone_hold + a few feed_intervals)* times some 100 bytes. "
        + "With `0` they go as soon as they may.",
    ],
    "tombstones_max": [
      "What deletes may cost while an owner is away and nothing can be collected: *partitions of the node × tombstones_max × "
        + "150 bytes* of memory, about, so some 1 GB with 64 partitions on three nodes and the default. Take *deletes "
        + "per second of the cluster × the longest time that a node may be away / number of partitions*: the default "
        + "lets 64 partitions take 1000 deletes a second for an hour and three quarters.",
      "Beyond it a delete that needs a new tombstone is answered 507, naming the node that keeps them and why; a delete of a "
        + "key that waits already, puts and reads go on, and so does everything that has to do with collecting. Nothing is "
        + "forgotten to make room. What another owner has taken is not refused: a store may hold some more than this, and "
        + "*n_val* times as many where owners were cut off from each other and each took deletes.",
    ],
    "feed_interval": [
      "A tombstone needs about two of these, beside `tombstone_hold`, to be acknowledged by everybody. Each interval in which "
        + "there are new tombstones costs a message and an answer with each peer, and one fsync."
    ],
    "default_ttl": [
      "For a node whose clients are all caches. A client that says `X-Cairn-Expires-In` or `X-Cairn-Expires-At` is heard "
        + "instead. What was written before keeps what it has. The node that a client talks to decides, so the same on all "
        + "nodes is easier to understand.",
      "An object that expires costs 8 bytes in its record, some 100 bytes of memory, and a minute or two after its time "
        + "a tombstone, as a DELETE would.",
    ],
    "suspect_after": [
      "A peer that owes an answer for this long is suspected and routed around: requests that wait for it go on without "
        + "it, new ones do not ask it. An idle peer is asked every few twelfths of this span, so that its silence is noticed "
        + "within 1.5 times the span on up to 12 nodes. Each node judges by its own value; the same on all is easier to "
        + "understand.",
      "Lower values hide a dead node sooner, and take a node that merely stands still for a dead one: a machine that "
        + "swaps, a value of tens of megabytes (up to a second in one turn of the loop), a paused virtual machine. Take "
        + "*twice the longest pause you accept as normal*, and less than half of `request_timeout`.",
    ],
    "operations_max": [
      "The bound that makes an overloaded node say so (503, `Retry-After`) instead of growing. Operations in progress are "
        + "*requests per second × latency*: 20,000 a second at 10 ms are 200. The default leaves room for a stall of most of "
        + "a second at that rate. Their values are bounded apart, at 256 MiB together.",
      "Lower it when clients would rather hear 503 soon than wait; raise it only if `cairn_operations_in_progress` reaches it "
        + "while latency is good.",
    ],
    "connections_max": [
      "Also at most half of the files that the process may have open (`LimitNOFILE`, `ulimit -n`): the other half is for "
        + "data files. Take *2 × connections_max + data files* for that limit."
    ],
    "idle_timeout": [
      "Take more than the keep-alive of your clients' pools, so that they close first and no request is lost."
    ],
    "slow_request_timeout": ["A client that sends or reads a byte a second holds memory: this bounds for how long."],
    "output_max": [
      "At least the largest value (64 MiB) and what is pipelined behind it. All clients together are bounded at 512 MiB."
    ],
    "input_max": ["Take *64 MiB × the uploads of such values that may run at once*."],
    "peer_output_max": [
      "What a peer that stands still may cost in memory, per peer. Take at least *bytes written per second × suspect_after*, "
        + "so that a short stall drops nothing; what is dropped is counted (`cairn_peer_messages_dropped_total`) and missing "
        + "on that peer."
    ],
    "admin_remote": [
      "`/admin` shows names, addresses, paths and settings. `/stats` and `/metrics` answer everybody in any case."
    ],
    "clock_offset": ["A wrong clock on purpose. With more than 30 s a node no longer coordinates writes."],
  ]

  /// Paragraphs of Markdown; none where the one line says everything.
  package var advice: [String] { ConfigurationKey.adviceTexts.first { $0.key == name }?.value ?? [] }
  /// A value to start from where there is no default.
  package var example: String? { ConfigurationKey.examples.first { $0.key == name }?.value }
}
