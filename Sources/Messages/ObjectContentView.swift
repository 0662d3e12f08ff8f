import Primitives

// Reading and writing an object's content in place, for the protocols: an answer is written straight from the payload,
// and a payload straight from the connection's buffer, without an `ObjectContent` in between.

/// Where the parts of a payload are.
package struct ObjectContentView: Sendable {
  package let payload: [UInt8]
  package let contentType: Range<Int>
  /// The values of the entries may be read with `forEachMetadata`.
  private let metadata: Range<Int>
  package let value: Range<Int>

  /// Nil when `payload` was not made by `ObjectContent.encoded()` or `ObjectContent.appendHeader`.
  package init?(payload: [UInt8]) {
    guard payload.first == ObjectContent.version, let typeLength = payload.littleEndian(UInt16.self, at: 1),
      let count = payload.littleEndian(UInt16.self, at: 3)
    else { return nil }
    let metadataStart = ObjectContent.headerBytes + Int(typeLength)
    guard metadataStart <= payload.count else { return nil }
    var offset = metadataStart
    for _ in 0..<count {
      guard let entry = ObjectContentView.entry(payload, at: offset) else { return nil }
      offset = entry.value.upperBound
    }
    self.payload = payload
    contentType = ObjectContent.headerBytes..<metadataStart
    metadata = metadataStart..<offset
    value = offset..<payload.count
  }

  /// Calls `body` with the places of each entry's name and value, in order.
  package func forEachMetadata(_ body: (_ name: Range<Int>, _ value: Range<Int>) -> Void) {
    var offset = metadata.lowerBound
    while offset < metadata.upperBound, let entry = ObjectContentView.entry(payload, at: offset) {
      body(entry.name, entry.value)
      offset = entry.value.upperBound
    }
  }

  private static func entry(_ payload: [UInt8], at offset: Int) -> (name: Range<Int>, value: Range<Int>)? {
    guard let nameLength = payload.littleEndian(UInt16.self, at: offset),
      let valueLength = payload.littleEndian(UInt32.self, at: offset + 2)
    else { return nil }
    let nameStart = offset + 6
    let valueStart = nameStart + Int(nameLength)
    let end = valueStart + Int(valueLength)
    return end <= payload.count ? (nameStart..<valueStart, valueStart..<end) : nil
  }
}

extension ObjectContent {
  /// Appends everything of the encoding that stands before the value; the value's bytes are to follow. `contentType`
  /// and names have at most 65,535 bytes, and there are at most as many entries.
  package static func appendHeader(
    contentType: ArraySlice<UInt8>, metadata: [(name: ArraySlice<UInt8>, value: ArraySlice<UInt8>)],
    to bytes: inout [UInt8]
  ) {
    bytes.append(version)
    bytes.appendLittleEndian(UInt16(contentType.count))
    bytes.appendLittleEndian(UInt16(metadata.count))
    bytes.append(contentsOf: contentType)
    for entry in metadata {
      bytes.appendLittleEndian(UInt16(entry.name.count))
      bytes.appendLittleEndian(UInt32(entry.value.count))
      bytes.append(contentsOf: entry.name)
      bytes.append(contentsOf: entry.value)
    }
  }
}
