import Platform
import Protocols

// How far an import has come, in a small JSON file beside its input: enough to know the same input with the same options
// again, and to go on behind the last record before which everything is settled. Written whole and renamed, so that a
// crash leaves the old one or the new one.

/// Counts up to one place of the input.
struct ImportCounts: Equatable, Sendable {
  /// Records that the cluster has acknowledged.
  var imported = 0
  var rejected = 0
  /// Of the imported records.
  var valueBytes = 0
  var records: Int { imported + rejected }
}

struct ImportCheckpoint: Equatable {
  static let version = 1
  static let suffix = ".cairn-checkpoint"
  static let bytesMax = 4 << 20

  /// What must be the same for the rest as for the beginning: names of options and their values.
  var options: [JSON.Member]
  /// Nil for a pipe.
  var inputBytes: Int?
  var beginning: Fingerprint
  /// The end of the last settled record; nil when there is none, or it was too long to be kept.
  var last: Fingerprint?
  /// The input is a file of rejects.
  var isRejects = false
  /// The first row of CSV as it stands in the file: the header, where there is one.
  var firstRow: [UInt8]?
  /// Everything before this byte is settled.
  var offset: Int
  /// Number of the line there.
  var line: Int
  var counts = ImportCounts()
  /// Bytes of the file of rejects that belong to what is settled.
  var rejectsBytes = 0

  // MARK: As a file

  var json: JSON {
    .object([
      "cairn_import_checkpoint": .integer(ImportCheckpoint.version),
      "options": .object(options),
      "input": .object([
        "bytes": .optional(inputBytes) { .integer($0) }, "beginning": fingerprint(beginning),
        "last_record": .optional(last, fingerprint), "is_rejects": .bool(isRejects),
        "first_row_base64": .optional(firstRow) { row in
          var text: [UInt8] = []
          text.appendBase64(row[...])
          return .string(String(decoding: text, as: UTF8.self))
        },
      ]),
      "offset": .integer(offset), "line": .integer(line), "imported": .integer(counts.imported),
      "rejected": .integer(counts.rejected), "value_bytes": .integer(counts.valueBytes),
      "rejects_bytes": .integer(rejectsBytes),
    ])
  }

  private func fingerprint(_ print: Fingerprint) -> JSON {
    .object([
      "offset": .integer(print.offset), "bytes": .integer(print.byteCount), "crc32c": .integer(Int(print.checksum)),
    ])
  }

  init(
    options: [JSON.Member], inputBytes: Int?, beginning: Fingerprint, isRejects: Bool, firstRow: [UInt8]?, offset: Int,
    line: Int
  ) {
    self.options = options
    self.inputBytes = inputBytes
    self.beginning = beginning
    self.isRejects = isRejects
    self.firstRow = firstRow
    self.offset = offset
    self.line = line
  }

  /// Nil when it is no checkpoint of this version.
  init?(_ json: JSON) {
    guard json["cairn_import_checkpoint"]?.integer == ImportCheckpoint.version,
      let options = json["options"]?.members, let input = json["input"],
      let beginning = ImportCheckpoint.fingerprint(input["beginning"]), let isRejects = input["is_rejects"]?.bool,
      let offset = json["offset"]?.integer, offset >= 0, let line = json["line"]?.integer, line > 0,
      let imported = json["imported"]?.integer, let rejected = json["rejected"]?.integer,
      let valueBytes = json["value_bytes"]?.integer, let rejectsBytes = json["rejects_bytes"]?.integer
    else { return nil }
    self.init(
      options: options, inputBytes: input["bytes"]?.integer, beginning: beginning, isRejects: isRejects, firstRow: nil,
      offset: offset, line: line)
    if let text = input["first_row_base64"]?.string {
      var row: [UInt8] = []
      let bytes = Array(text.utf8)
      guard row.appendDecodedBase64(bytes, 0..<bytes.count) else { return nil }
      firstRow = row
    }
    if let last = input["last_record"], last != .null {
      guard let print = ImportCheckpoint.fingerprint(last), print.offset + print.byteCount <= offset else {
        return nil
      }
      self.last = print
    }
    counts = ImportCounts(imported: imported, rejected: rejected, valueBytes: valueBytes)
    self.rejectsBytes = rejectsBytes
  }

  private static func fingerprint(_ json: JSON?) -> Fingerprint? {
    guard let offset = json?["offset"]?.integer, let count = json?["bytes"]?.integer, offset >= 0, count >= 0,
      let checksum = json?["crc32c"]?.integer.flatMap({ UInt32(exactly: $0) })
    else { return nil }
    return Fingerprint(offset: offset, byteCount: count, checksum: checksum)
  }

  // MARK: On disk

  /// Nil when there is none.
  static func load(_ path: String) throws(Failure) -> ImportCheckpoint? {
    guard FileTree.exists(path) else { return nil }
    let bytes: [UInt8]
    do throws(Errno) {
      bytes = try FileTree.read(path, bytesMax: bytesMax)
    } catch {
      throw Failure("cannot read the checkpoint \(path): \(error)")
    }
    guard let json = try? JSON.parse(bytes), let checkpoint = ImportCheckpoint(json) else {
      throw Failure("\(path) is no checkpoint of an import of this version; --restart begins anew")
    }
    return checkpoint
  }

  func save(_ path: String) throws(Failure) {
    do throws(Errno) {
      try FileTree.replace(path, with: json.bytes + [0x0A])
    } catch {
      throw Failure("cannot write the checkpoint \(path): \(error)")
    }
  }

  /// Why this input with these options is not what the checkpoint is of; nil when it may be.
  func difference(options now: [JSON.Member], inputBytes bytes: Int?) -> String? {
    for (was, given) in zip(options, now) where was != given {
      return "--\(was.name) was \(was.value.text()) and is \(given.value.text())"
    }
    if options.count != now.count { return "the options are others" }
    switch (inputBytes, bytes) {
    case (let was?, let bytes?) where was != bytes: return "it had \(was) bytes and has \(bytes)"
    case (.some, nil): return "it was a file and is a pipe"
    case (nil, .some), (.some, .some), (nil, nil): return nil
    }
  }
}
