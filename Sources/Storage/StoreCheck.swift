import Causality
package import Primitives

// Reads every byte of a store's directory and says what is not as it was written. What recovery would put right by
// itself (a torn tail, a leftover) is a note; what was durable and does not read back is an error, with the keys around
// it. Nothing is written, and nothing is believed that recovery would not believe.

/// What a check of one store found.
package struct StoreReport: Sendable {
  package let directory: String
  package fileprivate(set) var files = 0
  package fileprivate(set) var records: UInt64 = 0
  package fileprivate(set) var tombstones: UInt64 = 0
  /// Bytes of data files.
  package fileprivate(set) var bytes: UInt64 = 0
  /// Bytes behind the last whole record, never known to be durable: the next start cuts them.
  package fileprivate(set) var tailBytes: UInt64 = 0
  /// Hint files that agree with their data files.
  package fileprivate(set) var hints = 0
  package fileprivate(set) var findings = StoreFindings()
}

package struct StoreCheck {
  private let contents: StoreContents
  private let node: NodeManifest?
  private let hash: RingHash?
  private var report: StoreReport

  /// Checks the store.
  /// - Parameters:
  ///   - node: The manifest of the node it belongs to: without it, nothing that needs the ring's seed is checked.
  ///   - hash: Nil without `node`.
  ///   - progress: Is called with bytes of data files that were read since.
  package static func run<FS: FileSystem & ~Copyable>(
    _ contents: StoreContents, node: NodeManifest?, hash: RingHash?, on files: inout FS,
    progress: (UInt64) -> Void = { _ in }
  ) -> StoreReport {
    var check = StoreCheck(
      contents: contents, node: node, hash: hash, report: StoreReport(directory: contents.directory))
    check.checkManifest()
    check.checkNames()
    for file in contents.files { check.check(file, on: &files, progress) }
    return check.report
  }

  // MARK: What is where

  private mutating func checkManifest() {
    let path = StorePath.manifest(contents.directory)
    guard let manifest = contents.manifest else {
      if let problem = contents.manifestProblem { report.findings.add(StoreFinding(problem)) }
      return
    }
    if let named = StoreID(directory: contents.directory), named != manifest.store {
      error(path, "it belongs to store \(manifest.store)")
    }
    if manifest.role == .fenced {
      let rest = manifest.store.isHints ? "its hints are not handed over" : "it serves nothing until it is filled again"
      note(path, "the node has fenced this store: \(rest)")
    }
    guard let node else { return }
    if manifest.node != node.node || manifest.cluster != node.cluster?.id ?? manifest.cluster {
      error(path, "this store belongs to another node or cluster: the node refuses to start with it")
    }
    switch node.stores.first(where: { $0.id == manifest.store }) {
    case nil: note(path, "its node does not know this store, and leaves it alone")
    case let seed? where seed.incarnation != manifest.incarnation:
      error(path, "its node expects another incarnation, and takes this store for missing")
    case _?: break
    }
  }

  private mutating func checkNames() {
    for name in contents.otherNames {
      let isTemporary = name.hasSuffix(DiskStep.temporarySuffix)
      note(
        contents.directory + "/" + name,
        isTemporary ? "a file that was never finished: it is not read, and overwritten" : "no file of a store")
    }
    let known = Set(contents.files.filter(\.counts).map(\.id))
    for id in contents.hints.subtracting(known).sorted() {
      note(StorePath.hint(contents.directory, id), "a hint without a data file that counts: it is not read")
    }
  }

  private mutating func check<FS: FileSystem & ~Copyable>(
    _ file: DataFileFacts, on files: inout FS, _ progress: (UInt64) -> Void
  ) {
    switch file.standing {
    case .absent where file.syncedLength > 0:
      return error(file.path, "it is missing; the manifest lists it with \(file.syncedLength) durable bytes")
    case .absent: return note(file.path, "the manifest lists it, but nothing in it was durable, and it is gone")
    case .leftover: return note(file.path, "the manifest does not list it any more: the next start removes it")
    case .torn: return note(file.path, "its header never became whole: the next start removes it")
    case .otherLife where file.entry == nil: return note(file.path, "of another incarnation of this store: left alone")
    case .otherLife: return error(file.path, "it is of another incarnation of this store")
    case .foreign:
      return error(file.path, "it belongs to another store, node or cluster; it was copied here by mistake")
    case .young: note(file.path, "younger than the manifest: the next start takes it over")
    case .listed, .unjudged: break
    }
    if let problem = file.problem { report.findings.add(StoreFinding(problem)) }
    if file.size < file.syncedLength {
      error(file.path, at: file.size, "it ends before byte \(file.syncedLength), which was durable")
    }
    guard let salt = file.salt else { return }
    do throws(StorageError) {
      try scan(file, salt: salt, on: &files, progress)
    } catch {
      report.findings.add(StoreFinding(error))
    }
  }

  // MARK: What a data file holds

  private mutating func scan<FS: FileSystem & ~Copyable>(
    _ file: DataFileFacts, salt: UInt32, on files: inout FS, _ progress: (UInt64) -> Void
  ) throws(StorageError) {
    let data = try files.open(file.path, .read)
    defer { files.close(data) }
    report.files += 1
    report.bytes += file.size
    var hint = try HintCheck(of: file, in: contents, salt: salt, data: data, hash: hash, on: &files)
    defer { hint?.close(on: &files) }
    var salvage = SalvageScan(data, to: file.size, salt: salt, hash: hash ?? RingHash(seed: 0))
    var damage = OpenDamage()
    var firstDamage: UInt64?
    var counted: UInt64 = 0
    reading: while true {
      switch try salvage.next(on: &files) {
      case .end: break reading
      case .records:
        if let finding = damage.close(before: salvage.scan) { report.findings.add(finding) }
        for record in salvage.scan.records {
          check(record, of: salvage.scan, in: file)
          try hint?.note(record, of: salvage.scan, data: data, on: &files)
        }
        damage.lastKey = salvage.scan.lastKey
      case .damage(let found):
        if found.offset >= file.syncedLength && !found.isUnknown && file.standing != .unjudged {
          cut(file, from: found.offset)
          break reading
        }
        firstDamage = firstDamage ?? found.offset
        let next = try salvage.resume(on: &files)
        damage.open(found, path: file.path, end: file.size, next: next)
        damage.keys.hit = try salvage.keyOfDamaged(at: found.offset, next: next, on: &files)
      }
      progress(salvage.scan.offset - min(counted, salvage.scan.offset))
      counted = max(counted, salvage.scan.offset)
    }
    if let finding = damage.close(before: nil) { report.findings.add(finding) }
    progress(file.size - min(counted, file.size))
    guard let finding = try hint?.finish(data: data, firstDamage: firstDamage, on: &files) else {
      if hint?.fits == true { report.hints += 1 }
      return
    }
    report.findings.add(finding)
  }

  private mutating func cut(_ file: DataFileFacts, from offset: UInt64) {
    report.tailBytes += file.size - offset
    note(
      file.path, at: offset,
      "the last \(file.size - offset) bytes are no whole record and were never known to be durable: the next start cuts them"
    )
  }

  private mutating func check(_ record: ScannedRecord, of scan: DataScan, in file: DataFileFacts) {
    report.records += 1
    let offset = scan.chunkOffset + UInt64(record.start)
    let isDurable = offset < file.syncedLength
    if record.header.isTombstone {
      report.tombstones += 1
      if isDurable, let head = contents.manifest?.tsnHead, record.header.tsn > head {
        error(file.path, at: offset, "a tombstone with tsn \(record.header.tsn); the manifest knows none above \(head)")
      }
    }
    if isDurable, let entry = file.entry, entry.recordStamps?.contains(record.header.stamp) != true {
      error(file.path, at: offset, "a record of \(record.header.stamp), which is outside of what the manifest says")
    }
    // Hints are of all partitions.
    if hash != nil, let store = contents.manifest?.store, !store.isHints, let partitions = node?.cluster?.partitions {
      let bits = partitions.trailingZeroBitCount
      let partition = bits == 0 ? 0 : UInt16(record.hash >> UInt64(64 - bits))
      if partition != store.partition { error(file.path, at: offset, "a key that belongs to partition \(partition)") }
    }
  }

  private mutating func error(_ path: String, at offset: UInt64? = nil, _ text: String) {
    report.findings.add(StoreFinding(.error, path, at: offset, text))
  }

  private mutating func note(_ path: String, at offset: UInt64? = nil, _ text: String) {
    report.findings.add(StoreFinding(.note, path, at: offset, text))
  }
}

/// Damage that was found, until the key behind it is known.
private struct OpenDamage {
  var keys = NearbyKeys()
  /// Of the last whole record.
  var lastKey: [UInt8]?
  private var finding: (path: String, offset: UInt64, text: String)?

  mutating func open(_ damage: SalvageScan.Damage, path: String, end: UInt64, next: UInt64?) {
    let bytes = (next ?? end) - damage.offset
    let rest = next.map { "records go on at byte \($0)" } ?? "no record can be read behind it"
    keys = NearbyKeys(before: lastKey)
    finding = (path, damage.offset, "\(damage.reason): \(bytes) bytes are no record, \(rest)")
  }

  mutating func close(before scan: DataScan?) -> StoreFinding? {
    guard let finding else { return nil }
    keys.after = scan?.firstKey
    self.finding = nil
    return StoreFinding(.error, finding.path, at: finding.offset, finding.text, keys: keys)
  }
}

extension DataScan {
  fileprivate var firstKey: [UInt8]? { records.first.map(key) }
  fileprivate var lastKey: [UInt8]? { records.last.map(key) }

  /// The key of one of the current records.
  package func key(of record: ScannedRecord) -> [UInt8] {
    Array(chunk[record.start + record.header.keyOffset..<record.start + record.header.valueOffset])
  }
}
