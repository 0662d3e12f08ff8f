import Causality
import Cluster
import Messages
import Platform
import Primitives
import Protocols
import Replication
import Storage

// What operators are shown, as JSON: pure functions of a status. Field names are part of the operator's surface.

enum AdminDocuments {
  static func status(_ status: NodeStatus, configuration: Configuration, statistics: Statistics) -> JSON {
    let (state, reason) = describe(status.state)
    return .object([
      "name": .string(status.member.name),
      "id": .count(UInt64(status.member.id.rawValue)),
      "state": .string(state),
      "reason": .string(reason),
      "process": .count(processIdentifier()),
      "memory_bytes": .count(residentBytes()),
      "http": .string(configuration.http?.description ?? ""),
      "pb": .optional(configuration.pb) { .string($0.description) },
      "cluster": .string(configuration.cluster?.description ?? ""),
      "cluster_id": .optional(status.clusterID) { .string($0.description) },
      "ring_epoch": .count(status.ringEpoch),
      "boot": .string(hexadecimal(status.bootID)),
      "actor": .string(status.actor.description),
      "keys_live": .count(status.keysLive),
      "tombstones": .count(status.tombstones),
      "hints": hintTotals(status.hints),
      "anti_entropy": antiEntropyTotals(status),
      "clock_in_doubt": .bool(status.clockInDoubt),
      "operations_in_progress": .count(status.operationsInProgress),
      "disk": .optional(status.space, disk),
      "sync": .string(configuration.sync.rawValue),
      "peers": .array(status.peers.map(peer)),
      "counters": counters(status.counters),
      "connections": connections(statistics),
      "recovery": recovery(status.recovery),
      "merge": .object([
        "store": .optional(status.merge.store) { .string("\($0)") },
        "postponed": .optional(status.merge.postponement) { .string($0) },
        "totals": merge(status.merge.totals, merges: status.merge.merges),
      ]),
      "stores_unvalidated": .count(UInt64(status.storesUnvalidated)),
      "stores": .array(stores(of: status)),
    ])
  }

  /// The answer to an operator's request that did something, and its HTTP status.
  static func outcome(_ outcome: AdminOutcome) -> (JSON, status: Int) {
    switch outcome {
    case .merged(let totals, let merges): (merge(totals, merges: merges), 200)
    case .drained(let delivered, let queues): (drained(delivered, queues), 200)
    case .snapshot(let report): (snapshot(report), 200)
    case .snapshots(let entries): (.object(["snapshots": .array(entries.map(snapshot))]), 200)
    case .purgesHeld(let boot, let since):
      (.object(["hold": .string("\(hexadecimal(boot))-\(since.nanoseconds)")]), 200)
    case .antiEntropy(let report): (round(report), 200)
    case .quarantine(let page): (quarantine(page), 200)
    case .quarantineRead(let version): (quarantined(stamp: version.stamp, payload: version.value), 200)
    case .quarantinePut(let stamp): (.object(["stamp": .string("\(stamp)")]), 200)
    case .quarantineDiscarded: (.object([:]), 200)
    case .quarantineAbsent: (.object(["error": .string("nothing of this key and stamp is in quarantine here")]), 404)
    case .snapshotRefused(let refusal): (.object(["error": .string("\(refusal)")]), status(refusal))
    case .refused(let reason): (.object(["error": .string(reason)]), 503)
    }
  }

  private static func status(_ refusal: SnapshotRefusal) -> Int {
    switch refusal {
    case .exists: 409
    case .unknownStore: 404
    case .notNow: 503
    }
  }

  private static func snapshot(_ report: SnapshotReport) -> JSON {
    .object([
      "name": .string("\(report.name)"),
      "path": .string(report.path),
      "stores": .count(UInt64(report.contents.stores)),
      "files": .count(report.contents.files),
      "bytes": .count(report.contents.bytes),
      "time": .string(timestamp(wallMilliseconds: report.contents.wallMilliseconds)),
    ])
  }

  private static func snapshot(_ entry: SnapshotEntry) -> JSON {
    .object([
      "name": .string(entry.name),
      "complete": .bool(entry.contents != nil),
      "time": .optional(entry.contents) { .string(timestamp(wallMilliseconds: $0.wallMilliseconds)) },
      "stores": .optional(entry.contents) { .count(UInt64($0.stores)) },
      "files": .optional(entry.contents) { .count($0.files) },
      "bytes": .optional(entry.contents) { .count($0.bytes) },
    ])
  }

  private static func merge(_ totals: MergeTotals, merges: Int) -> JSON {
    .object([
      "merges": .count(merges),
      "bytes_read": .count(totals.bytesRead),
      "bytes_copied": .count(totals.bytesCopied),
      "records_copied": .count(totals.recordsCopied),
      "records_dropped": .count(totals.recordsDropped),
      "tombstones_dropped": .count(totals.tombstonesDropped),
      "tombstones_blocked": .count(totals.tombstonesBlocked),
    ])
  }

  private static func describe(_ state: NodeStatus.State) -> (state: String, reason: String) {
    switch state {
    case .starting(let reason): ("starting", reason)
    case .serving: ("serving", "")
    case .stopping: ("stopping", "")
    }
  }

  private static func disk(_ space: SpaceStatus) -> JSON {
    .object([
      "free_bytes": .optional(space.freeBytes) { .count($0) },
      "reserve_bytes": .count(space.reserveBytes),
      "resume_bytes": .count(space.resumeBytes),
      "puts_refused": .bool(space.isShort),
      "refusal": .string(space.refusal?.description ?? ""),
    ])
  }

  private static func peer(_ peer: NodeStatus.Peer) -> JSON {
    let (link, reason) =
      switch peer.link {
      case .up: ("up", "")
      case .suspect(let reason): ("suspect", reason)
      case .down(let reason): ("down", reason)
      case .refused(let reason): ("refused", reason)
      }
    return .object([
      "name": .string(peer.member.name),
      "address": .string(peer.member.address),
      "link": .string(link),
      "reason": .string(reason),
      "silent_ms": .optional(peer.silentMilliseconds) { .count($0) },
      "clock_offset_ms": .optional(peer.clockOffsetMilliseconds) { .count($0) },
    ])
  }

  private static func stores(of status: NodeStatus) -> [JSON] {
    let names = Dictionary(uniqueKeysWithValues: status.peers.map { ($0.member.id, $0.member.name) })
    return status.stores.map { store($0, validatedWith: $0.validatedWith.map { names[$0] ?? $0.description }) }
  }

  private static func store(_ store: StoreStatus, validatedWith: [String]) -> JSON {
    .object([
      "store": .string(store.id.description),
      "partition": .count(Int(store.id.partition)),
      "role": .string("\(store.role)"),
      "incarnation": .string(store.incarnation.description),
      "validated_with": .array(validatedWith.map { .string($0) }),
      "keys_live": .count(store.keysLive),
      "tombstones": .count(store.tombstones),
      "floor": .string(store.floor.description),
      "tsn_head": .count(store.tsnHead),
      "dead_bytes": .count(store.deadBytes),
      "dead_records": .count(store.deadRecords),
      "merge_note": .string(store.mergeNote),
      "total_bytes": .count(store.totalBytes),
      "files": .count(store.files),
    ])
  }

  private static func counters(_ counters: NodeCounters) -> JSON {
    .object([
      "gets": .count(counters.gets),
      "puts": .count(counters.puts),
      "deletes": .count(counters.deletes),
      "vnode_gets": .count(counters.vnodeGets),
      "vnode_puts": .count(counters.vnodePuts),
      "lists": .count(counters.lists),
      "vnode_pages": .count(counters.vnodePages),
      "forwarded": .count(counters.forwarded),
      "quorum_failures": .count(counters.failures.quorums),
      "timeouts": .count(counters.failures.timeout),
      "overloads": .count(counters.overloads),
      "hints_kept": .count(counters.hintsKept),
      "hints_refused": .count(counters.hintsRefused),
      "hints_delivered": .count(counters.hintsDelivered),
      "sloppy_writes": .count(counters.sloppyWrites),
      "sloppy_reads": .count(counters.sloppyReads),
      "read_repairs": .count(counters.readRepairs),
      "digest_mismatches": .count(counters.digestMismatches),
      "hedged_reads": .count(counters.hedgedReads),
      "stale_pushes_refused": .count(counters.stalePushesRefused),
      "stale_pushes_dropped": .count(counters.stalePushesDropped),
      "reads_revalidated": .count(counters.revalidatedReads),
      "tombstones_purged": .count(counters.purged), "values_buried": .count(counters.buried),
      "tombstones_refused": .count(counters.tombstonesRefused),
      "regressions": .count(counters.regressions),
      "quarantined": .count(counters.quarantined),
      "syncs": .count(counters.syncs),
      "probes": .count(counters.probes),
      "suspicions": .count(counters.suspicions),
      "indirect_acks": .count(counters.indirectAcknowledgements),
    ])
  }

  private static func connections(_ statistics: Statistics) -> JSON {
    .object([
      "accepted": .count(statistics.connectionsAccepted),
      "refused": .count(statistics.connectionsRefused),
      "timed_out": .count(statistics.connectionsTimedOut),
      "peer_refused": .count(statistics.peerConnectionsRefused),
      "peer_messages_dropped": .count(statistics.peerMessagesDropped),
    ])
  }

  private static func recovery(_ report: RecoveryReport) -> JSON {
    .object([
      "records": .count(report.records),
      "journal_records": .count(report.journalRecords),
      "bytes_cut": .count(report.bytesCut),
      "missing": .array(report.missing.map { .string($0.description) }),
      "damaged": .array(report.damaged.map { .string("store \($0.store): \($0.error.text(naming: objectName))") }),
    ])
  }

  /// Which node owns what.
  static func ring(_ ring: Ring) -> JSON {
    let names = Dictionary(uniqueKeysWithValues: ring.members.map { ($0.id, $0.name) })
    let owners = (0..<ring.partitionCount).map { partition in
      JSON.array(ring.owners(of: partition).map { .string(names[$0] ?? $0.description) })
    }
    return .object([
      "epoch": .count(ring.epoch),
      "partitions": .count(ring.partitionCount),
      "n_val": .count(ring.replicas),
      "members": .array(ring.members.map { .string($0.name) }),
      "owners": .array(owners),
    ])
  }

  static func members(_ status: NodeStatus, ring: Ring) -> JSON {
    let everyone = (status.peers.map(\.member) + [status.member]).sorted { $0.id < $1.id }
    let members = everyone.map { member in
      let peer = status.peers.first { $0.member.id == member.id }
      return JSON.object([
        "name": .string(member.name),
        "id": .count(member.id.rawValue),
        "address": .string(member.address),
        "self": .bool(peer == nil),
        "up": .bool(peer.map { $0.link == .up } ?? true),
        "partitions": .count(ownedPartitions(member.id, ring)),
      ])
    }
    return .object(["members": .array(members)])
  }

  private static func ownedPartitions(_ node: NodeID, _ ring: Ring) -> Int {
    (0..<ring.partitionCount).count { ring.owners(of: $0).contains(node) }
  }

  static func configuration(_ configuration: Configuration) -> JSON {
    .object(
      configuration.settings().map {
        JSON.Member(
          name: $0.key.name,
          value: .object([
            "value": .string($0.value), "source": .string($0.source), "default": .string($0.key.defaultText),
            "unit": .string($0.key.unit),
          ]))
      })
  }
}
