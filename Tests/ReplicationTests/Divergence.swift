import Causality
import Cluster
import Messages
import Primitives
import Replication
import Simulation
import Storage

@testable import Replication

// Planting differences into the stores of a test cluster, past everything that would heal them, and looking at what every
// owner holds.

extension TestCluster {
  /// Some stamp of an actor that issues none.
  static func stamp(_ time: UInt64, actor: UInt32 = 77) -> Stamp {
    Stamp(time: HybridTime(milliseconds: 1_600_000_000_000 + time), actor: ActorID(actor))
  }

  /// Another stamp above this one whose digest is the same.
  static func twin(of stamp: Stamp) -> Stamp {
    var time = stamp.time.rawValue
    while true {
      time += 1
      let other = Stamp(time: HybridTime(time), actor: stamp.actor)
      if other.digest == stamp.digest { return other }
    }
  }

  func hash(of key: String) -> UInt64 { nodes.compactMap { $0.node?.hash(key.objectKey.encoded) }.first ?? 0 }

  func store(of key: String) -> StoreID {
    StoreID(partition: UInt16(nodes.compactMap { $0.node?.ring.partition(of: hash(of: key)) }.first ?? 0), replicas: 3)
  }

  /// Writes into one node's store as if a write had reached it and nobody else; nil for a tombstone.
  func plant(_ id: Int, _ key: String, _ value: String?, _ stamp: Stamp, until expiry: Expiry = .never) {
    guard let engine = self[id].node?.engine else { return }
    let version = StoredVersion(stamp: stamp, isTombstone: value == nil, value: value?.payload ?? [], expiry: expiry)
    let (store, hash) = (store(of: key), hash(of: key))
    let outcome = try? self[id].node?.disk.with {
      (disk: inout SimulatedDisk) throws(StorageError) in
      try engine.apply(version, key: key.objectKey.encoded, hash: hash, to: store, warm: nil, on: &disk)
    }
    guard case .applied? = outcome else { fatalError("\(key) cannot be planted: \(String(describing: outcome))") }
  }

  /// Forgets a tombstone, as rule PURGE lets a node do one day.
  @discardableResult
  func purge(_ id: Int, _ key: String, _ stamp: Stamp) -> PurgeOutcome? {
    guard let engine = self[id].node?.engine else { return nil }
    let (store, hash) = (store(of: key), hash(of: key))
    return try? self[id].node?.disk.with { (disk: inout SimulatedDisk) throws(StorageError) in
      try engine.purge(
        key: key.objectKey.encoded, hash: hash, stamp: stamp, in: store, warm: nil, on: &disk)
    }
  }

  /// What a node's own store holds of a key, whatever its role.
  func held(_ id: Int, _ key: String) -> StoredVersion? {
    guard let engine = self[id].node?.engine else { return nil }
    let (store, hash) = (store(of: key), hash(of: key))
    let chance = self[id].node?.disk.wouldBlockChance ?? 0
    self[id].node?.disk.wouldBlockChance = 0
    defer { self[id].node?.disk.wouldBlockChance = chance }
    let found = try? self[id].node?.disk.with { (disk: inout SimulatedDisk) throws(StorageError) in
      try engine.lookup(key: key.objectKey.encoded, hash: hash, in: store, warm: nil, on: &disk)
    }
    if case .found(let version)? = found { return version }
    return nil
  }

  func root(_ id: Int, _ store: StoreID) -> TreeHash? { self[id].node?.engine?.treeRoot(store) }

  /// Stores of which two owners hold different things.
  var differing: [StoreID] {
    let stores = Set(nodes.flatMap { $0.node?.engine?.storeIDs ?? [] })
    return stores.sorted().filter { store in
      let roots = nodes.compactMap { node in node.node?.engine.map { $0.contains(store) ? $0.treeRoot(store) : nil } }
      return Set(roots.compactMap { $0 }).count > 1
    }
  }

  /// A round asked for at a node, and what became of it; time passes as far as it has to.
  @discardableResult
  func round(_ id: Int, within milliseconds: UInt64 = 60_000) -> AntiEntropyReport? {
    let session = 1_000_000 + UInt64(sent.count)
    admin(id, .antiEntropy, session: session)
    var passed: UInt64 = 0
    while outcomes[session] == nil, passed < milliseconds {
      advance(milliseconds: 50)
      passed += 50
    }
    if case .antiEntropy(let report)? = outcomes[session] { return report }
    return nil
  }

  /// What exchanges have sent since, as messages.
  func exchanges(from start: Int = 0) -> [Letter] {
    sent[start...].filter { letter in
      switch letter.message.body {
      case .compare, .compareReply, .pull, .pullReply: true
      default: false
      }
    }
  }

  /// Records that were pulled since.
  func recordsPulled(from start: Int = 0) -> Int {
    sent[start...].reduce(0) { sum, letter in
      guard case .pullReply(let reply) = letter.message.body, case .page(let page) = reply.outcome else { return sum }
      return sum + page.records.count
    }
  }
}

extension TestCluster.Letter {
  var byteCount: Int {
    var bytes: [UInt8] = []
    message.encode(into: &bytes)
    return bytes.count
  }

  var isRoots: Bool {
    switch message.body {
    case .compare(let compare): if case .roots = compare.subject { true } else { false }
    case .compareReply(let reply): if case .roots = reply.outcome { true } else { false }
    default: false
    }
  }
}

extension SimulatedDisk {
  mutating func with<T>(_ body: (inout SimulatedDisk) throws(StorageError) -> T) throws(StorageError) -> T {
    try body(&self)
  }
}
