import Protocols

// A row of CSV as an object. The key and the value are columns, by name or number; without a column for the value it is
// the whole row: a JSON object of the named columns, or without names a JSON array.

struct CSVRowReader {
  private enum Value: Equatable {
    case column(Int, contentType: Int?)
    /// JSON texts of the columns' names; empty for an array.
    case whole(names: [[UInt8]])
  }

  private let rules: RecordRules
  private let columnCount: Int
  private let key: Int
  private let value: Value
  private var fields = CSVFields()

  /// - Parameter columns: The names in the header; nil without one, then there are `columnCount`.
  /// - Throws: `UsageError` when an option names no column.
  init(_ rules: RecordRules, columns: [[UInt8]]?, columnCount: Int, command: String) throws(UsageError) {
    self.rules = rules
    self.columnCount = columnCount
    let find = ColumnFinder(columns: columns, columnCount: columnCount, command: command)
    let isExport = rules.key == nil && rules.value == .automatic && CSVRowReader.isExport(columns)
    key = try find.column(rules.key ?? RecordRules.keyDefault, "--key")
    switch rules.value {
    case .field(let name): value = .column(try find.column(name, "--value"), contentType: nil)
    case .automatic where isExport:
      value = .column(try find.column("value", "--value"), contentType: columnCount == 3 ? 2 : nil)
    case .automatic, .whole: value = .whole(names: try find.jsonNames())
    }
  }

  /// The header of an export.
  private static func isExport(_ columns: [[UInt8]]?) -> Bool {
    let exported = [BulkField.key, BulkField.value, BulkField.contentType]
    return columns == exported || columns == Array(exported[..<2])
  }

  /// Reads the row at `range` into `object`, which is empty.
  mutating func read(_ bytes: [UInt8], _ range: Range<Int>, into object: inout BulkObject) throws(RecordProblem) {
    do throws(CSVError) {
      try fields.parse(bytes, range, delimiter: rules.delimiter)
    } catch {
      throw RecordProblem("\(error)")
    }
    guard fields.count == columnCount else {
      let named = rules.hasHeader ? "the header" : "the first row"
      throw RecordProblem("\(fields.count) fields, and \(named) has \(columnCount)")
    }
    object.key.append(contentsOf: fields[key])
    if object.key.isEmpty { throw RecordProblem("the key is empty") }
    switch value {
    case .column(let column, let contentType):
      let field = fields[column]
      object.value.append(contentsOf: field)
      let isText = isUTF8(fields.bytes, field.startIndex..<field.endIndex)
      let usual = isText ? ContentType.text : ContentType.bytes
      try appendContentType(contentType.map { Array(fields[$0]) } ?? usual, to: &object)
    case .whole(let names):
      try takeWhole(names, into: &object)
      try appendContentType(ContentType.json, to: &object)
    }
  }

  private func takeWhole(_ names: [[UInt8]], into object: inout BulkObject) throws(RecordProblem) {
    object.value.append(UInt8(ascii: names.isEmpty ? "[" : "{"))
    for index in 0..<fields.count {
      let field = fields[index]
      guard isUTF8(fields.bytes, field.startIndex..<field.endIndex) else {
        throw RecordProblem("field \(index + 1) is not UTF-8, and JSON holds nothing else; name the value with --value")
      }
      if index > 0 { object.value.append(UInt8(ascii: ",")) }
      if !names.isEmpty {
        object.value.append(contentsOf: names[index])
        object.value.append(UInt8(ascii: ":"))
      }
      object.value.appendJSONText(field)
    }
    object.value.append(UInt8(ascii: names.isEmpty ? "]" : "}"))
  }

  private func appendContentType(_ type: [UInt8], to object: inout BulkObject) throws(RecordProblem) {
    if let chosen = rules.contentType {
      try object.appendContentType(chosen.utf8)
    } else {
      try object.appendContentType(type)
    }
  }
}

/// Finds columns, and says which there are when one is not.
private struct ColumnFinder {
  let columns: [[UInt8]]?
  let columnCount: Int
  let command: String

  func column(_ name: String, _ option: String) throws(UsageError) -> Int {
    guard let columns else {
      guard let number = Int(name), number <= columnCount else {
        throw UsageError(
          problem: "\(option) is \(name), and the first row has \(columnCount) columns", hint: "see \(command) --help")
      }
      return number - 1
    }
    let places = columns.indices.filter { columns[$0] == Array(name.utf8) }
    guard let place = places.first else {
      let names = columns.map { String(decoding: $0, as: UTF8.self) }
      let problem =
        option == "--key" && name == RecordRules.keyDefault
        ? "no column is called 'key', and no --key says which column is the key"
        : "\(option) is '\(name)', and no column is called that"
      throw UsageError(problem: problem, hint: "the columns are: \(names.joined(separator: ", "))")
    }
    guard places.count == 1 else {
      throw UsageError(
        problem: "\(option) is '\(name)', and \(places.count) columns are called that",
        hint: "use --no-header and a column's number, and take the first row out of the file")
    }
    return place
  }

  /// The names as JSON texts; empty without a header.
  func jsonNames() throws(UsageError) -> [[UInt8]] {
    var names: [[UInt8]] = []
    for (index, name) in (columns ?? []).enumerated() {
      guard isUTF8(name, 0..<name.count) else {
        throw UsageError(
          problem: "the name of column \(index + 1) is not UTF-8, and JSON holds nothing else",
          hint: "name the column of the value with --value")
      }
      var text: [UInt8] = []
      text.appendJSONText(name)
      if names.contains(text) {
        throw UsageError(
          problem:
            "two columns are called '\(String(decoding: name, as: UTF8.self))', and would be one member of the JSON",
          hint: "name the column of the value with --value")
      }
      names.append(text)
    }
    return names
  }
}
