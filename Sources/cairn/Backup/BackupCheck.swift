import Platform
import Primitives
import Protocols
import Storage

// What is wrong with a backup: every file against the manifest, byte for byte, and every record of every store. The
// first finds what happened to the backup, the second what was wrong on the node already when it was made.

struct BackupCheck {
  /// One thing that is wrong.
  struct Finding: Equatable {
    let path: String
    let text: String
  }

  /// More are counted only.
  static let findingsMax = 100
  private static let chunkBytes = 1 << 20

  let directory: String
  let manifest: BackupManifest
  /// Nodes that are not looked at.
  let without: Set<String>
  private(set) var findings: [Finding] = []
  private(set) var findingCount = 0
  /// Of those, what no other copy makes up for: files that are not as they were copied, and what nodes say of themselves.
  private var graveCount = 0
  /// Stores with records that could not be read on their nodes either.
  private(set) var damage = BackupDamage()
  /// By node, the partitions that it owns.
  private var owned: [String: Set<UInt16>] = [:]

  init(_ directory: String, _ manifest: BackupManifest, without: [String] = []) {
    self.directory = directory
    self.manifest = manifest
    self.without = Set(without)
  }

  var nodes: [BackupManifest.Node] { manifest.nodes.filter { !without.contains($0.name) } }

  private var files: [BackupManifest.File] {
    let places = nodes.map { $0.directory + "/" }
    return manifest.files.filter { file in places.contains { file.path.hasPrefix($0) } }
  }

  mutating func run(isQuiet: Bool) {
    let files = files
    var line = ProgressLine("checking", .bytes, total: 2 * bytes, isQuiet: isQuiet, isTold: true)
    defer { line.finish() }
    for file in files { checkBytes(of: file) { line.advance(by: $0) } }
    checkNames(Set(files.map(\.path)))
    // What is not as it was written makes no sense as a store either.
    guard findingCount == 0 else { return }
    checkRecords { line.advance(by: $0) }
  }

  /// Of files that were copied just now.
  mutating func runRecords(isQuiet: Bool) {
    var line = ProgressLine("checking", .bytes, total: bytes, isQuiet: isQuiet, isTold: true)
    defer { line.finish() }
    checkRecords { line.advance(by: $0) }
  }

  private var bytes: UInt64 { files.reduce(0) { $0 + $1.bytes } }

  /// Why nothing can be restored from here; nil when it can, whether or not there is damage.
  var obstacle: Failure? {
    guard graveCount == 0 else { return failure }
    return damage.failure(
      owned: owned, without: manifest.without.count + without.count, missingMax: manifest.missingMax, directory)
  }

  // MARK: Bytes

  private mutating func checkBytes(of file: BackupManifest.File, progress: (UInt64) -> Void) {
    do throws(Errno) {
      let input = try RawFile(reading: "\(directory)/\(file.path)")
      var buffer = [UInt8](repeating: 0, count: Self.chunkBytes)
      var offset: UInt64 = 0
      var digest = BackupDigest()
      while true {
        let count = try input.read(at: offset, count: buffer.count, into: &buffer)
        guard count > 0 else { break }
        digest.add(buffer[..<count])
        offset += UInt64(count)
        progress(UInt64(count))
      }
      if offset != file.bytes {
        add(file.path, "it has \(offset) bytes, and had \(file.bytes)")
      } else if digest.value != file.digest {
        add(file.path, "its bytes are not those that were copied: the checksum does not match")
      }
    } catch .noSuchFile {
      add(file.path, "it is missing")
    } catch {
      add(file.path, "it cannot be read: \(error)")
    }
  }

  /// What is in a store's directory and not in the manifest would be taken for the store's.
  private mutating func checkNames(_ known: Set<String>) {
    for node in nodes {
      let stores = "\(node.directory)/stores"
      for store in (try? FileTree.names(in: "\(directory)/\(stores)")) ?? [] {
        for name in (try? FileTree.names(in: "\(directory)/\(stores)/\(store)")) ?? []
        where !known.contains("\(stores)/\(store)/\(name)") {
          add("\(stores)/\(store)/\(name)", "it is not the backup's")
        }
      }
    }
  }

  // MARK: Records

  private mutating func checkRecords(progress: (UInt64) -> Void) {
    var posix = PosixFileSystem()
    for node in nodes { checkRecords(of: node, on: &posix, progress: progress) }
  }

  private mutating func checkRecords(
    of node: BackupManifest.Node, on posix: inout PosixFileSystem, progress: (UInt64) -> Void
  ) {
    let place = "\(directory)/\(node.directory)"
    do throws(StorageError) {
      let contents = try NodeContents(reading: place, on: &posix)
      take(NodeCheck.run(contents, on: &posix).findings, of: nil)
      let partitions = contents.manifest?.stores.map(\.id).filter { !$0.isHints } ?? []
      owned[node.name] = Set(partitions.map(\.partition))
      for store in contents.stores {
        let read = try StoreContents(reading: "\(place)/stores/\(store)", on: &posix)
        let report = StoreCheck.run(
          read, node: contents.manifest, hash: contents.manifest?.ringHash, on: &posix, progress: progress)
        take(
          report.findings, of: BackupStore(node: node.name, store: store),
          isQuarantine: store.hintTarget?.rawValue == UInt32(node.id))
      }
    } catch {
      add(node.directory, "\(error)")
    }
  }

  /// - Parameter isQuarantine: Nothing is restored from this store.
  private mutating func take(_ found: StoreFindings, of store: BackupStore?, isQuarantine: Bool = false) {
    for finding in found.all where finding.gravity == .error {
      let isInside = finding.path.hasPrefix(directory + "/")
      let place = isInside ? String(finding.path.dropFirst(directory.count + 1)) : finding.path
      let at = finding.offset.map { " at byte \($0)" } ?? ""
      add(place, "\(finding.text)\(at), as it was on the node", isGrave: store == nil)
      if let store, !isQuarantine { damage.add(store, path: place, "\(finding.text)\(at)") }
    }
    findingCount += found.leftOut
  }

  private mutating func add(_ path: String, _ text: String, isGrave: Bool = true) {
    findingCount += 1
    if isGrave { graveCount += 1 }
    if findings.count < Self.findingsMax { findings.append(Finding(path: path, text: text)) }
  }
}

@Sendable func runBackupVerify(_ arguments: Arguments) throws -> Int32 {
  guard arguments.positionals.count == 1, !arguments.positionals[0].isEmpty else {
    throw arguments.problem("backup verify needs one DIR", hint: "usage: cairn backup verify DIR")
  }
  let directory = arguments.positionals[0]
  let manifest = try BackupManifest.load(directory)
  var check = BackupCheck(directory, manifest)
  check.run(isQuiet: arguments.has("--quiet"))
  if arguments.has("--json") {
    try printOut(check.json.text(indent: true) + "\n")
  } else {
    try printOut(check.text)
  }
  guard check.findingCount == 0 else { throw check.failure }
  return 0
}

extension BackupCheck {
  var json: JSON {
    .object([
      "whole": .bool(findingCount == 0), "cluster_id": .string(manifest.clusterID), "began": .string(manifest.began),
      "nodes": .array(nodes.map { .string($0.name) }), "without": .array(manifest.without.map { .string($0) }),
      "files": .count(manifest.files.count), "bytes": .count(manifest.bytes),
      "findings": .array(findings.map { .object(["path": .string($0.path), "text": .string($0.text)]) }),
      "findings_left_out": .count(findingCount - findings.count), "restorable": .bool(obstacle == nil),
      "damaged_stores": damage.json,
    ])
  }

  var text: String {
    var lines = findings.map { oneLine("error: \($0.path): \($0.text)") }
    if findingCount > findings.count { lines.append("and \(findingCount - findings.count) more") }
    if let obstacle, graveCount == 0 { lines.append(oneLine(obstacle.message)) }
    if obstacle == nil { lines += damage.lines.map(oneLine) }
    if findingCount == 0 {
      let what = "\(plural(manifest.nodes.count, "node")), \(plural(manifest.files.count, "file"))"
      lines.append("whole: \(what), \(byteText(Double(manifest.bytes))), of \(manifest.began)")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  var failure: Failure {
    let first = findings.first.map { "\($0.path): \($0.text)" } ?? ""
    return Failure("\(directory) is damaged: \(plural(findingCount, "error")), the first is \(first)")
  }
}
