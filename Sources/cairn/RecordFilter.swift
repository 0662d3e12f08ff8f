import Messages
import Primitives
import Storage

// Which records `cairn store inspect` shows, and what a record says of itself.

/// A record, taken apart.
struct RecordFacts {
  let header: RecordHeader
  /// Nil when the key is no composite key.
  let key: ObjectKey?
  let keyBytes: [UInt8]
  /// Nil when the value is none of an object's, or a tombstone's.
  let content: ObjectContentView?

  init(_ record: ScannedRecord, of scan: DataScan) {
    header = record.header
    keyBytes = scan.key(of: record)
    key = ObjectKey(encoded: keyBytes)
    let value = record.start + header.valueOffset
    content =
      header.isTombstone
      ? nil : ObjectContentView(payload: Array(scan.chunk[value..<value + header.valueLength]))
  }

  /// Bytes of the value that a client stored.
  var valueByteCount: Int { content?.value.count ?? header.valueLength }
  var contentType: String? {
    content.map { keyText(Array($0.payload[$0.contentType])) }
  }
}

struct RecordFilter {
  var bucketType: [UInt8]?
  var bucket: [UInt8]?
  var key: [UInt8]?
  var onlyTombstones = false
  var fileID: UInt32?
  var limit: Int?

  static let options = [
    Option("--limit", "N", help: "stop after so many records"),
    Option("--file", "N", help: "only data file N (1 for 000001.data)"),
    Option("--bucket", "B", help: "only this bucket"),
    Option("--type", "T", help: "only buckets of this type"),
    Option("--key", "K", help: "only this key"),
    Option("--tombstones", help: "only tombstones"),
  ]

  /// Nil when no records are asked for.
  init?(_ arguments: Arguments) throws(UsageError) {
    let filters = ["--limit", "--file", "--bucket", "--type", "--key"]
    let isFiltered = arguments.has("--tombstones") || filters.contains { arguments.value($0) != nil }
    guard isFiltered || arguments.has("--records") else { return nil }
    limit = try arguments.integer("--limit", in: 1...Int(Int32.max))
    fileID = try arguments.integer("--file", in: 1...Int(UInt32.max)).map { UInt32($0) }
    bucket = try RecordFilter.bytes("--bucket", arguments)
    bucketType = try RecordFilter.bytes("--type", arguments)
    key = try RecordFilter.bytes("--key", arguments)
    onlyTombstones = arguments.has("--tombstones")
  }

  private static func bytes(_ option: String, _ arguments: Arguments) throws(UsageError) -> [UInt8]? {
    guard let text = arguments.value(option) else { return nil }
    guard let bytes = keyBytes(text) else {
      throw arguments.problem(
        "\(option) has a backslash that begins no escape", hint: "write \\\\ for a backslash and \\xNN for any byte")
    }
    return bytes
  }

  func takes(_ header: RecordHeader) -> Bool { !onlyTombstones || header.isTombstone }

  func takes(_ record: RecordFacts) -> Bool {
    guard bucket != nil || bucketType != nil || key != nil else { return true }
    guard let name = record.key else { return false }
    return (bucket ?? name.bucket) == name.bucket && (bucketType ?? name.type) == name.type
      && (key ?? name.key) == name.key
  }
}
