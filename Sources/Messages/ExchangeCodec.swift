import Causality
import Primitives
import Storage

// The messages of exchanges as bytes, little-endian. Counts are believed only as far as there are bytes for them, and
// what a bound or an order forbids is no message: a peer that sends it is not one of ours.

extension PeerCompare {
  private enum Tag: UInt8 {
    case roots = 1
    case segments, slots
  }

  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(operation)
    bytes.append(valuesOnly ? 1 : 0)
    bytes.appendLittleEndian(leftBy)
    switch subject {
    case .roots(let roots, let beginsRound):
      bytes.append(Tag.roots.rawValue)
      bytes.append(beginsRound ? 1 : 0)
      bytes.appendLittleEndian(UInt16(roots.count))
      for root in roots {
        root.store.append(to: &bytes)
        bytes.appendLittleEndian(root.configID)
        root.root.append(to: &bytes)
      }
    case .segments(let store, let configID, let hashes):
      bytes.append(Tag.segments.rawValue)
      store.append(to: &bytes)
      bytes.appendLittleEndian(configID)
      for hash in hashes { hash.append(to: &bytes) }
    case .slots(let store, let configID, let question):
      bytes.append(Tag.slots.rawValue)
      store.append(to: &bytes)
      bytes.appendLittleEndian(configID)
      question.append(to: &bytes)
    }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let operation = try reader.takeUInt64()
    let valuesOnly = try reader.takeBool("valuesOnly")
    let leftBy = try reader.takeUInt64()
    guard leftBy <= Expiry.last.leaves else { throw .malformed("minute") }
    let subject: CompareSubject
    switch try reader.takeEnum(Tag.self, "subject of a comparison") {
    case .roots:
      let beginsRound = try reader.takeBool("beginsRound")
      let roots = try reader.takeList(max: ExchangeLimits.rootsMax, byteCount: StoreRoot.byteCount, "roots") {
        (reader) throws(CodecError) in try StoreRoot(from: &reader)
      }
      subject = .roots(roots, beginsRound: beginsRound)
    case .segments:
      let store = try StoreID(from: &reader)
      let configID = try reader.takeUInt64()
      var hashes: [TreeHash] = []
      for _ in 0..<HashTree.segmentCount { hashes.append(try TreeHash(from: &reader)) }
      subject = .segments(store, configID: configID, hashes)
    case .slots:
      let store = try StoreID(from: &reader)
      let configID = try reader.takeUInt64()
      subject = .slots(store, configID: configID, try SlotQuestion(from: &reader))
    }
    self.init(operation: operation, valuesOnly: valuesOnly, leftBy: leftBy, subject: subject)
  }
}

extension StoreRoot {
  /// Encoded: store, configuration, two hashes.
  fileprivate static let byteCount = 3 + 8 + 16

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let store = try StoreID(from: &reader)
    let configID = try reader.takeUInt64()
    self.init(store: store, configID: configID, root: try TreeHash(from: &reader))
  }
}

extension TreeHash {
  fileprivate func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(values)
    bytes.appendLittleEndian(tombstones)
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let values = try reader.takeUInt64()
    self.init(values: values, tombstones: try reader.takeUInt64())
  }
}

extension SlotQuestion {
  /// In place of the number of bits: no leaves.
  private static let everything: UInt8 = 0xFF

  fileprivate func append(to bytes: inout [UInt8]) {
    bytes.append(UInt8(segment))
    hash.append(to: &bytes)
    bytes.append(leaves.isEmpty ? SlotQuestion.everything : UInt8(leaves.count.trailingZeroBitCount))
    for leaf in leaves { bytes.appendLittleEndian(leaf) }
    bytes.appendLittleEndian(from)
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let segment = try reader.takeSegment()
    let hash = try TreeHash(from: &reader)
    let bits = try reader.takeByte()
    var leaves: [UInt32] = []
    if bits != SlotQuestion.everything {
      guard bits <= HashTree.leafBitsMax else { throw .malformed("leaves") }
      guard reader.remaining >= 4 << Int(bits) else { throw .truncated }
      leaves.reserveCapacity(1 << Int(bits))
      for _ in 0..<1 << Int(bits) { leaves.append(try reader.takeUInt32()) }
    }
    self.init(segment: segment, hash: hash, leaves: leaves, from: try reader.takeUInt64())
  }
}

extension PeerCompareReply {
  private enum Tag: UInt8 {
    case roots = 1
    case segments, slots, refused
  }

  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(operation)
    switch outcome {
    case .roots(let answers):
      bytes.append(Tag.roots.rawValue)
      bytes.appendLittleEndian(UInt16(answers.count))
      for answer in answers { answer.append(to: &bytes) }
    case .segments(let answer):
      bytes.append(Tag.segments.rawValue)
      bytes.appendLittleEndian(answer.differing)
      bytes.appendLittleEndian(answer.keys)
      bytes.appendLittleEndian(answer.bytes)
      answer.floor.append(to: &bytes)
    case .slots(let page):
      bytes.append(Tag.slots.rawValue)
      page.append(to: &bytes)
    case .refused(let refusal):
      bytes.append(Tag.refused.rawValue)
      bytes.append(refusal.rawValue)
    }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let operation = try reader.takeUInt64()
    let outcome: CompareOutcome
    switch try reader.takeEnum(Tag.self, "outcome of a comparison") {
    case .roots:
      outcome = .roots(
        try reader.takeList(max: ExchangeLimits.rootsMax, byteCount: RootAnswer.byteCountMin, "roots") {
          (reader) throws(CodecError) in try RootAnswer(from: &reader)
        })
    case .segments:
      let differing = try reader.takeUInt32()
      let keys = try reader.takeUInt64()
      let bytes = try reader.takeUInt64()
      outcome = .segments(
        SegmentAnswer(differing: differing, keys: keys, bytes: bytes, floor: try reader.takeStamp()))
    case .slots: outcome = .slots(try SlotPage(from: &reader))
    case .refused: outcome = .refused(try reader.takeEnum(Refusal.self, "refusal"))
    }
    self.init(operation: operation, outcome: outcome)
  }
}

extension RootAnswer {
  private static let equal: UInt8 = 0xFE
  private static let differs: UInt8 = 0xFF
  /// Encoded, when they are equal: store, verdict (or why there is none), activity.
  fileprivate static let byteCountMin = 3 + 1 + 1

  fileprivate func append(to bytes: inout [UInt8]) {
    store.append(to: &bytes)
    switch verdict {
    case .equal: bytes.append(RootAnswer.equal)
    case .differs(let root):
      bytes.append(RootAnswer.differs)
      root.append(to: &bytes)
    case .refused(let refusal): bytes.append(refusal.rawValue)
    }
    bytes.append(activity.rawValue)
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let store = try StoreID(from: &reader)
    let raw = try reader.takeByte()
    let verdict: Verdict
    switch raw {
    case RootAnswer.equal: verdict = .equal
    case RootAnswer.differs: verdict = .differs(try TreeHash(from: &reader))
    default:
      guard let refusal = Refusal(rawValue: raw) else { throw .unknown("refusal", raw) }
      verdict = .refused(refusal)
    }
    self.init(store: store, verdict: verdict, activity: try reader.takeEnum(Activity.self, "activity"))
  }
}

extension SlotPage {
  private static let hiddenFlag: UInt8 = 1
  private static let nextFlag: UInt8 = 2
  private static let tombstoneBit: UInt16 = 1 << 15
  /// One slot, encoded: hash, digest and flag.
  private static let slotBytes = 8 + 2

  fileprivate func append(to bytes: inout [UInt8]) {
    bytes.append((isHidden ? SlotPage.hiddenFlag : 0) | (next == nil ? 0 : SlotPage.nextFlag))
    if let next { bytes.appendLittleEndian(next) }
    bytes.appendLittleEndian(UInt16(slots.count))
    for slot in slots {
      bytes.appendLittleEndian(slot.hash)
      bytes.appendLittleEndian(slot.digest | (slot.isTombstone ? SlotPage.tombstoneBit : 0))
    }
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let flags = try reader.takeFlags("slots", known: SlotPage.hiddenFlag | SlotPage.nextFlag)
    let next = flags & SlotPage.nextFlag == 0 ? nil : try reader.takeUInt64()
    let slots = try reader.takeList(max: ExchangeLimits.slotsMax, byteCount: SlotPage.slotBytes, "slots") {
      (reader) throws(CodecError) in
      let hash = try reader.takeUInt64()
      let bits = try reader.takeUInt16()
      let digest = bits & ~SlotPage.tombstoneBit
      guard digest < 1 << 9 else { throw .malformed("slots") }
      return SlotDigest(hash: hash, digest: digest, isTombstone: bits != digest)
    }
    for index in slots.indices.dropFirst() where slots[index].hash < slots[index - 1].hash {
      throw .malformed("slots")
    }
    if let next, let last = slots.last, last.hash >= next { throw .malformed("slots") }
    self.init(slots: slots, next: next, isHidden: flags & SlotPage.hiddenFlag != 0)
  }
}

extension PeerPull {
  private enum Tag: UInt8 {
    case items = 1
    case range
  }
  /// One item, encoded: hash and stamp.
  private static let itemBytes = 8 + Stamp.byteCount

  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(operation)
    store.append(to: &bytes)
    bytes.appendLittleEndian(configID)
    bytes.append(wantsDurable ? 1 : 0)
    switch subject {
    case .items(let items):
      bytes.append(Tag.items.rawValue)
      bytes.appendLittleEndian(UInt16(items.count))
      for item in items {
        bytes.appendLittleEndian(item.hash)
        item.above.append(to: &bytes)
      }
    case .range(let segment, let from):
      bytes.append(Tag.range.rawValue)
      bytes.append(UInt8(segment))
      bytes.appendLittleEndian(from)
    }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let operation = try reader.takeUInt64()
    let store = try StoreID(from: &reader)
    let configID = try reader.takeUInt64()
    let wantsDurable = try reader.takeBool("wantsDurable")
    let subject: PullSubject
    switch try reader.takeEnum(Tag.self, "subject of a pull") {
    case .items:
      let items = try reader.takeList(max: ExchangeLimits.itemsMax, byteCount: PeerPull.itemBytes, "items") {
        (reader) throws(CodecError) in
        let hash = try reader.takeUInt64()
        return PullItem(hash: hash, above: try reader.takeStamp())
      }
      for index in items.indices.dropFirst() where items[index].hash <= items[index - 1].hash {
        throw .malformed("items")
      }
      subject = .items(items)
    case .range:
      let segment = try reader.takeSegment()
      subject = .range(segment: segment, from: try reader.takeUInt64())
    }
    self.init(
      operation: operation, store: store, configID: configID, wantsDurable: wantsDurable, subject: subject)
  }
}

extension PeerPullReply {
  private enum Tag: UInt8 {
    /// The hash to go on from follows.
    case page = 1
    case lastPage, refused
  }

  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(operation)
    switch outcome {
    case .page(let page):
      bytes.append((page.next == nil ? Tag.lastPage : .page).rawValue)
      if let next = page.next { bytes.appendLittleEndian(next) }
      page.floor.append(to: &bytes)
      bytes.appendLittleEndian(UInt32(page.records.count))
      for record in page.records { record.append(to: &bytes) }
    case .refused(let refusal):
      bytes.append(Tag.refused.rawValue)
      bytes.append(refusal.rawValue)
    }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let operation = try reader.takeUInt64()
    let outcome: PullAnswer
    switch try reader.takeEnum(Tag.self, "outcome of a pull") {
    case .page: outcome = .page(try reader.takePullPage(next: try reader.takeUInt64()))
    case .lastPage: outcome = .page(try reader.takePullPage(next: nil))
    case .refused: outcome = .refused(try reader.takeEnum(Refusal.self, "refusal"))
    }
    self.init(operation: operation, outcome: outcome)
  }
}

extension PulledRecord {
  /// Encoded, of one with the shortest key: two lengths, stamp, flag.
  fileprivate static let byteCountMin = 4 + Stamp.byteCount + 1 + 4

  fileprivate func append(to bytes: inout [UInt8]) {
    bytes.appendSized(key)
    version.append(to: &bytes)
  }

  fileprivate init(from reader: inout ByteReader) throws(CodecError) {
    let key = try reader.takeKey()
    let version = try StoredVersion(from: &reader)
    guard version.value.isEmpty || !version.isTombstone else { throw .malformed("tombstone") }
    self.init(key: key.encoded, version: version)
  }

  /// What the record costs on the wire.
  package var byteCount: Int {
    PulledRecord.byteCountMin + key.count + version.value.count + (version.expiry == .never ? 0 : 8)
  }
}

extension ByteReader {
  fileprivate mutating func takeSegment() throws(CodecError) -> Int {
    let segment = Int(try takeByte())
    guard segment < HashTree.segmentCount else { throw .malformed("segment") }
    return segment
  }

  /// A 16-bit count and that many entries of at least this size.
  mutating func takeList<T>(
    max: Int, byteCount: Int, _ field: String, _ take: (inout ByteReader) throws(CodecError) -> T
  ) throws(CodecError) -> [T] {
    let count = Int(try takeUInt16())
    guard count <= max else { throw .malformed(field) }
    guard count <= remaining / byteCount else { throw .truncated }
    var entries: [T] = []
    entries.reserveCapacity(count)
    for _ in 0..<count { entries.append(try take(&self)) }
    return entries
  }

  fileprivate mutating func takePullPage(next: UInt64?) throws(CodecError) -> PullPage {
    let floor = try takeStamp()
    let count = Int(try takeUInt32())
    guard count <= remaining / PulledRecord.byteCountMin else { throw .truncated }
    var records: [PulledRecord] = []
    records.reserveCapacity(count)
    for _ in 0..<count { records.append(try PulledRecord(from: &self)) }
    return PullPage(records: records, next: next, floor: floor)
  }
}
