import Causality
import Messages
import Primitives
import Storage
import Testing

// What no node of ours says of its stores, and what a hostile one might.

@Suite("Messages of exchanges")
struct ExchangeCodecTests {
  private let store = StoreID(partition: 1, replicas: 3)
  private let stamp = Stamp(time: HybridTime(7), actor: ActorID(3))

  private func bytes(_ body: PeerBody) -> [UInt8] { PeerMessage(time: .zero, body: body).encoded }

  private func error(_ bytes: [UInt8]) -> CodecError? {
    do {
      _ = try PeerMessage(decoding: bytes)
      return nil
    } catch { return error }
  }

  private func compare(_ subject: CompareSubject) -> [UInt8] {
    bytes(.compare(PeerCompare(operation: 1, subject: subject)))
  }

  private func answer(_ outcome: CompareOutcome) -> [UInt8] {
    bytes(.compareReply(PeerCompareReply(operation: 1, outcome: outcome)))
  }

  private func pull(_ subject: PullSubject) -> [UInt8] {
    bytes(.pull(PeerPull(operation: 1, store: store, configID: 2, subject: subject)))
  }

  private func page(_ records: [PulledRecord]) -> [UInt8] {
    bytes(.pullReply(PeerPullReply(operation: 1, outcome: .page(PullPage(records: records, next: nil, floor: .zero)))))
  }

  @Test("as many roots, slots and items as there may be come back, and one more is no message")
  func counts() {
    let root = StoreRoot(store: store, configID: 1, root: .empty)
    let answered = RootAnswer(store: store, verdict: .equal, activity: .none)
    func slots(_ count: Int) -> SlotPage {
      SlotPage(
        slots: (0..<count).map { SlotDigest(hash: UInt64($0), digest: 511, isTombstone: true) }, next: nil,
        isHidden: true)
    }
    func items(_ count: Int) -> PullSubject {
      .items((0..<count).map { PullItem(hash: UInt64($0), above: stamp) })
    }
    let roots = ExchangeLimits.rootsMax
    #expect(error(compare(.roots(Array(repeating: root, count: roots), beginsRound: true))) == nil)
    #expect(
      error(compare(.roots(Array(repeating: root, count: roots + 1), beginsRound: true))) == .malformed("roots"))
    #expect(error(answer(.roots(Array(repeating: answered, count: roots)))) == nil)
    #expect(error(answer(.roots(Array(repeating: answered, count: roots + 1)))) == .malformed("roots"))
    #expect(error(answer(.slots(slots(ExchangeLimits.slotsMax)))) == nil)
    #expect(error(answer(.slots(slots(ExchangeLimits.slotsMax + 1)))) == .malformed("slots"))
    #expect(error(pull(items(ExchangeLimits.itemsMax))) == nil)
    #expect(error(pull(items(ExchangeLimits.itemsMax + 1))) == .malformed("items"))
  }

  @Test("a segment is one of 32, and is cut into a power of two of leaves, not too many")
  func segmentsAndLeaves() {
    func question(_ segment: Int, _ leaves: Int) -> CompareSubject {
      .slots(
        store, configID: 1,
        SlotQuestion(segment: segment, hash: .empty, leaves: Array(repeating: 1, count: leaves), from: 0))
    }
    #expect(error(compare(question(31, 0))) == nil)
    #expect(error(compare(question(31, 1 << HashTree.leafBitsMax))) == nil)
    #expect(error(compare(question(31, 1 << (HashTree.leafBitsMax + 1)))) == .malformed("leaves"))
    #expect(error(compare(question(32, 1))) == .malformed("segment"))
    #expect(error(pull(.range(segment: 31, from: 0))) == nil)
    #expect(error(pull(.range(segment: 32, from: 0))) == .malformed("segment"))
  }

  @Test("hashes that are out of order, twice where they must not be, or beyond what follows, are no message")
  func order() {
    func slots(_ hashes: [UInt64], next: UInt64?) -> CompareOutcome {
      .slots(
        SlotPage(
          slots: hashes.map { SlotDigest(hash: $0, digest: 1, isTombstone: false) }, next: next, isHidden: false))
    }
    #expect(error(answer(slots([1, 1, 2], next: 3))) == nil)
    #expect(error(answer(slots([2, 1], next: nil))) == .malformed("slots"))
    #expect(error(answer(slots([1, 3], next: 3))) == .malformed("slots"))
    func items(_ hashes: [UInt64]) -> PullSubject { .items(hashes.map { PullItem(hash: $0, above: .zero) }) }
    #expect(error(pull(items([1, 2]))) == nil)
    #expect(error(pull(items([1, 1]))) == .malformed("items"))
    #expect(error(pull(items([2, 1]))) == .malformed("items"))
  }

  @Test("a digest has nine bits")
  func digests() {
    func slot(_ digest: UInt16) -> CompareOutcome {
      .slots(
        SlotPage(slots: [SlotDigest(hash: 1, digest: digest, isTombstone: false)], next: nil, isHidden: false))
    }
    #expect(error(answer(slot(511))) == nil)
    #expect(error(answer(slot(512))) == .malformed("slots"))
  }

  @Test("a record with a stamp that nobody can have issued, a key that is none, or a tombstone's value is no message")
  func records() throws {
    let key = try #require(ObjectKey(bucket: [1], key: [2])).encoded
    func record(_ key: [UInt8], _ time: HybridTime, isTombstone: Bool, value: [UInt8]) -> [UInt8] {
      page([
        PulledRecord(
          key: key,
          version: StoredVersion(
            stamp: Stamp(time: time, actor: ActorID(1)), isTombstone: isTombstone, value: value))
      ])
    }
    #expect(error(record(key, HybridTime(1), isTombstone: false, value: [1])) == nil)
    #expect(error(record(key, HybridTime(1), isTombstone: true, value: [])) == nil)
    #expect(error(record(key, HybridTime(1), isTombstone: true, value: [1])) == .malformed("tombstone"))
    #expect(error(record(key, .ceiling, isTombstone: false, value: [1])) == .malformed("time"))
    #expect(error(record([1, 2, 3], HybridTime(1), isTombstone: false, value: [1])) == .malformed("key"))
    #expect(error(pull(.items([PullItem(hash: 1, above: Stamp(time: .ceiling, actor: ActorID(1)))]))) != nil)
  }

  @Test("a time at which nothing can expire is no message")
  func expiries() throws {
    let key = try #require(ObjectKey(bucket: [1], key: [2])).encoded
    func record(_ expiry: Expiry) -> [UInt8] {
      page([
        PulledRecord(
          key: key,
          version: StoredVersion(
            stamp: Stamp(time: HybridTime(1), actor: ActorID(1)), isTombstone: false, value: [1], expiry: expiry))
      ])
    }
    #expect(error(record(.last)) == nil && error(record(Expiry(milliseconds: 1))) == nil)
    #expect(error(record(Expiry(milliseconds: 0))) == .malformed("expiry"))
    #expect(error(record(Expiry(milliseconds: Expiry.last.milliseconds + 1))) == .malformed("expiry"))
    // Both flags: a tombstone that expires.
    var bytes = record(Expiry(milliseconds: 0x0102_0304_0506))
    let place = try #require(bytes.indices.first { bytes[$0...].starts(with: [2, 6, 5, 4, 3, 2, 1]) })
    bytes[place] = 3
    #expect(error(bytes) == .malformed("expiry"))
  }

  @Test("a count is believed only as far as there are bytes")
  func believed() {
    var lying = page([])
    lying.setLittleEndian(UInt32.max, at: lying.count - 4)
    #expect(error(lying) == .truncated)
    var slots = answer(.slots(SlotPage(slots: [], next: nil, isHidden: false)))
    slots.setLittleEndian(UInt16(ExchangeLimits.slotsMax), at: slots.count - 2)
    #expect(error(slots) == .truncated)
  }
}
