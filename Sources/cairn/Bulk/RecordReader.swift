import Client
import Protocols

// A record of either format as an object, and as the request that stores it.

struct RecordReader {
  // One of the two. Not an enum: their buffers are used again for each record, and a payload would be copied.
  private var json: JSONLineReader?
  private var csv: CSVRowReader?

  init(json rules: RecordRules) { json = JSONLineReader(rules) }
  init(csv reader: CSVRowReader) { csv = reader }

  mutating func read(_ bytes: [UInt8], _ range: Range<Int>, into object: inout BulkObject) throws(RecordProblem) {
    try json?.read(bytes, range, into: &object)
    try csv?.read(bytes, range, into: &object)
  }

  /// The key of a record, as far as it can be told.
  mutating func key(of record: [UInt8]) -> [UInt8]? {
    var object = BulkObject()
    try? read(record, 0..<record.count, into: &object)
    return object.key.isEmpty ? nil : object.key
  }
}

final class ImportEncoder {
  /// Bucket type, bucket and key together.
  private static let nameBytesMax = 65_535

  private let requests: ObjectRequests
  private let rules: RecordRules
  private let lineBytesMax: Int
  private let keyBytesMax: Int
  private let skipsComments: Bool
  private var object = BulkObject()

  /// - Parameter skipsComments: The input is a file of rejects.
  init(_ plan: ImportPlan, skipsComments: Bool) {
    self.skipsComments = skipsComments
    requests = ObjectRequests(type: plan.type, bucket: plan.bucket, query: plan.query)
    rules = plan.rules
    lineBytesMax = plan.lineBytesMax
    keyBytesMax = ImportEncoder.nameBytesMax - plan.bucket.utf8.count - (plan.type?.utf8.count ?? 0)
  }

  /// The record as it goes into the window, to be sent or already rejected; nil for a blank line or a comment.
  func record(
    _ place: RecordSplitter.Record, in bytes: [UInt8], _ reader: inout RecordReader?
  ) -> ImportRecord? {
    guard !isBlank(place, bytes) else { return nil }
    let raw = place.isTooLong ? nil : Array(bytes[place.range])
    let record = ImportRecord(
      offset: place.offset, endOffset: place.endOffset, line: place.line, nextLine: place.nextLine, raw: raw)
    do throws(RecordProblem) {
      if place.isTooLong {
        throw RecordProblem("it has \(place.byteCount) bytes, and --line-max is \(lineBytesMax)")
      }
      object.clear()
      try reader?.read(bytes, place.range, into: &object)
      try check(object)
      record.valueBytes = object.value.count
      record.keyHash = keyHash(object.key)
      requests.appendPutBegin(object.key[...], &record.begin)
      record.end.reserveCapacity(object.headers.count + object.value.count + 40)
      ObjectRequests.appendPutEnd(headers: object.headers, value: object.value[...], &record.end)
    } catch {
      record.state = .rejected(error.reason)
    }
    return record
  }

  private func isBlank(_ place: RecordSplitter.Record, _ bytes: [UInt8]) -> Bool {
    guard !place.isTooLong else { return false }
    if skipsComments, !place.range.isEmpty, bytes[place.range.lowerBound] == UInt8(ascii: "#") { return true }
    guard rules.format == .jsonl else { return place.range.isEmpty }
    return bytes[place.range].allSatisfy { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
  }

  private func check(_ object: BulkObject) throws(RecordProblem) {
    if object.key.count > keyBytesMax {
      throw RecordProblem("the key has \(object.key.count) bytes; with this bucket it may have \(keyBytesMax)")
    }
    if object.value.count > ObjectRequest.valueBytesMax {
      throw RecordProblem(
        "the value has \(object.value.count) bytes, more than \(ObjectRequest.valueBytesMax >> 20) MiB")
    }
  }
}
