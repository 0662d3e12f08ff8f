import Causality
import Messages
import Platform
import Primitives
import Protocols
import Storage

// Records as rows or as JSON lines. Rows are written in batches whose columns keep the widths of those before, so that
// memory does not grow with the number of records.

struct RecordTable {
  private let isJSON: Bool
  private var rows: [[String]] = []
  private var widths: [Int] = []
  private(set) var count = 0

  private static let batchRows = 500
  private static let header = [
    "STORE", "FILE", "OFFSET", "BYTES", "KIND", "TIME", "STAMP", "VALUE", "CONTENT TYPE", "BUCKET", "KEY",
  ]

  init(json: Bool) {
    isJSON = json
    if !json { rows.append(RecordTable.header) }
  }

  mutating func add(_ record: RecordFacts, store: String, file: DataFileFacts, offset: UInt64) throws(Failure) {
    count += 1
    if isJSON {
      rows.append([RecordTable.json(record, store: store, file: file, offset: offset).text()])
    } else {
      rows.append(RecordTable.cells(record, store: store, file: file, offset: offset))
    }
    if rows.count >= RecordTable.batchRows { try flush() }
  }

  mutating func flush() throws(Failure) {
    guard !rows.isEmpty else { return }
    let lines = isJSON ? rows.map { $0[0] } : aligned(rows, widths: &widths)
    rows.removeAll(keepingCapacity: true)
    try printOut(lines.joined(separator: "\n") + "\n")
  }

  private static func cells(
    _ record: RecordFacts, store: String, file: DataFileFacts, offset: UInt64
  ) -> [String] {
    let header = record.header
    let type = record.key.map { $0.type == ObjectKey.defaultType ? "" : keyText($0.type) + "/" } ?? ""
    return [
      store, "\(file.id)", "\(offset)", "\(header.byteCount)",
      header.isTombstone
        ? "tombstone #\(header.tsn)"
        : header.expiry == .never
          ? "value" : "value until \(timestamp(wallMilliseconds: header.expiry.milliseconds))",
      timestamp(wallMilliseconds: header.stamp.time.milliseconds), "\(header.stamp)",
      header.isTombstone ? "-" : "\(record.valueByteCount)",
      header.isTombstone ? "-" : record.contentType ?? "(no object)",
      record.key.map { type + keyText($0.bucket) } ?? "(no object)",
      keyText(record.key?.key ?? record.keyBytes),
    ]
  }

  private static func json(
    _ record: RecordFacts, store: String, file: DataFileFacts, offset: UInt64
  ) -> JSON {
    let header = record.header
    return .object([
      "store": .string(store), "file": .string(fileName(file.path)), "offset": .count(offset),
      "bytes": .count(header.byteCount), "kind": .string(header.isTombstone ? "tombstone" : "value"),
      "time": .string(timestamp(wallMilliseconds: header.stamp.time.milliseconds)),
      "stamp": .string(header.stamp.description), "tsn": header.isTombstone ? .count(header.tsn) : .null,
      "expires": header.expiry == .never ? .null : .string(timestamp(wallMilliseconds: header.expiry.milliseconds)),
      "value_bytes": header.isTombstone ? .null : .count(record.valueByteCount),
      "content_type": .optional(record.contentType) { .string($0) },
      "type": .optional(record.key) { .string(keyText($0.type)) },
      "bucket": .optional(record.key) { .string(keyText($0.bucket)) },
      "key": .string(keyText(record.key?.key ?? record.keyBytes)),
    ])
  }
}

/// `aligned`, with columns at least as wide as `widths`, which grow.
func aligned(_ rows: [[String]], widths: inout [Int]) -> [String] {
  for row in rows {
    for (column, cell) in row.enumerated() {
      if column == widths.count { widths.append(0) }
      if column < row.count - 1 { widths[column] = max(widths[column], cell.count) }
    }
  }
  return rows.map { row in
    var line = ""
    for (column, cell) in row.enumerated() {
      line += cell
      if column < row.count - 1 { line += String(repeating: " ", count: widths[column] - cell.count + 2) }
    }
    return line
  }
}
