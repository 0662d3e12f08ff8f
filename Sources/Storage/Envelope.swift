import Primitives

// The frame of the small files that are only ever replaced as a whole: `magic 8 | version u32 | length u32 | body |
// crc32c u32`, the checksum over everything before itself. A file cut short, grown or changed in any bit is told from
// one of another kind or a later format.

enum Envelope {
  private static let headByteCount = 16
  private static let version: UInt32 = 1

  static func seal(_ body: [UInt8], magic: String) -> [UInt8] {
    var bytes = Array(magic.utf8)
    invariant(bytes.count == 8, "magic \(magic) is not 8 bytes long")
    bytes.reserveCapacity(headByteCount + body.count + 4)
    bytes.appendLittleEndian(version)
    bytes.appendLittleEndian(UInt32(body.count))
    bytes.append(contentsOf: body)
    bytes.appendLittleEndian(crc32c(bytes))
    return bytes
  }

  /// A reader over the body. Throws `damaged` or `incompatible`.
  static func open(_ bytes: [UInt8], magic: String, path: String) throws(StorageError) -> ByteReader {
    guard let length = bytes.littleEndian(UInt32.self, at: 12), bytes.count == headByteCount + Int(length) + 4 else {
      throw .damaged(path: path, offset: UInt64(bytes.count), reason: "it is not as long as it says")
    }
    guard crc32c(bytes, 0..<bytes.count - 4) == bytes.littleEndian(UInt32.self, at: bytes.count - 4) else {
      throw .damaged(path: path, offset: 0, reason: "its checksum does not match")
    }
    guard Array(bytes[0..<8]) == Array(magic.utf8) else {
      throw .incompatible(path: path, reason: "this is not the file that belongs here")
    }
    guard bytes.littleEndian(UInt32.self, at: 8) == version else {
      throw .incompatible(path: path, reason: "its format is not version \(version); use a newer release")
    }
    return ByteReader(bytes, from: headByteCount, to: bytes.count - 4)
  }
}
