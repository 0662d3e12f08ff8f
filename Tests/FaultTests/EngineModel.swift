import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

// What an engine may hold, kept by a dictionary: for every key the versions that were applied, and how far each was
// promised. After a restart each key must hold one of them, none below the newest that was durable.

struct EngineModel {
  struct Entry {
    let version: StoredVersion
    let position: UInt64
  }
  /// By key, in the order they were applied; position 0: durable since before this opening.
  var applied: [[UInt8]: [Entry]] = [:]
  /// Everything applied up to here was handed to the file system.
  var flushed: UInt64 = 0
  /// Roles that are durable, and all those that were asked for since.
  var roles: [StoreID: StoreRole] = [:]
  var askedRoles: [StoreID: [StoreRole]] = [:]
  /// Tombstones that were durable and then forgotten, by key: the highest.
  var purged: [[UInt8]: Stamp] = [:]
  /// By store, of the tombstones forgotten since it was opened, and before, as far as that is durable.
  var floors: [StoreID: Stamp] = [:]

  /// The tombstone that the store forgets now.
  mutating func purge(_ key: [UInt8], _ stamp: Stamp, in store: StoreID) {
    purged[key] = max(purged[key] ?? .zero, stamp)
    floors[store] = max(floors[store] ?? .zero, stamp)
  }

  /// What the store must hold of the key now.
  func current(_ key: [UInt8]) -> StoredVersion? {
    newest(key).flatMap { version in purged[key].map { $0 >= version.stamp } ?? false ? nil : version }
  }

  func newest(_ key: [UInt8]) -> StoredVersion? { applied[key]?.max { $0.version.stamp < $1.version.stamp }?.version }

  func newest(_ key: [UInt8], upTo position: UInt64) -> StoredVersion? {
    applied[key]?.filter { $0.position <= position }.max { $0.version.stamp < $1.version.stamp }?.version
  }

  /// The trees of stores with just these keys, made the dumb way.
  func trees(_ rig: Rig) -> [[TreeHash]] {
    Rig.seeds.map { seed in
      var tree = [TreeHash](repeating: .empty, count: 32)
      for key in applied.keys where rig.store(of: key) == seed.id {
        guard let version = current(key) else { continue }
        let entry = HashTree.entryHash(rig.hash(key), version.stamp)
        let segment = Int(rig.hash(key) >> 58 & 31)
        if version.isTombstone { tree[segment].tombstones ^= entry } else { tree[segment].values ^= entry }
      }
      return tree
    }
  }

  /// Positions of appended tombstones and the feed head of their store then.
  var heads: [StoreID: [(position: UInt64, tsn: UInt64)]] = [:]

  mutating func note(_ version: StoredVersion, key: [UInt8], position: LogPosition) {
    applied[key, default: []].append(Entry(version: version, position: position.rawValue))
  }

  /// Checks a reopened rig against what was durable, and takes what it holds as the new truth.
  mutating func settle(_ rig: inout Rig, durable: UInt64, _ label: String) throws {
    var live = 0
    var dead = 0
    for key in applied.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
      let outcome = try rig.lookup(key)
      var held: StoredVersion?
      if case .found(let version) = outcome { held = version }
      if let least = newest(key, upTo: durable) {
        let isForgotten = held == nil && purged[key].map { $0 >= least.stamp } ?? false
        #expect(
          isForgotten || held.map { $0.stamp >= least.stamp } == true, "\(label): lost \(least.stamp) of \(key)")
        if isForgotten {
          let floor = rig.engine.floor(rig.store(of: key))
          #expect(floor >= least.stamp, "\(label): the floor went below \(least.stamp) of \(key)")
        }
      }
      if let held {
        #expect(applied[key]?.contains { $0.version == held } == true, "\(label): \(key) holds what was never written")
        applied[key] = [Entry(version: held, position: 0)]
        if held.isTombstone { dead += 1 } else { live += 1 }
        purged[key] = nil
      } else {
        applied[key] = nil
      }
    }
    flushed = 0
    for seed in Rig.seeds { floors[seed.id] = rig.engine.floor(seed.id) }
    for seed in Rig.seeds {
      let role = rig.engine.role(seed.id)
      let asked = askedRoles[seed.id] ?? []
      #expect(role == roles[seed.id] ?? .loading || asked.contains(role), "\(label): role of \(seed.id)")
      if asked.last == roles[seed.id] ?? .loading { #expect(asked.isEmpty || asked.contains(role)) }
      roles[seed.id] = role
      let head = rig.engine.status(seed.id).tsnHead
      let least = heads[seed.id]?.filter { $0.position <= durable }.map(\.tsn).max() ?? 0
      #expect(head >= least, "\(label): the feed of \(seed.id) went back")
      heads[seed.id] = [(0, least)]
      askedRoles[seed.id] = nil
    }
    let statuses = Rig.seeds.map { rig.engine.status($0.id) }
    #expect(statuses.reduce(0) { $0 + $1.keysLive } == live, "\(label): live keys")
    #expect(statuses.reduce(0) { $0 + $1.tombstones } == dead, "\(label): tombstones")
    #expect(try rig.statisticsDefect() == nil, "\(label)")
    #expect(Rig.seeds.map { rig.engine.treeSegments($0.id) } == trees(rig), "\(label): trees")
  }
}
