import Platform
import Protocols

// The records that were not imported, so that they can be repaired and imported again: a first line that says what the
// file is, the header of CSV, and for each record a line of reasons and then the record as it stood in the input. Lines
// that begin with `#` are no records. A record too long to be kept has a line of reasons only.

struct RejectsFile: ~Copyable {
  static let suffix = ".rejects"
  /// What the first line begins with.
  static let magic = Array("#! cairn-rejects 1 ".utf8)
  private static let comment = Array("#! ".utf8)
  private static let bufferBytesMax = 64 << 10

  let path: String
  private let file: OutputFile
  /// Bytes of the file, those included that are not written yet.
  private(set) var byteCount: Int
  private var buffer: [UInt8] = []

  /// Opens the file behind its first `kept` bytes; a new one gets its first lines.
  init(path: String, keeping kept: Int, format: BulkFormat, header: [UInt8]?) throws(Failure) {
    self.path = path
    do throws(Errno) {
      file = try OutputFile(path: path, keeping: kept)
    } catch {
      throw Failure("cannot write the rejects \(path): \(error)")
    }
    byteCount = kept
    if kept == 0 {
      append(RejectsFile.magic + Array(format.rawValue.utf8) + [0x0A])
      if let header { append(header + [0x0A]) }
    }
  }

  /// One record that was not imported.
  struct Reject {
    let line: Int
    let offset: Int
    let byteCount: Int
    /// Nil when it has none, or none that can be told.
    let key: [UInt8]?
    let reason: String
    /// Nil when it was too long to be kept.
    let record: [UInt8]?
  }

  mutating func add(_ reject: Reject, format: BulkFormat, delimiter: UInt8) throws(Failure) {
    append(RejectsFile.reasonLine(reject))
    if let record = reject.record {
      append(RejectsFile.escaped(record, format: format, delimiter: delimiter))
      append([0x0A])
    }
    if buffer.count >= RejectsFile.bufferBytesMax { try write() }
  }

  static func reasonLine(_ reject: Reject) -> [UInt8] {
    var line = comment
    line += Array("{\"line\":\(reject.line),\"offset\":\(reject.offset),\"bytes\":\(reject.byteCount),\"key\":".utf8)
    if let key = reject.key { line.appendJSONText(key) } else { line += Array("null".utf8) }
    line += Array(",\"reason\":".utf8)
    line.appendJSONText(Array(reject.reason.utf8))
    if reject.record == nil { line += Array(",\"omitted\":true".utf8) }
    line += Array("}\n".utf8)
    return line
  }

  /// The record in the same meaning, and not beginning with `#`.
  static func escaped(_ record: [UInt8], format: BulkFormat, delimiter: UInt8) -> [UInt8] {
    guard record.first == UInt8(ascii: "#") else { return record }
    guard format == .csv else { return [0x20] + record }
    let end = record.firstIndex(of: delimiter) ?? record.count
    var line: [UInt8] = []
    line.appendCSVField(record[..<end], delimiter: delimiter)
    return line + record[end...]
  }

  private mutating func append(_ bytes: [UInt8]) {
    buffer += bytes
    byteCount += bytes.count
  }

  private mutating func write() throws(Failure) {
    let result = file.write(buffer)
    buffer.removeAll(keepingCapacity: true)
    if let error = result.failure { throw Failure("cannot write the rejects \(path): \(error)") }
  }

  /// Writes what is waiting, and waits until it is on the disk.
  mutating func sync() throws(Failure) {
    try write()
    do throws(Errno) {
      try file.sync()
    } catch {
      throw Failure("cannot sync the rejects \(path): \(error)")
    }
  }
}
