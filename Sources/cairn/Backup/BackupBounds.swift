import Storage

// What a manifest of a backup may say at most. Its checksum finds accidents and no intent: whoever can write to a backup
// may have written all of it. Nothing in it leads out of its directory, or is more than can be counted with.

extension BackupManifest {
  static let nodesMax = 1000
  static let filesMax = 1 << 20
  /// Of all files together: a pebibyte.
  static let filesBytesMax: UInt64 = 1 << 50
  /// Of each text.
  static let textBytesMax = 512

  /// What `cairn backup` would not have written; nil when there is nothing.
  var problem: String? {
    if !(1...Int(ClusterIdentity.partitionsMax)).contains(partitions) || partitions.nonzeroBitCount != 1 {
      return "\(partitions) partitions"
    }
    if !(1...Int(ClusterIdentity.replicasMax)).contains(replicas) { return "\(replicas) copies of each key" }
    let texts = [release, clusterID, began, ended] + without + nodes.map(\.name)
    if let text = texts.first(where: { !BackupManifest.isPlain($0) }) { return "a text of \(text.utf8.count) bytes" }
    if !(1...Self.nodesMax).contains(nodes.count) || without.count > Self.nodesMax { return "\(nodes.count) nodes" }
    if let node = nodes.first(where: { UInt32(exactly: $0.id) == nil }) { return "a node with the id \(node.id)" }
    if Set(nodes.map(\.id)).count < nodes.count || Set(nodes.map(\.name)).count < nodes.count {
      return "the same node twice"
    }
    return problemOfFiles
  }

  private var problemOfFiles: String? {
    if files.count > Self.filesMax { return "\(files.count) files" }
    let directories = Set(nodes.map(\.directory))
    var seen: Set<String> = []
    var bytes: UInt64 = 0
    for file in files {
      guard BackupManifest.isPath(file.path, in: directories) else {
        return "a file \(BackupManifest.printable(file.path))"
      }
      guard seen.insert(file.path).inserted else { return "the file \(file.path) twice" }
      let (sum, isTooMuch) = bytes.addingReportingOverflow(file.bytes)
      guard !isTooMuch, sum <= Self.filesBytesMax else { return "more than \(Self.filesBytesMax) bytes" }
      bytes = sum
    }
    return nil
  }

  /// Nothing in it moves a terminal's cursor.
  private static func isPlain(_ text: String) -> Bool {
    text.utf8.count <= textBytesMax && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
  }

  private static func printable(_ path: String) -> String { isPlain(path) ? "'\(path)'" : "with an unprintable name" }

  /// `node-1/NAME` or `node-1/stores/STORE/NAME`, of a node that there is.
  private static func isPath(_ path: String, in directories: Set<String>) -> Bool {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2 || parts.count == 4 && parts[1] == "stores", directories.contains(parts[0]) else {
      return false
    }
    return parts.allSatisfy { SnapshotName($0) != nil }
  }
}
