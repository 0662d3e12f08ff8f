import Platform

// What a power cut takes, with real processes: nodes run with a preloaded library that writes a ledger of what was
// synced (Tests/PowerLoss); after kill -9 their files are cut back to that.

final class PowerCut {
  struct FileKey: Hashable {
    let device: Substring
    let inode: Substring
  }

  private let directory: ScratchDirectory

  init(_ name: String) throws { directory = try ScratchDirectory(name + "-ledger") }

  private var ledger: String { directory.path + "/ledger" }

  /// Makes a process, and those that it starts, keep the ledger.
  var environment: [String] {
    ["LD_PRELOAD=\(Binary.directory)/libPowerLoss.so", "CAIRN_TEST_LEDGER=\(ledger)"]
  }

  /// The ledger: kind, file, size.
  func entries() throws -> [(kind: Substring, file: FileKey, size: UInt64)] {
    let text = String(decoding: try FileTree.read(ledger, bytesMax: 256 << 20), as: UTF8.self)
    return text.split(separator: "\n").map { line in
      let fields = line.split(separator: " ")
      return (fields[0], FileKey(device: fields[1], inode: fields[2]), UInt64(fields[3]) ?? 0)
    }
  }

  /// Cuts every file below `directory` to what was durable. - Returns: how many bytes were lost.
  func strike(_ directory: String) throws -> UInt64 {
    var durable: [FileKey: UInt64] = [:]
    for entry in try entries() where entry.kind == "S" { durable[entry.file] = entry.size }
    return try strike(directory, durable: durable)
  }

  private func strike(_ directory: String, durable: [FileKey: UInt64]) throws -> UInt64 {
    var lost: UInt64 = 0
    for name in try FileTree.names(in: directory) {
      let path = directory + "/" + name
      guard let facts = FileTree.facts(path) else { continue }
      if facts.isDirectory {
        lost += try strike(path, durable: durable)
        continue
      }
      let kept = durable[FileKey(device: Substring("\(facts.device)"), inode: Substring("\(facts.inode)"))] ?? 0
      guard kept < facts.bytes else { continue }
      lost += facts.bytes - kept
      try FileTree.truncate(path, to: kept)
    }
    return lost
  }
}
