import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

// A store with a sealed file in which every kind of record stands, and the words for what happens when a bit of it flips.

struct DamagedRig {
  var rig: Rig
  /// What every key is to answer; a forgotten one is absent.
  var expected: [String: StoredVersion?] = [:]
  /// The file that is hit, and its path.
  static let file: UInt32 = 2
  static let path = "/data/stores/p000-n3/000002.data"
  static let hint = "/data/stores/p000-n3/000002.hint"

  static let keys = Rig.keys
  /// Deleted and forgotten, while an older file has its value; the same without.
  static let forgottenBelow = keys[2]
  static let forgotten = keys[8]

  init(changing: (inout Rig) -> Void = { _ in }) throws {
    rig = try Rig.active(sync: .never)
    rig.options.merge.window = .never
    changing(&rig)
    try rig.reopen()
    for index in 0..<5 { try put(index, "first", at: 10 + UInt64(index)) }
    try rig.endFile()
    try put(0, "second", at: 20)
    try put(0, "third", at: 21)
    try delete(1, at: 22)
    try delete(2, at: 23)
    try put(5, "dead", at: 24)
    try put(6, String(repeating: "long ", count: 10), at: 25)
    try delete(7, at: 26)
    try put(7, "lives again", at: 27)
    try delete(8, at: 28)
    try put(9, "last", at: 29)
    try rig.endFile()
    try put(5, "newer", at: 30)
    try rig.shutdown()
  }

  mutating func put(_ index: Int, _ value: String, at time: UInt64) throws {
    _ = try rig.put(Self.keys[index], value, at: time)
    expected[Self.keys[index]] = StoredVersion(stamp: stamp(time), isTombstone: false, value: Array(value.utf8))
  }

  mutating func delete(_ index: Int, at time: UInt64) throws {
    _ = try rig.delete(Self.keys[index], at: time)
    expected[Self.keys[index]] = StoredVersion(stamp: stamp(time), isTombstone: true, value: [])
  }

  /// Opens it anew and forgets what is to be forgotten.
  mutating func open() throws {
    try rig.reopen()
    for (key, time) in [(Self.forgottenBelow, UInt64(23)), (Self.forgotten, 28)] {
      #expect(try rig.purge(Array(key.utf8), stamp(time)) == .purged)
      expected[key] = .some(nil)
    }
  }

  mutating func flip(_ bit: Int, in path: String = path) { rig.disk.flipBit(bit % 8, ofByte: bit / 8, in: path) }

  /// Flips a bit of the record of this stamp, before its value.
  mutating func flipRecord(_ time: UInt64) throws {
    let bytes = try #require(rig.disk.contents(Self.path))
    var at = FileHeader.byteCount
    while case .whole(let header) = Record.check(bytes, at: at, salt: nil) {
      if header.stamp == stamp(time) { return flip((at + header.valueOffset - 1) * 8) }
      at += header.byteCount
    }
    Issue.record("no record of \(time)")
  }

  var notes: [(note: DamageNote, state: DamageState)] { rig.engine.damages(rig.store.id) }
  var isFenced: Bool { rig.engine.role(rig.store.id) == .fenced }

  /// Keys that are answered as damaged; everything else must be answered rightly.
  mutating func damagedKeys(_ label: String) throws -> [String] {
    var damaged: [String] = []
    for key in expected.keys.sorted() {
      do throws(StorageError) {
        let outcome = try rig.get(key)
        let wanted = expected[key].flatMap { $0 }.map { LookupOutcome.found($0) } ?? .absent
        // A restart brings a forgotten tombstone back, to be forgotten again.
        if case .found(let version) = outcome, version.isTombstone, wanted == .absent { continue }
        #expect(outcome == wanted, "\(label): \(key)")
      } catch {
        guard case .damaged = error else { throw error }
        damaged.append(key)
      }
    }
    return damaged
  }

  /// Brings back what is fenced, from what other owners would hold.
  mutating func repairAll(_ label: String) throws {
    for (note, state) in notes where state == .fencing {
      let record = try #require(note.record)
      let key = try #require(expected.keys.first { rig.hash(Array($0.utf8)) == record.hash })
      let version = try #require(expected[key] ?? nil)
      #expect(version.stamp == record.stamp && version.isTombstone == record.isTombstone, "\(label)")
      let outcome = try rig.engine.repair(note, with: [(Array(key.utf8), version)], isFinal: false, on: &rig.disk)
      #expect(outcome == .repaired(rig.engine.appended), "\(label)")
      // Once is enough.
      #expect(try rig.engine.repair(note, with: [], isFinal: true, on: &rig.disk) == .settled)
    }
  }

  /// Merges what the damage makes worth merging.
  mutating func mergeDamage() throws {
    for _ in 0..<40 {
      try rig.slice()
      try rig.engine.flush(on: &rig.disk)
      try rig.work()
    }
  }

  /// The file is gone, and everything is as it was.
  mutating func expectWhole(_ label: String) throws {
    #expect(rig.disk.contents(Self.path) == nil, "\(label): the file is still there")
    #expect(notes.isEmpty, "\(label)")
    #expect(try damagedKeys(label) == [], "\(label)")
    #expect(try rig.statisticsDefect() == nil, "\(label)")
    try rig.shutdown()
    let report = try rig.check()
    #expect(report.findings.isClean, "\(label): \(report.findings.all)")
    try rig.reopen()
    #expect(rig.engine.recovery.damaged.isEmpty, "\(label)")
    #expect(try damagedKeys(label) == [], "\(label), reopened")
  }
}

extension Rig {
  /// Reads everything once. - Returns: What was found.
  @discardableResult
  mutating func scrub() throws(StorageError) -> [DamageNote] {
    var found: [DamageNote] = []
    while case .read(let read) = try engine.scrubNext(on: &disk) {
      guard let warm = try perform(read) else { continue }
      if case .damaged(let notes) = try engine.scrubbed(warm.bytes, on: &disk) { found += notes }
    }
    return found
  }
}
