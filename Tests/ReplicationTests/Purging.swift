import Causality
import Messages
import Primitives
import Simulation
import Storage

@testable import Replication

// Purges of single keys, as a test wants them: what has to be known before a node purges is tested elsewhere.

extension TestCluster {
  /// What a node's store holds of a key.
  func stored(_ id: Int, _ key: String) -> StoredVersion? {
    guard let engine = self[id].node?.engine, let place = place(of: key), var disk = self[id].node?.disk else {
      return nil
    }
    defer { self[id].node?.disk = disk }
    guard
      case .found(let version)? = try? engine.lookup(
        key: key.objectKey.encoded, hash: place.hash, in: place.store, warm: nil, on: &disk)
    else { return nil }
    return version
  }

  func place(of key: String) -> (store: StoreID, hash: UInt64)? {
    for test in nodes where test.node != nil {
      guard let hash = test.node?.hash(key.objectKey.encoded), let store = test.node?.storeID(hash) else { continue }
      return (store, hash)
    }
    return nil
  }

  /// Forgets the tombstone of a key at these nodes. - Returns: Whether all of them had it.
  @discardableResult
  func purge(_ key: String, at ids: [Int]) throws -> Bool {
    var hadAll = true
    for id in ids {
      guard let engine = self[id].node?.engine, let place = place(of: key), let version = stored(id, key),
        version.isTombstone, var disk = self[id].node?.disk
      else {
        hadAll = false
        continue
      }
      defer { self[id].node?.disk = disk }
      let outcome = try engine.purge(
        key: key.objectKey.encoded, hash: place.hash, stamp: version.stamp, in: place.store, warm: nil, on: &disk)
      hadAll = hadAll && outcome == .purged
    }
    return hadAll
  }

  /// A key other than this one, in the same store.
  func neighbour(of key: String) -> String? {
    let store = place(of: key)?.store
    return (0..<1000).lazy.map { "z\($0)" }.first { self.place(of: $0)?.store == store }
  }

  /// Raises the floors of these owners above everything written so far: another key of the store comes and goes.
  func raiseFloors(of key: String, at ids: [Int]) throws {
    guard let other = neighbour(of: key) else { return }
    ask(ids[0], put(other, "x"))
    ask(ids[0], delete(other))
    try purge(other, at: ids)
  }

  /// Takes a key out of a node's store as if it had never come.
  func forget(_ key: String, at id: Int) throws {
    guard let version = stored(id, key), let place = place(of: key) else { return }
    let grave = Stamp(time: version.stamp.time, actor: ActorID(version.stamp.actor.rawValue &+ 1))
    try apply(StoredVersion(stamp: grave, isTombstone: true, value: []), key, to: place.store, at: id)
    try purge(key, at: [id])
  }

  /// Writes into a store past everything that guards it.
  func apply(_ version: StoredVersion, _ key: String, to store: StoreID, at id: Int) throws {
    guard let engine = self[id].node?.engine, let hash = place(of: key)?.hash, var disk = self[id].node?.disk else {
      return
    }
    defer { self[id].node?.disk = disk }
    _ = try engine.apply(version, key: key.objectKey.encoded, hash: hash, to: store, warm: nil, on: &disk)
  }

  /// So many bytes of hints that no value has room beside them; the target does not own them, and refuses them.
  func fillHints(_ id: Int, for target: Int, besides key: String) throws {
    let version = StoredVersion(
      stamp: Stamp(time: HybridTime(milliseconds: 1), actor: ActorID(1)), isTombstone: false,
      value: Array(repeating: 1, count: 100))
    guard let other = neighbour(of: key) else { return }
    try apply(version, other, to: .hints(for: TestCluster.id(target)), at: id)
  }

  func quarantined(_ id: Int) -> Int { status(id)?.quarantine.count ?? -1 }

  func counters(_ id: Int) -> NodeCounters { status(id)?.counters ?? NodeCounters() }

  /// What a read through a node says, at any number of owners.
  func readable(_ key: String, through ids: [Int]) -> [String] {
    ids.flatMap { id in
      (1...3).compactMap { r in answer(ask(id, get(key, r: .count(r))))?.text }
    }
  }
}

/// A cluster whose nodes compare nothing unless asked.
func quietCluster(nodes: Int = 4, rules: Rules = .all) -> TestCluster {
  TestCluster(nodes: nodes) {
    $0.antiEntropyMilliseconds = 0
    $0.rules = rules
  }
}

func isHandoff(_ letter: TestCluster.Letter) -> Bool {
  if case .push(let push) = letter.message.body { push.kind == .handoff } else { false }
}
