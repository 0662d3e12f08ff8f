import Causality
import Primitives
import Storage

// The messages of listings as bytes, little-endian. A page travels as it stands in memory and is checked entry by entry
// when it arrives.

extension PeerList {
  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(operation)
    bytes.appendLittleEndian(sequence)
    store.append(to: &bytes)
    bytes.appendLittleEndian(configID)
    bytes.appendLittleEndian(from)
    bytes.append(UInt8(pattern.parts.count))
    for part in pattern.parts {
      bytes.appendLittleEndian(UInt32(part.offset))
      bytes.appendSized(part.bytes)
    }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let operation = try reader.takeUInt64()
    let sequence = try reader.takeUInt32()
    let store = try StoreID(from: &reader)
    let configID = try reader.takeUInt64()
    let from = try reader.takeUInt64()
    let count = Int(try reader.takeByte())
    guard count <= KeyPattern.partsMax else { throw .malformed("key pattern") }
    var parts: [KeyPattern.Part] = []
    for _ in 0..<count {
      let offset = Int(try reader.takeUInt32())
      parts.append(KeyPattern.Part(offset: offset, bytes: try reader.takeBytes()))
    }
    self.init(
      operation: operation, sequence: sequence, store: store, configID: configID, from: from,
      pattern: KeyPattern(parts))
  }
}

extension PeerListReply {
  private enum Tag: UInt8 {
    /// Another page begins at the hash that follows.
    case page = 1
    case lastPage, refused
  }

  func append(to bytes: inout [UInt8]) {
    bytes.appendLittleEndian(operation)
    bytes.appendLittleEndian(sequence)
    switch outcome {
    case .page(let page):
      bytes.append((page.next == nil ? Tag.lastPage : .page).rawValue)
      if let next = page.next { bytes.appendLittleEndian(next) }
      page.floor.append(to: &bytes)
      bytes.appendSized(page.bytes)
    case .refused(let refusal):
      bytes.append(Tag.refused.rawValue)
      bytes.append(refusal.rawValue)
    }
  }

  init(from reader: inout ByteReader) throws(CodecError) {
    let operation = try reader.takeUInt64()
    let sequence = try reader.takeUInt32()
    let outcome: ListOutcome
    switch try reader.takeEnum(Tag.self, "list outcome") {
    case .page: outcome = .page(try reader.takePage(next: try reader.takeUInt64()))
    case .lastPage: outcome = .page(try reader.takePage(next: nil))
    case .refused: outcome = .refused(try reader.takeEnum(Refusal.self, "refusal"))
    }
    self.init(operation: operation, sequence: sequence, outcome: outcome)
  }
}

extension ByteReader {
  fileprivate mutating func takePage(next: UInt64?) throws(CodecError) -> KeyPage {
    let floor = try takeStamp()
    guard let page = KeyPage(decoding: try takeBytes(), next: next, floor: floor) else { throw .malformed("key page") }
    return page
  }
}
