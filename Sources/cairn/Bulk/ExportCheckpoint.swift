import Platform
import Protocols

// How far an export has come: which part of the list of keys is done, and how much of the output belongs to it.

/// Counts up to one place of the list of keys.
struct ExportCounts: Equatable, Sendable {
  var exported = 0
  /// Deleted between the listing and the reading.
  var gone = 0
  /// Could not be read, or not be written in this format.
  var failed = 0
  /// Metadata that CSV does not hold.
  var withoutMetadata = 0
  /// Nor when an object expires.
  var withoutExpiry = 0
  var keys: Int { exported + gone + failed }
}

struct ExportCheckpoint: Equatable {
  static let version = 1
  static let suffix = ".partial.checkpoint"

  var options: [JSON.Member]
  /// Of the whole list.
  var keyCount: Int
  var spoolBytes: Int
  /// Of the part that is done.
  var spoolOffset = 0
  /// Of the output, up to that.
  var outputBytes = 0
  var failuresBytes = 0
  var counts = ExportCounts()

  init(options: [JSON.Member], keyCount: Int, spoolBytes: Int) {
    self.options = options
    self.keyCount = keyCount
    self.spoolBytes = spoolBytes
  }

  var json: JSON {
    .object([
      "cairn_export_checkpoint": .integer(ExportCheckpoint.version), "options": .object(options),
      "keys": .integer(keyCount), "list_bytes": .integer(spoolBytes), "list_offset": .integer(spoolOffset),
      "output_bytes": .integer(outputBytes), "failures_bytes": .integer(failuresBytes),
      "exported": .integer(counts.exported), "gone": .integer(counts.gone), "failed": .integer(counts.failed),
      "without_metadata": .integer(counts.withoutMetadata), "without_expiry": .integer(counts.withoutExpiry),
    ])
  }

  /// Nil when it is no checkpoint of this version.
  init?(_ json: JSON) {
    guard json["cairn_export_checkpoint"]?.integer == ExportCheckpoint.version,
      let options = json["options"]?.members, let keyCount = json["keys"]?.integer,
      let spoolBytes = json["list_bytes"]?.integer, let spoolOffset = json["list_offset"]?.integer,
      let outputBytes = json["output_bytes"]?.integer, let failuresBytes = json["failures_bytes"]?.integer,
      let exported = json["exported"]?.integer, let gone = json["gone"]?.integer,
      let failed = json["failed"]?.integer, let withoutMetadata = json["without_metadata"]?.integer,
      [keyCount, spoolOffset, outputBytes, failuresBytes].allSatisfy({ $0 >= 0 }), spoolOffset <= spoolBytes
    else { return nil }
    self.init(options: options, keyCount: keyCount, spoolBytes: spoolBytes)
    self.spoolOffset = spoolOffset
    self.outputBytes = outputBytes
    self.failuresBytes = failuresBytes
    counts = ExportCounts(
      exported: exported, gone: gone, failed: failed, withoutMetadata: withoutMetadata,
      withoutExpiry: json["without_expiry"]?.integer ?? 0)
  }

  /// Nil when there is none.
  static func load(_ path: String) throws(Failure) -> ExportCheckpoint? {
    guard FileTree.exists(path) else { return nil }
    guard let bytes = try? FileTree.read(path, bytesMax: 1 << 20), let json = try? JSON.parse(bytes),
      let checkpoint = ExportCheckpoint(json)
    else { throw Failure("\(path) is no checkpoint of an export of this version; --restart begins anew") }
    return checkpoint
  }

  func save(_ path: String) throws(Failure) {
    do throws(Errno) {
      try FileTree.replace(path, with: json.bytes + [0x0A])
    } catch {
      throw Failure("cannot write the checkpoint \(path): \(error)")
    }
  }
}
