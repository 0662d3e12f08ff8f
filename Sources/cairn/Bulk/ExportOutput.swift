import Platform
import Protocols

// What an export writes on this machine: the output, which has its name only when it is complete, the reasons of what
// could not be exported, and the checkpoint that binds a place in the list of keys to a place in the output.

/// Where an export writes.
struct ExportPaths: Equatable, Sendable {
  /// `-` for standard output.
  let output: String
  /// Of keys that could not be exported.
  let failures: String
  /// Holds the list of keys of an export to standard output.
  let temporaryDirectory: String

  var isStandardOutput: Bool { output == "-" }
  var partial: String { output + ".partial" }
  var spool: String {
    isStandardOutput
      ? "\(temporaryDirectory)/cairn-export-\(processIdentifier())\(KeySpool.suffix)" : output + KeySpool.suffix
  }
  /// Nil for standard output, which cannot be gone back in.
  var checkpoint: String? { isStandardOutput ? nil : output + ExportCheckpoint.suffix }
}

final class ExportOutput {
  private static let bufferBytesMax = 256 << 10

  private let paths: ExportPaths
  private let file: OutputFile
  private var buffer: [UInt8] = []
  /// Of the output, those included that are not written yet.
  private var byteCount: Int
  private var failures: OutputFile?
  private var failuresBuffer: [UInt8] = []
  private(set) var checkpoint: ExportCheckpoint
  /// As it was last written down.
  private(set) var saved: ExportCheckpoint

  init(_ paths: ExportPaths, checkpoint: ExportCheckpoint, header: [UInt8]) throws(Failure) {
    self.paths = paths
    self.checkpoint = checkpoint
    saved = checkpoint
    byteCount = checkpoint.outputBytes
    if !paths.isStandardOutput, checkpoint.outputBytes > 0,
      (FileTree.facts(paths.partial)?.bytes ?? 0) < UInt64(checkpoint.outputBytes)
    {
      throw Failure("\(paths.partial) is shorter than it was; --restart begins anew")
    }
    do throws(Errno) {
      file =
        try paths.isStandardOutput
        ? OutputFile.standardOutput() : OutputFile(path: paths.partial, keeping: checkpoint.outputBytes)
      if checkpoint.failuresBytes > 0 {
        failures = try OutputFile(path: paths.failures, keeping: checkpoint.failuresBytes)
      }
    } catch {
      throw Failure("cannot write \(paths.isStandardOutput ? "to standard output" : paths.partial): \(error)")
    }
    if byteCount == 0 { append(header) }
  }

  private func append(_ bytes: [UInt8]) {
    buffer.append(contentsOf: bytes)
    byteCount += bytes.count
  }

  /// Takes the next key in the order of the list, which is settled.
  func settle(_ item: ExportItem) throws {
    switch item.state {
    case .gone: checkpoint.counts.gone += 1
    case .failed(let reason):
      checkpoint.counts.failed += 1
      try addFailure(item.key, reason)
    case .written, .ready, .inFlight, .retrying:
      checkpoint.counts.exported += 1
      if item.lacksMetadata { checkpoint.counts.withoutMetadata += 1 }
      if item.lacksExpiry { checkpoint.counts.withoutExpiry += 1 }
      append(item.record)
      if buffer.count >= ExportOutput.bufferBytesMax { try flush() }
    }
    checkpoint.spoolOffset = item.spoolEnd
    checkpoint.outputBytes = byteCount
  }

  private func addFailure(_ key: [UInt8], _ reason: String) throws(Failure) {
    if failures == nil {
      do throws(Errno) { failures = try OutputFile(path: paths.failures, keeping: 0) } catch { throw failed(error) }
    }
    let start = failuresBuffer.count
    failuresBuffer += Array("{\"key\":".utf8)
    failuresBuffer.appendJSONText(key)
    failuresBuffer += Array(",\"reason\":".utf8)
    failuresBuffer.appendJSONText(Array(reason.utf8))
    failuresBuffer += Array("}\n".utf8)
    checkpoint.failuresBytes += failuresBuffer.count - start
  }

  private func failed(_ error: Errno) -> Failure { Failure("cannot write \(paths.failures): \(error)") }

  /// - Throws: `Failure` that says how far the output goes; `Errno.brokenPipe` when nobody reads it any more.
  func flush() throws {
    let result = file.write(buffer)
    let reached = byteCount - buffer.count + result.written
    buffer.removeAll(keepingCapacity: true)
    if let error = result.failure {
      if error == .brokenPipe && paths.isStandardOutput { throw error }
      byteCount = reached
      throw Failure(
        "cannot write \(paths.isStandardOutput ? "to standard output" : paths.partial) at byte \(reached): \(error)")
    }
    guard let failure = failures?.write(failuresBuffer).failure else { return failuresBuffer.removeAll() }
    throw failed(failure)
  }

  /// What is settled is on the disk, and the checkpoint says so.
  func save() throws {
    try flush()
    do throws(Errno) {
      try file.sync()
      try failures?.sync()
    } catch {
      throw Failure(
        "cannot sync \(paths.isStandardOutput ? "standard output" : paths.partial), of \(byteCount) bytes: \(error)")
    }
    if let path = paths.checkpoint { try checkpoint.save(path) }
    saved = checkpoint
  }

  /// All keys are settled. Without failures the output gets its name; what was only needed on the way goes.
  func complete() throws {
    try save()
    do throws(Errno) {
      if !paths.isStandardOutput && checkpoint.counts.failed == 0 {
        try FileTree.move(paths.partial, to: paths.output)
      }
      if let path = paths.checkpoint { try FileTree.remove(path) }
      try FileTree.remove(paths.spool)
    } catch {
      throw Failure("cannot give \(paths.partial) its name \(paths.output): \(error)")
    }
  }
}
