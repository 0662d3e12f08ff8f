import Causality
import Primitives
package import Storage

// States and feeds as bytes, little-endian. Counts are believed only as far as there are bytes for them, and a feed whose
// positions are out of order or beyond its ends is no message.

extension StoreStates {
  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(bootID)
    bytes.appendLittleEndian(yourBootID)
    bytes.appendLittleEndian(sequence)
    bytes.appendLittleEndian(UInt32(states.count))
    for state in states { state.append(to: &bytes) }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let bootID = try reader.takeUInt64()
    let yourBootID = try reader.takeUInt64()
    let sequence = try reader.takeUInt64()
    self.init(
      bootID: bootID, yourBootID: yourBootID, sequence: sequence, states: try StoreState.list(from: &reader))
  }
}

extension StoreState {
  /// Encoded: partition, replicas, three identities, configuration, role, two flags, head, floor, cursor.
  static let byteCount = 2 + 1 + 3 * 16 + 8 + 1 + 2 + 8 + Stamp.byteCount + 8

  func append(to bytes: inout [UInt8]) {
    store.append(to: &bytes)
    bytes.append(incarnation)
    bytes.appendLittleEndian(configID)
    bytes.append(recognizes)
    bytes.append(role.rawValue)
    bytes.append(isNew ? 1 : 0)
    bytes.append(holds ? 1 : 0)
    bytes.appendLittleEndian(tsnHead)
    floor.append(to: &bytes)
    bytes.append(cursor.incarnation)
    bytes.appendLittleEndian(cursor.tsn)
  }

  /// A count and that many states; the count is believed only as far as there are bytes for it.
  static func list(from reader: inout ByteReader) throws(CodecError) -> [StoreState] {
    let count = Int(try reader.takeUInt32())
    guard count <= FeedLimits.storesMax else { throw .malformed("states") }
    guard count <= reader.remaining / byteCount else { throw .truncated }
    var states: [StoreState] = []
    states.reserveCapacity(count)
    for _ in 0..<count { states.append(try StoreState(from: &reader)) }
    return states
  }

  private init(from reader: inout ByteReader) throws(CodecError) {
    let store = try StoreID(from: &reader)
    let incarnation = try reader.takeIdentity()
    let configID = try reader.takeUInt64()
    let recognizes = try reader.takeIdentity()
    let role = try reader.takeEnum(StoreRole.self, "store role")
    let isNew = try reader.takeBool("isNew")
    let holds = try reader.takeBool("holds")
    let head = try reader.takeUInt64()
    let floor = try reader.takeStamp()
    let cursor = Cursor(incarnation: try reader.takeIdentity(), tsn: try reader.takeUInt64())
    self.init(
      store: store, incarnation: incarnation, configID: configID, role: role, isNew: isNew, holds: holds,
      recognizes: recognizes, tsnHead: head, floor: floor, cursor: cursor)
  }
}

extension StoreStatesReply {
  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(bootID)
    bytes.appendLittleEndian(yourBootID)
    bytes.appendLittleEndian(answers)
    bytes.appendLittleEndian(follows)
    bytes.appendLittleEndian(UInt16(verdicts.count))
    for verdict in verdicts { verdict.append(to: &bytes) }
    bytes.appendLittleEndian(UInt16(feeds.count))
    for feed in feeds { feed.append(to: &bytes) }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let bootID = try reader.takeUInt64()
    let yourBootID = try reader.takeUInt64()
    let answers = try reader.takeUInt64()
    let follows = try reader.takeUInt64()
    let verdicts = try reader.takeList(max: FeedLimits.storesMax, byteCount: StoreVerdict.byteCount, "verdicts") {
      (reader) throws(CodecError) in try StoreVerdict(from: &reader)
    }
    let feeds = try reader.takeList(max: FeedLimits.storesMax, byteCount: StoreFeed.byteCountMin, "feeds") {
      (reader) throws(CodecError) in try StoreFeed(from: &reader)
    }
    self.init(
      bootID: bootID, yourBootID: yourBootID, answers: answers, follows: follows, verdicts: verdicts, feeds: feeds)
  }

  var longFieldBytes: Int {
    verdicts.count * StoreVerdict.byteCount
      + feeds.reduce(0) { $0 + StoreFeed.byteCountMin + $1.entries.reduce(0) { $0 + $1.byteCount } }
  }
}

extension StoreVerdict {
  /// Encoded: store, incarnation, judgement.
  fileprivate static let byteCount = 3 + 16 + 1

  fileprivate func append(to bytes: inout [UInt8]) {
    store.append(to: &bytes)
    bytes.append(incarnation)
    bytes.append(judgement.rawValue)
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let store = try StoreID(from: &reader)
    let incarnation = try reader.takeIdentity()
    self.init(
      store: store, incarnation: incarnation, judgement: try reader.takeEnum(Judgement.self, "judgement of a store"))
  }
}

extension StoreFeed {
  /// Encoded, of one without entries: store, incarnation, three positions, count.
  fileprivate static let byteCountMin = 3 + 16 + 3 * 8 + 2

  fileprivate func append(to bytes: inout [UInt8]) {
    store.append(to: &bytes)
    bytes.append(incarnation)
    bytes.appendLittleEndian(after)
    bytes.appendLittleEndian(next)
    bytes.appendLittleEndian(head)
    bytes.appendLittleEndian(UInt16(entries.count))
    for entry in entries { entry.append(to: &bytes) }
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let store = try StoreID(from: &reader)
    let incarnation = try reader.takeIdentity()
    let after = try reader.takeUInt64()
    let next = try reader.takeUInt64()
    let head = try reader.takeUInt64()
    guard after <= next, next <= head else { throw .malformed("feed") }
    let entries = try reader.takeList(max: FeedLimits.entriesMax, byteCount: FeedEntry.byteCountMin, "feed") {
      (reader) throws(CodecError) in try FeedEntry(from: &reader)
    }
    var last = after
    for entry in entries {
      guard entry.tsn > last, entry.tsn <= next else { throw .malformed("feed") }
      last = entry.tsn
    }
    self.init(store: store, incarnation: incarnation, after: after, next: next, head: head, entries: entries)
  }
}

extension FeedEntry {
  /// Encoded, of one with no key: position, stamp, length.
  fileprivate static let byteCountMin = 8 + Stamp.byteCount + 4

  /// What the entry costs on the wire.
  package var byteCount: Int { FeedEntry.byteCountMin + key.count }

  fileprivate func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(tsn)
    stamp.append(to: &bytes)
    bytes.appendSized(key)
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let tsn = try reader.takeUInt64()
    let stamp = try reader.takeStamp()
    self.init(tsn: tsn, key: try reader.takeKey().encoded, stamp: stamp)
  }
}
