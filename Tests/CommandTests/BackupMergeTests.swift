import Causality
import Primitives
import Storage
import Testing

@testable import cairn

@Suite("A backup is merged out of all copies") struct BackupMergeTests {
  private typealias Copy = BackupRig.Copy
  private static let hints = StoreID.hints(for: NodeID(3))

  /// What remains of the key `k`: its copies in the stores of n1 and n2, and in the hints of n2 for n3.
  private func rest(
    _ one: [Copy], _ two: [Copy], hints: [Copy] = [], floors: (UInt64, UInt64) = (0, 0), roleOfTwo: StoreRole = .active
  ) throws -> (String?, BackupMerge.Totals) {
    let rig = try BackupRig()
    let store = BackupRig.partition("k")
    try rig.add(1, [BackupRig.Store(id: store, floor: floors.0, records: one)])
    try rig.add(
      2,
      [
        BackupRig.Store(id: store, role: roleOfTwo, floor: floors.1, records: two),
        BackupRig.Store(id: Self.hints, records: hints),
      ])
    let (values, totals) = try rig.merged()
    #expect(values.count <= 1)
    return (values["k"], totals)
  }

  private func value(_ time: UInt64) -> Copy { Copy(key: "k", time: time, value: "at \(time)") }
  private func tombstone(_ time: UInt64) -> Copy { Copy(key: "k", time: time, value: nil) }

  @Test("the newest of all copies counts, wherever it is")
  func newest() throws {
    #expect(try rest([value(5), value(7)], [value(6)]).0 == "at 7")
    #expect(try rest([value(5)], [value(6)], hints: [value(9), value(8)]).0 == "at 9")
    #expect(try rest([], [value(6)]).0 == "at 6")
  }

  @Test("what was deleted stays away, whether an owner has the tombstone or only a hint")
  func deleted() throws {
    #expect(try rest([value(5)], [tombstone(6)]) == (nil, BackupMerge.Totals(deleted: 1)))
    #expect(try rest([value(5)], [value(5)], hints: [tombstone(6)]).0 == nil)
    #expect(try rest([tombstone(4)], [value(5)]).0 == "at 5", "it was written again")
  }

  @Test("of one stamp the tombstone counts, in whatever order they are read")
  func equalStamps() throws {
    #expect(try rest([value(5)], [tombstone(5)]).0 == nil)
    #expect(try rest([tombstone(5)], [value(5)]).0 == nil)
  }

  @Test("a value expires when it did, in whole seconds and never too early, and one that does not is said to")
  func expiry() throws {
    let rig = try BackupRig()
    let until = Expiry(milliseconds: 784_111_777_001)
    let copies = [Copy(key: "k", time: 5, value: "older"), Copy(key: "k", time: 6, value: "v", expiry: until)]
    try rig.add(1, [BackupRig.Store(id: BackupRig.partition("k"), records: copies)])
    try rig.add(2, [BackupRig.Store(id: BackupRig.partition("l"), records: [Copy(key: "l", time: 5, value: "v")])])
    _ = try rig.merged()
    #expect(rig.expiries == ["k": until, "l": .never])
    func line(_ expiry: Expiry, hasDefault: Bool = true) -> String {
      String(decoding: RestoreWriter.lifetime(expiry, hasDefault: hasDefault), as: UTF8.self)
    }
    #expect(line(until) == "X-Cairn-Expires-At: Sun, 06 Nov 1994 08:49:38 GMT\r\n")
    #expect(line(Expiry(milliseconds: 784_111_777_000)) == "X-Cairn-Expires-At: Sun, 06 Nov 1994 08:49:37 GMT\r\n")
    #expect(line(.last) == "X-Cairn-Expires-At: Fri, 31 Dec 9999 23:59:59 GMT\r\n")
    #expect(line(until, hasDefault: false) == line(until))
    #expect(line(.never) == "X-Cairn-Expires-In: never\r\n")
    #expect(line(.never, hasDefault: false) == "", "a header that says nothing may be one too many")
  }

  @Test("a value that only a hint has is restored above the floors, and left out and counted at or below one")
  func onlyHints() throws {
    #expect(try rest([], [], hints: [value(5)]).0 == "at 5")
    #expect(try rest([], [], hints: [value(5)], floors: (0, 4)).0 == "at 5")
    #expect(try rest([], [], hints: [value(5)], floors: (0, 5)) == (nil, BackupMerge.Totals(doubtful: 1)))
    #expect(try rest([], [], hints: [value(5)], floors: (9, 0)).0 == nil)
  }

  @Test("a hint that an owner would take, because it holds something older, counts whatever the floors are")
  func hintOverOlder() throws {
    #expect(try rest([value(3)], [], hints: [value(5)], floors: (0, 9)).0 == "at 5")
    #expect(try rest([], [tombstone(3)], hints: [value(5)], floors: (9, 0)).0 == "at 5")
  }

  @Test("an owner's value counts below the floor of another; that of a store that is being made anew does not")
  func roles() throws {
    #expect(try rest([value(5)], [], floors: (0, 9)).0 == "at 5")
    #expect(try rest([], [value(5)], floors: (9, 0)).0 == "at 5")
    #expect(try rest([], [value(5)], floors: (9, 0), roleOfTwo: .fenced).1.doubtful == 1)
    #expect(try rest([], [value(5)], floors: (0, 9), roleOfTwo: .loading).0 == "at 5", "its floor is nobody's")
  }

  @Test("what is in quarantine is not looked at")
  func quarantine() throws {
    let rig = try BackupRig()
    try rig.add(
      1,
      [
        BackupRig.Store(id: BackupRig.partition("k"), records: [value(5)]),
        BackupRig.Store(id: .hints(for: NodeID(1)), records: [tombstone(9), Copy(key: "q", time: 9, value: "q")]),
      ])
    #expect(try rig.merged().values == ["k": "at 5"])
  }

  @Test("many keys are taken in ranges, and it comes to the same as a merge by hand", arguments: UInt64(0)..<8)
  func ranges(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let rig = try BackupRig()
    var newest: [String: Copy] = [:]
    var time: UInt64 = 0
    func copies(_ count: Int) -> [Copy] {
      (0..<count).map { _ in
        time += 1
        let key = "key \(random.below(60))"
        return Copy(key: key, time: time, value: random.chance(1, in: 3) ? nil : "v\(time)")
      }
    }
    for id in 1...3 {
      var stores = (0..<4).map { BackupRig.Store(id: StoreID(partition: UInt16($0), replicas: 3)) }
      for copy in copies(80) {
        newest[copy.key] = copy
        stores[Int(BackupRig.partition(copy.key).partition)].records.append(copy)
      }
      let hints = copies(20)
      for copy in hints { newest[copy.key] = copy }
      try rig.add(id, stores + [BackupRig.Store(id: .hints(for: NodeID(UInt32(id % 3 + 1))), records: hints)])
    }
    let expected = newest.compactMapValues(\.value)
    for keysMax in [1, 7, 20, 1000] {
      let (values, totals) = try rig.merged(keysMax: keysMax)
      #expect(values == expected)
      #expect(totals == BackupMerge.Totals(values: expected.count, deleted: newest.count - expected.count))
    }
  }

  /// A backup of three nodes with so many keys, each on all of them and as many in hints.
  private func wide(_ keys: Int) throws -> BackupRig {
    let rig = try BackupRig()
    for id in 1...3 {
      var stores = (0..<4).map { BackupRig.Store(id: StoreID(partition: UInt16($0), replicas: 3)) }
      var hints: [Copy] = []
      for key in 0..<keys {
        let copy = Copy(key: "key \(key)", time: UInt64(key + 1), value: "v\(key)")
        stores[Int(BackupRig.partition(copy.key).partition)].records.append(copy)
        if id == key % 3 + 1 { hints.append(Copy(key: copy.key, time: UInt64(keys + key + 1), value: "h\(key)")) }
      }
      try rig.add(id, stores + [BackupRig.Store(id: .hints(for: NodeID(UInt32(id % 3 + 1))), records: hints)])
    }
    return rig
  }

  @Test("every file is read twice as long as a partition's keys fit in memory, and as often as it must be where not")
  func passes() throws {
    let keys = 1000
    let rig = try wide(keys)
    for keysMax in [1000, 250, 100] {
      var merge = try BackupMerge(rig.directory, nodes: rig.nodes, keysMax: keysMax)
      var values = 0
      try merge.run(take: { _ in values += 1 })
      #expect(values == keys && merge.totals == BackupMerge.Totals(values: keys))
      // A range has a quarter of what may be in memory, or more.
      let most = keysMax == keys ? 2 : 2 * (4 * keys / keysMax + 4)
      #expect(
        merge.bytesScanned <= UInt64(most) * merge.bytes, "\(keysMax): \(merge.bytesScanned / merge.bytes) times")
    }
  }

  @Test("keys of values that are left out are named, up to a bound, and all of them counted")
  func doubtfulKeys() throws {
    let rig = try BackupRig()
    let hints = (1...30).map { Copy(key: "key \($0)", time: UInt64($0), value: "v") }
    try rig.add(1, (0..<4).map { BackupRig.Store(id: StoreID(partition: UInt16($0), replicas: 3), floor: 99) })
    try rig.add(2, [BackupRig.Store(id: Self.hints, records: hints)])
    var merge = try BackupMerge(rig.directory, nodes: rig.nodes)
    try merge.run(take: { _ in })
    #expect(merge.totals == BackupMerge.Totals(doubtful: 30))
    #expect(merge.doubtful.count == BackupMerge.doubtfulNamesMax && merge.doubtful.first == Array("key 1".utf8))
  }

  @Test("of a store that is left out nothing counts: what is damaged in it may be the tombstone of what is not")
  func leftOut() throws {
    let rig = try BackupRig()
    let store = BackupRig.partition("k")
    try rig.add(1, [BackupRig.Store(id: store, floor: 9, records: [value(5), tombstone(6)])])
    try rig.add(2, [BackupRig.Store(id: store, floor: 9, records: [])])
    let path = "\(rig.directory)/node-1/stores/\(store)/000002.data"
    var bytes = try FileBytes.read(path)
    bytes[bytes.count - 9] ^= 1
    try FileBytes.write(bytes, path)
    #expect { try rig.merged() } throws: { "\($0)".contains("000002.data is damaged at byte 64") }
    var merge = try BackupMerge(
      rig.directory, nodes: rig.nodes, leftOut: [BackupStore(node: "n1", store: store)])
    try merge.run(take: { _ in })
    #expect(merge.totals == BackupMerge.Totals())
  }

  @Test("damage in a store is an error that names the file")
  func damage() throws {
    let rig = try BackupRig()
    try rig.add(1, [BackupRig.Store(id: BackupRig.partition("k"), records: [value(5)])])
    let path = "\(rig.directory)/node-1/stores/\(BackupRig.partition("k"))/000002.data"
    var bytes = try FileBytes.read(path)
    bytes[bytes.count - 9] ^= 1
    try FileBytes.write(bytes, path)
    #expect { try rig.merged() } throws: { "\($0)".contains("000002.data is damaged at byte 64") }
  }
}
