import Platform
import Primitives

// What an import writes down on this machine: the rejects, and the checkpoint that says up to where everything is
// settled. The rejects are on the disk before the checkpoint that counts them.

final class ImportWriter {
  private(set) var checkpoint: ImportCheckpoint
  private let path: String?
  private var rejects: RejectsFile?
  private let rules: RecordRules
  private let rejectsPath: String
  /// The end of the last settled record, as it stood in the input.
  private var last: (offset: Int, record: [UInt8])?
  private var savedAt: Instant
  private var saved: ImportCheckpoint?
  private var recordsSaved = 0

  /// Of a record's end so many bytes are looked at to know the place again.
  private static let lastBytesMax = 4096

  init(_ plan: ImportPlan, start: ImportStart, input: borrowing BulkInput) throws(Failure) {
    checkpoint = start.checkpoint
    path = plan.checkpointPath
    rules = plan.rules
    rejectsPath = plan.rejectsPath
    savedAt = Instant(nanoseconds: 0)
    recordsSaved = checkpoint.counts.records
    if checkpoint.rejectsBytes > 0 {
      // What came behind is of records that are not settled.
      rejects = try RejectsFile(
        path: rejectsPath, keeping: checkpoint.rejectsBytes, format: rules.format, header: nil)
    } else if let facts = FileTree.facts(rejectsPath), facts.bytes > 0, !start.isResumed, !plan.restarts {
      throw Failure(
        "\(rejectsPath) holds rejects of another import; import those, move the file, or name another with --rejects")
    }
  }

  var counts: ImportCounts { checkpoint.counts }

  func facts(total: Int?) -> BulkFacts {
    BulkFacts(
      records: counts.imported, done: checkpoint.offset, total: total, bytes: checkpoint.offset,
      rejected: counts.rejected)
  }

  /// Takes the next record in the order of the input, which is settled.
  func settle(_ record: ImportRecord, _ reader: inout RecordReader?, _ plan: ImportPlan) throws(Failure) {
    if case .rejected(let reason) = record.state {
      try reject(record, reason, &reader)
      checkpoint.counts.rejected += 1
    } else {
      checkpoint.counts.imported += 1
      checkpoint.counts.valueBytes += record.valueBytes
    }
    checkpoint.offset = record.endOffset
    checkpoint.line = record.nextLine
    last = record.raw.map { (record.offset, $0) }
  }

  private func reject(_ record: ImportRecord, _ reason: String, _ reader: inout RecordReader?) throws(Failure) {
    if rejects == nil {
      rejects = try RejectsFile(
        path: rejectsPath, keeping: 0, format: rules.format, header: rules.hasHeader ? checkpoint.firstRow : nil)
    }
    let key = record.raw.flatMap { reader?.key(of: $0) }
    try rejects?.add(
      RejectsFile.Reject(
        line: record.line, offset: record.offset, byteCount: record.endOffset - record.offset, key: key,
        reason: reason, record: record.raw),
      format: rules.format, delimiter: rules.delimiter)
  }

  // MARK: Checkpoint

  func saveIfDue(_ input: borrowing BulkInput, now: Instant) throws(Failure) {
    let isDue =
      now.milliseconds(since: savedAt) >= Importer.checkpointMilliseconds
      || counts.records - recordsSaved >= Importer.checkpointRecordsMax
    guard isDue else { return }
    savedAt = now
    try save(input)
  }

  func save(_ input: borrowing BulkInput) throws(Failure) {
    try rejects?.sync()
    guard let path else { return }
    checkpoint.rejectsBytes = rejects?.byteCount ?? 0
    checkpoint.beginning = input.beginningFingerprint
    if let last {
      let count = min(last.record.count, ImportWriter.lastBytesMax)
      checkpoint.last = Fingerprint(
        offset: last.offset + last.record.count - count, byteCount: count,
        checksum: crc32c(last.record, last.record.count - count..<last.record.count))
    }
    guard checkpoint != saved else { return }
    try checkpoint.save(path)
    saved = checkpoint
    recordsSaved = counts.records
  }

  /// Everything is settled: the checkpoint has done its duty.
  func complete(at offset: Int) throws(Failure) {
    try rejects?.sync()
    checkpoint.offset = offset
    guard let path else { return }
    do throws(Errno) {
      try FileTree.remove(path)
    } catch {
      throw Failure("cannot remove the checkpoint \(path): \(error)")
    }
  }
}
