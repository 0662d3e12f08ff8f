import Primitives

// The name of an object: bucket type, bucket and key, byte strings. Inside Cairn it is one byte string, so that it is
// hashed, stored and sent without taking it apart.

/// A composite key in its encoded form: `typeLength u16 | bucketLength u16 | type | bucket | key`, little-endian. The
/// default bucket type is encoded with length 0.
package struct ObjectKey: Hashable, Sendable {
  package let encoded: [UInt8]

  /// Type, bucket and key together, in bytes.
  package static let byteCountMax = 65_535
  /// The longest encoded form.
  package static let encodedByteCountMax = byteCountMax + 4
  package static let defaultType: [UInt8] = Array("default".utf8)

  /// Nil when the three together are longer than `byteCountMax`, or when bucket or key is empty.
  package init?(type: [UInt8] = [], bucket: [UInt8], key: [UInt8]) {
    let type = type == ObjectKey.defaultType ? [] : type
    guard !bucket.isEmpty, !key.isEmpty, type.count + bucket.count + key.count <= ObjectKey.byteCountMax else {
      return nil
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(4 + type.count + bucket.count + key.count)
    bytes.appendLittleEndian(UInt16(type.count))
    bytes.appendLittleEndian(UInt16(bucket.count))
    bytes.append(contentsOf: type)
    bytes.append(contentsOf: bucket)
    bytes.append(contentsOf: key)
    encoded = bytes
  }

  /// Nil when `encoded` is not a well-formed composite key.
  package init?(encoded: [UInt8]) {
    guard encoded.count <= ObjectKey.encodedByteCountMax,
      let type = encoded.littleEndian(UInt16.self, at: 0), let bucket = encoded.littleEndian(UInt16.self, at: 2),
      bucket > 0, encoded.count > 4 + Int(type) + Int(bucket)
    else { return nil }
    self.encoded = encoded
  }

  private var typeEnd: Int { 4 + Int(encoded.littleEndian(UInt16.self, at: 0) ?? 0) }
  private var bucketEnd: Int { typeEnd + Int(encoded.littleEndian(UInt16.self, at: 2) ?? 0) }

  package var type: [UInt8] { typeEnd == 4 ? ObjectKey.defaultType : Array(encoded[4..<typeEnd]) }
  package var bucket: [UInt8] { Array(encoded[typeEnd..<bucketEnd]) }
  package var key: [UInt8] { Array(encoded[bucketEnd...]) }
}

extension ObjectKey {
  /// Where the bucket of the encoded key in `bytes[range]` stands, behind which the key itself follows; nil when those
  /// are no encoded key.
  package static func bucketRange(in bytes: [UInt8], _ range: Range<Int>) -> Range<Int>? {
    guard range.count > 4, let type = bytes.littleEndian(UInt16.self, at: range.lowerBound),
      let bucket = bytes.littleEndian(UInt16.self, at: range.lowerBound + 2)
    else { return nil }
    let start = range.lowerBound + 4 + Int(type)
    let end = start + Int(bucket)
    return bucket > 0 && end < range.upperBound ? start..<end : nil
  }

  /// Where the bucket stands in `encoded`.
  package var bucketRange: Range<Int> { typeEnd..<bucketEnd }
}
