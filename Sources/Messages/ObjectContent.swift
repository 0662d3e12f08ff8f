import Primitives

// What is stored under a key: a content type, user metadata, and the value's bytes. The node and the engine carry it
// as one opaque byte string (the payload); only the protocols at the edge take it apart.

/// An object's content and its encoding:
/// `version u8 = 1 | typeLength u16 | metaCount u16 | contentType | (nameLength u16, valueLength u32, name, value)* | value`.
package struct ObjectContent: Equatable, Sendable {
  package var contentType: [UInt8]
  /// User metadata, names as sent, in the order sent.
  package var metadata: [(name: [UInt8], value: [UInt8])]
  package var value: [UInt8]

  package init(contentType: [UInt8], metadata: [(name: [UInt8], value: [UInt8])] = [], value: [UInt8]) {
    self.contentType = contentType
    self.metadata = metadata
    self.value = value
  }

  package static func == (a: ObjectContent, b: ObjectContent) -> Bool {
    a.contentType == b.contentType && a.value == b.value
      && a.metadata.elementsEqual(b.metadata, by: { $0.name == $1.name && $0.value == $1.value })
  }

  static let version: UInt8 = 1
  /// Version, length of the content type, number of metadata entries.
  static let headerBytes = 5

  package func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(
      5 + contentType.count + value.count + metadata.reduce(0) { $0 + 6 + $1.name.count + $1.value.count })
    bytes.append(ObjectContent.version)
    bytes.appendLittleEndian(UInt16(contentType.count))
    bytes.appendLittleEndian(UInt16(metadata.count))
    bytes.append(contentsOf: contentType)
    for entry in metadata {
      bytes.appendLittleEndian(UInt16(entry.name.count))
      bytes.appendLittleEndian(UInt32(entry.value.count))
      bytes.append(contentsOf: entry.name)
      bytes.append(contentsOf: entry.value)
    }
    bytes.append(contentsOf: value)
    return bytes
  }

  /// Nil when `payload` was not made by `encoded()`.
  package init?(payload: [UInt8]) {
    var reader = ByteReader(payload)
    guard reader.readByte() == ObjectContent.version, let typeLength = reader.read(UInt16.self),
      let metaCount = reader.read(UInt16.self), let contentType = reader.readBytes(Int(typeLength))
    else { return nil }
    var metadata: [(name: [UInt8], value: [UInt8])] = []
    for _ in 0..<metaCount {
      guard let nameLength = reader.read(UInt16.self), let valueLength = reader.read(UInt32.self),
        let name = reader.readBytes(Int(nameLength)), let value = reader.readBytes(Int(valueLength))
      else { return nil }
      metadata.append((name, value))
    }
    self.contentType = contentType
    self.metadata = metadata
    value = Array(payload[reader.offset...])
  }
}
