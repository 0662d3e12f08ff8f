import Causality
import Primitives
import Testing

@testable import Storage

@Suite("The file of cursors and promises")
struct PromisesFileTests {
  private static func file(_ generator: inout SeededGenerator) -> PromisesFile {
    func peers() -> [NodeID] { (0..<generator.below(4)).map { NodeID(UInt32($0) + 2) } }
    func identity() -> Identity128 { Identity128(high: generator.next(), low: generator.next()) }
    return PromisesFile(
      cluster: identity(), node: NodeID(1),
      entries: (0..<generator.below(5)).map { partition in
        PromisesFile.Entry(
          store: StoreID(partition: UInt16(partition), replicas: 3), incarnation: identity(),
          role: [.loading, .active, .fenced][generator.below(3)], tsnHead: generator.next(),
          cursors: peers().map { FeedCursor(peer: $0, incarnation: identity(), tsn: generator.next()) },
          promises: peers().map {
            PeerPromise(
              peer: $0, incarnation: identity(), configID: generator.next(), tsnHead: generator.next(),
              floor: stamp(UInt64(generator.below(1000))), cursorOnMe: generator.next())
          })
      })
  }

  @Test("what was encoded is decoded, and with a byte less, more or changed it is damaged", arguments: UInt64(0)..<20)
  func roundTrip(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let file = Self.file(&generator)
    let bytes = file.encoded()
    #expect(try PromisesFile(decoding: bytes, path: "promises") == file)
    for count in 0..<bytes.count {
      #expect(throws: StorageError.self) { try PromisesFile(decoding: Array(bytes[..<count]), path: "promises") }
    }
    #expect(throws: StorageError.self) { try PromisesFile(decoding: bytes + [0], path: "promises") }
    for _ in 0..<40 {
      var broken = bytes
      broken[generator.below(broken.count)] ^= 1 << UInt8(generator.below(8))
      #expect(throws: StorageError.self) { try PromisesFile(decoding: broken, path: "promises") }
    }
  }

  @Test("joined lists know every peer of both, the higher promise of one incarnation, and the mark of the first alone")
  func joined() {
    let (old, new) = (Identity128(high: 1, low: 1), Identity128(high: 2, low: 2))
    func promise(_ peer: UInt32, _ incarnation: Identity128, _ tsn: UInt64) -> PeerPromise {
      PeerPromise(peer: NodeID(peer), incarnation: incarnation, configID: tsn, tsnHead: tsn)
    }
    let joined = PeerPromise.joined(
      [promise(2, new, 1), promise(3, old, 4)],
      over: [promise(1, old, 0), promise(2, old, 9), promise(3, old, 7), promise(4, old, 2)],
      own: NodeID(1))
    #expect(joined.map(\.peer.rawValue) == [2, 3, 4])
    #expect(joined.map(\.tsnHead) == [1, 7, 2] && joined[0].incarnation == new)
    // The configuration is the one told last.
    #expect(joined[1].configID == 4)
    #expect(PeerPromise.joined([promise(1, old, 0)], over: [], own: NodeID(1)).count == 1)
  }
}
