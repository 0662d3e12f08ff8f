import Client
import Protocols

// Which part of a record is the key, and which the value: what the command line says, and the rules where it says
// nothing. `cairn import --help` and the documentation repeat them for users.

struct RecordRules: Equatable, Sendable {
  enum Value: Equatable, Sendable {
    /// The fields that an export writes, where they are; else the whole record.
    case automatic
    case field(String)
    /// The whole record as JSON.
    case whole
  }

  let format: BulkFormat
  /// Name of a field or column, or the number of a column; nil for `key`.
  var key: String?
  var value = Value.automatic
  /// Of all objects; nil for what the record or its form says.
  var contentType: String?
  var delimiter = Delimiter.comma
  /// The first row has the names of the columns.
  var hasHeader = true

  static let keyDefault = "key"

  init(_ format: BulkFormat) { self.format = format }

  init(_ arguments: Arguments, path: String) throws(UsageError) {
    format = try BulkFormat.chosen(arguments, path: path)
    key = arguments.value("--key")
    contentType = arguments.value("--content-type")
    if let contentType, contentType.isEmpty || !isHeaderText(contentType) {
      throw arguments.problem("--content-type is '\(contentType)', which cannot stand in a header")
    }
    if arguments.has("--value-json") {
      guard arguments.value("--value") == nil else {
        throw arguments.problem("--value names one field and --value-json means all of them: give one of the two")
      }
      value = .whole
    } else if let field = arguments.value("--value") {
      value = .field(field)
    }
    if format == .csv {
      delimiter = try Delimiter.chosen(arguments, path: path)
      hasHeader = !arguments.has("--no-header")
    } else {
      for name in ["--delimiter", "--no-header"] where arguments.value(name) != nil || arguments.has(name) {
        throw arguments.problem("\(name) is for CSV, and the format is jsonl")
      }
    }
    if !hasHeader { try checkColumnNumbers(arguments) }
  }

  /// Without names, columns are known by their numbers.
  private func checkColumnNumbers(_ arguments: Arguments) throws(UsageError) {
    guard let key else {
      throw arguments.problem("with --no-header, --key must say which column is the key: 1 for the first")
    }
    var names = [("--key", key)]
    if case .field(let field) = value { names.append(("--value", field)) }
    for (option, name) in names where Int(name).map({ $0 < 1 }) ?? true {
      throw arguments.problem("\(option) is '\(name)'; with --no-header it is a column's number, 1 for the first")
    }
  }
}

/// One object as it will be stored.
struct BulkObject: Equatable {
  var key: [UInt8] = []
  /// Whole header lines: content type, metadata, when it expires.
  var headers: [UInt8] = []
  var value: [UInt8] = []

  /// Emptied, with what it has allocated.
  mutating func clear() {
    key.removeAll(keepingCapacity: true)
    headers.removeAll(keepingCapacity: true)
    value.removeAll(keepingCapacity: value.capacity <= 1 << 20)
  }

  /// - Throws: when it would not be one header line.
  mutating func appendHeader(_ name: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) throws(RecordProblem) {
    guard text.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
      throw RecordProblem("\(String(decoding: name, as: UTF8.self)) holds a control character")
    }
    headers.append(contentsOf: name)
    headers.append(contentsOf: ": ".utf8)
    headers.append(contentsOf: text)
    headers.append(contentsOf: "\r\n".utf8)
  }

  mutating func appendContentType(_ type: some Collection<UInt8>) throws(RecordProblem) {
    guard !type.isEmpty else { throw RecordProblem("the content type is empty") }
    try appendHeader(Array("Content-Type".utf8)[...], Array(type)[...])
  }
}

/// Why a record cannot be stored, in one line.
struct RecordProblem: Error, Equatable {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}

enum ContentType {
  static let text = Array("text/plain; charset=utf-8".utf8)
  static let bytes = Array("application/octet-stream".utf8)
  static let json = Array("application/json".utf8)
}

/// Names of the members and columns that an export writes.
enum BulkField {
  static let key = Array("key".utf8)
  static let keyBase64 = Array("key_base64".utf8)
  static let value = Array("value".utf8)
  static let valueBase64 = Array("value_base64".utf8)
  static let contentType = Array("content_type".utf8)
  static let metadata = Array("metadata".utf8)
  static let metadataBase64 = Array("metadata_base64".utf8)
  static let expiresAt = Array("expires_at".utf8)
}
