import Causality
import Primitives

// Makes a new store of everything that is whole in an old one, which is only read: all whole records of its data files,
// also those behind damage, and those that only the journal above it has. The new store keeps identity, incarnation and
// the facts of the delete protocol, numbers its files on, and is fenced: it has lost nobody knows what, so it must not
// say of any key that there is none, until its node has filled it from the other owners. A store of hints says nothing of
// the kind, and goes on with those that are left.

package struct StoreRepair {
  let contents: StoreContents
  let identity: RepairIdentity
  let hash: RingHash
  var writer: RepairWriter
  var report: RepairReport
  let progress: (UInt64) -> Void

  /// Writes the new store. Interrupted anywhere, it leaves a directory without a manifest.
  /// - Parameters:
  ///   - node: The manifest of the node that the store belongs to: it gives the ring's seed, without which there are no
  ///     hints, and the store's identity when its own manifest cannot be read.
  ///   - journal: The directory of that node's journal.
  ///   - target: Must not exist; its parent must.
  ///   - fileBytesMax: A data file this long takes no new record.
  ///   - progress: Is called with bytes of data files that were read since.
  /// - Throws: `incompatible` when the target exists, when the store is of a later format, or when nobody can tell whose
  ///   it is; or what the file system said of the target.
  package static func run<FS: FileSystem & ~Copyable>(
    _ contents: StoreContents, node: NodeManifest?, journal: String?, to target: String,
    fileBytesMax: UInt64 = StoreRepair.fileBytesMax, on files: inout FS, progress: (UInt64) -> Void = { _ in }
  ) throws(StorageError) -> RepairReport {
    guard !(try files.exists(target)) else {
      throw .incompatible(path: target, reason: "it exists already; name a directory that does not")
    }
    let identity = try RepairIdentity(of: contents, node: node, on: &files)
    return try withoutActuallyEscaping(progress) { progress throws(StorageError) in
      var repair = StoreRepair(
        contents: contents, identity: identity, hash: node?.ringHash ?? RingHash(seed: 0),
        writer: RepairWriter(
          identity.manifest(numberingOnFrom: contents), in: target, fileBytesMax: fileBytesMax),
        report: RepairReport(
          directory: contents.directory, target: target, store: identity.store, incarnation: identity.incarnation,
          role: identity.role),
        progress: progress)
      try files.createDirectory(target)
      repair.tellIdentity(node, on: &files)
      if journal == nil {
        repair.report.note(contents.directory, "its node is not known here: no journal was looked at")
      }
      for file in contents.files { try repair.take(file, on: &files) }
      if let journal { try repair.takeJournal(journal, on: &files) }
      return try repair.complete(hash: node?.ringHash, on: &files)
    }
  }

  /// As `max_file_size` by default.
  package static let fileBytesMax: UInt64 = 256 << 20

  private mutating func tellIdentity<FS: FileSystem & ~Copyable>(_ node: NodeManifest?, on files: inout FS) {
    let path = StorePath.manifest(contents.directory)
    if let problem = contents.manifestProblem {
      let length = (try? Engine.contents(of: path, on: &files))?.count ?? 0
      let finding = StoreFinding(problem)
      report.add(
        UnsalvagedRange(
          path: path, offset: 0, length: UInt64(length),
          reason:
            "\(finding.text): the floor, cursors and promises of the delete protocol are lost, and which files counted",
          isLoss: true))
    }
    guard let node else {
      return report.note(
        contents.directory, "no manifest of its node can be read: hints need its ring's seed, and are left out")
    }
    guard let seed = node.stores.first(where: { $0.id == identity.store }) else {
      return report.note(contents.directory, "the node does not know this store")
    }
    if seed.incarnation != identity.incarnation {
      report.note(contents.directory, "the node expects another incarnation, and would take this store for missing")
    }
  }

  private mutating func complete<FS: FileSystem & ~Copyable>(
    hash: RingHash?, on files: inout FS
  ) throws(StorageError) -> RepairReport {
    report.hintsWritten = try writer.complete(hash: hash, on: &files)
    try files.syncDirectory(StoreRepair.parent(of: report.target))
    report.filesWritten = writer.filesWritten
    report.bytesWritten = writer.bytesWritten
    report.records = writer.records
    report.tombstones = writer.tombstones
    report.superseded = writer.superseded
    return report
  }

  private static func parent(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: 0x2F) else { return "." }
    return slash == path.utf8.startIndex ? "/" : String(path.utf8[..<slash]) ?? "."
  }

  // MARK: Data files

  private mutating func take<FS: FileSystem & ~Copyable>(
    _ file: DataFileFacts, on files: inout FS
  ) throws(StorageError) {
    if case .incompatible? = file.problem, file.standing != .leftover { throw file.problem! }
    switch file.standing {
    case .absent where file.syncedLength > 0:
      report.add(
        UnsalvagedRange(
          path: file.path, offset: 0, length: file.syncedLength, reason: "the file is missing", isLoss: true))
      return
    case .absent: return report.note(file.path, "it is gone, and nothing in it was durable")
    case .leftover: return report.note(file.path, "the manifest does not list it any more: left alone")
    case .otherLife: return report.note(file.path, "of another incarnation of this store: left alone")
    case .foreign: return report.note(file.path, "of another store, node or cluster: left alone")
    case .unjudged where !identity.owns(try header(of: file, on: &files), file.id):
      return report.note(file.path, "of another incarnation or store: left alone")
    case .listed, .young, .torn, .unjudged: break
    }
    if let problem = file.problem {
      report.note(
        file.path, at: 0, "\(StoreFinding(problem).text); its records are read as what the store's identity implies")
    }
    try copyRecords(of: file, on: &files)
  }

  /// Nil when there is none that reads back.
  private func header<FS: FileSystem & ~Copyable>(
    of file: DataFileFacts, on files: inout FS
  ) throws(StorageError) -> FileHeader? {
    guard file.problem == nil else { return nil }
    return try FileHeader(ofFileAt: file.path, on: &files)
  }

  private mutating func copyRecords<FS: FileSystem & ~Copyable>(
    of file: DataFileFacts, on files: inout FS
  ) throws(StorageError) {
    let source = try files.open(file.path, .read)
    defer { files.close(source) }
    report.filesRead += 1
    report.bytesRead += file.size
    var scan = SalvageScan(
      source, to: file.size, salt: file.salt ?? identity.header(of: file.id).salt, hash: hash)
    var open = OpenRange()
    var counted: UInt64 = 0
    reading: while true {
      switch read(&scan, of: file, &open, on: &files) {
      case .end: break reading
      case .records:
        if let range = open.close(before: scan.scan) { report.add(range) }
        for record in scan.scan.records { try copy(record, of: scan.scan, on: &files) }
        open.lastKey = scan.scan.records.last.map(scan.scan.key)
      case .damage: break
      }
      progress(scan.scan.offset - min(counted, scan.scan.offset))
      counted = max(counted, scan.scan.offset)
    }
    if let range = open.close(before: nil) {
      report.add(range)
    } else if file.size < file.syncedLength {
      report.add(
        UnsalvagedRange(
          path: file.path, offset: file.size, length: file.syncedLength - file.size,
          reason: "it ends before byte \(file.syncedLength), which was durable", isLoss: true,
          keys: NearbyKeys(before: open.lastKey)))
    }
    progress(file.size - min(counted, file.size))
  }

  /// The next step of the scan, which damage does not end. A device that refuses a read ends the file.
  private func read<FS: FileSystem & ~Copyable>(
    _ scan: inout SalvageScan, of file: DataFileFacts, _ open: inout OpenRange, on files: inout FS
  ) -> SalvageScan.Step {
    let end = max(file.size, file.syncedLength)
    func isLoss(_ offset: UInt64) -> Bool { offset < file.syncedLength || file.standing == .unjudged }
    do throws(StorageError) {
      let step = try scan.next(on: &files)
      guard case .damage(let found) = step else { return step }
      let next = try scan.resume(on: &files)
      open.open(
        UnsalvagedRange(
          path: file.path, offset: found.offset, length: (next ?? end) - found.offset, reason: found.reason,
          isLoss: isLoss(found.offset) || found.isUnknown))
      open.range?.keys.hit = try scan.keyOfDamaged(at: found.offset, next: next, on: &files)
      return step
    } catch {
      let offset = open.range?.offset ?? scan.scan.offset
      open.open(
        UnsalvagedRange(
          path: file.path, offset: offset, length: end - offset, reason: "\(error)", isLoss: isLoss(offset)))
      return .end
    }
  }

  private mutating func copy<FS: FileSystem & ~Copyable>(
    _ record: ScannedRecord, of scan: DataScan, on files: inout FS
  ) throws(StorageError) {
    let header = record.header
    let value = Array(
      scan.chunk[record.start + header.valueOffset..<record.start + header.valueOffset + header.valueLength])
    try writer.append(
      StoredVersion(header, value: value), key: scan.key(of: record),
      hash: record.hash, tsn: header.tsn, on: &files)
  }
}

/// A stretch without records, until the key behind it is known.
private struct OpenRange {
  var range: UnsalvagedRange?
  /// Of the last whole record.
  var lastKey: [UInt8]?

  mutating func open(_ range: UnsalvagedRange) {
    self.range = range
    self.range?.keys.before = lastKey
  }

  mutating func close(before scan: DataScan?) -> UnsalvagedRange? {
    defer { range = nil }
    if let scan { range?.keys.after = scan.records.first.map(scan.key) }
    return range
  }
}
