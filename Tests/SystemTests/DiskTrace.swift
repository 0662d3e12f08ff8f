import Platform
import Testing

// What nodes did to their files and when they answered, as the preloaded library of Tests/DiskTrace wrote it down.
// Reading it back, and asking it which writes were covered by which syncs; `PowerLossStrike.swift` undoes what was not.

/// A directory of traces, and the environment that makes nodes write them.
final class DiskTrace {
  private let directory: ScratchDirectory
  var path: String { directory.path }

  /// How long a sync takes at least: long enough for an answer that does not wait for it to be far ahead of it.
  private let syncMilliseconds: Int

  init(_ name: String, syncMilliseconds: Int) throws {
    directory = try ScratchDirectory(name + "-trace")
    self.syncMilliseconds = syncMilliseconds
  }

  var environment: [String] {
    [
      "LD_PRELOAD=\(Binary.directory)/libDiskTrace.so", "CAIRN_TEST_TRACE=\(path)",
      "CAIRN_TEST_SYNC_DELAY=\(syncMilliseconds)",
    ]
  }

  enum Fault {
    /// Every write to a file is answered with this error.
    case write(Errno)
    /// Every sync is.
    case sync(Errno)
  }

  /// Makes the disk of a process fail until this is called with nil.
  func fail(_ process: ProcessIdentity, _ fault: Fault?) throws {
    let path = "\(path)/\(process.pid).fault"
    switch fault {
    case .write(let error): try FileTree.write(Array("write \(error.rawValue)".utf8), to: path)
    case .sync(let error): try FileTree.write(Array("sync \(error.rawValue)".utf8), to: path)
    case nil: try FileTree.remove(path)
    }
  }

  /// Puts the wall clock of a process forward by so many seconds, until this is called with nil.
  func putForward(_ process: ProcessIdentity, seconds: Int?) throws {
    let path = "\(path)/\(process.pid).clock"
    if let seconds { try FileTree.write(Array("\(seconds)".utf8), to: path) } else { try FileTree.remove(path) }
  }

  /// All that the processes of one node, whose data is below `data`, have done since the last `forget`.
  func node(_ data: String) throws -> NodeTrace {
    var processes: [(process: Substring, facts: [Fact])] = []
    for name in try FileTree.names(in: path) where name.hasSuffix(".trace") {
      let bytes = try FileTree.read(path + "/" + name, bytesMax: 256 << 20)
      let facts = Fact.parse(bytes)
      guard facts.contains(where: { $0.name.hasPrefix(data + "/") }) else { continue }
      processes.append((name.dropLast(6), facts.sorted { $0.sequence < $1.sequence }))
    }
    processes.sort { $0.facts[0].nanoseconds < $1.facts[0].nanoseconds }
    return NodeTrace(data: data, directory: path, processes: processes)
  }

  /// Removes the traces of these processes: what they did is durable or undone.
  func forget(_ node: NodeTrace) throws {
    for name in try FileTree.names(in: path) {
      guard let end = name.firstIndex(where: { $0 == "." || $0 == "-" }) else { continue }
      if node.processes.contains(name[..<end]) { try FileTree.remove(path + "/" + name) }
    }
  }
}

struct FileIdentity: Hashable {
  let device: UInt64
  let inode: UInt64

  init(device: UInt64, inode: UInt64) {
    self.device = device
    self.inode = inode
  }

  /// The file that has this name now; nil when none has.
  init?(at path: String) {
    guard let facts = FileTree.facts(path) else { return nil }
    self.init(device: facts.device, inode: facts.inode)
  }
}

/// One line of a trace; the fields are explained where they are written.
struct Fact {
  enum Kind: UInt8 {
    case opened = 0x4F
    case written = 0x57
    case synced = 0x53
    case cut = 0x54
    case directoryMade = 0x4D
    case renaming = 0x52
    case unlinking = 0x55
    case ended = 0x45
    case answered = 0x41
  }

  let kind: Kind
  /// Orders the facts of a node: first those of one process, then those of the next.
  var sequence: UInt64
  var id: UInt64
  let nanoseconds: UInt64
  let file: FileIdentity
  let first: UInt64
  let second: UInt64
  let name: String
  let other: String
  /// What was destroyed; empty when nothing was.
  var kept = ""

  /// A last line that the kill cut off is left out.
  static func parse(_ bytes: [UInt8]) -> [Fact] {
    var facts: [Fact] = []
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(separator: UInt8(ascii: "\t"), omittingEmptySubsequences: false)
      guard fields.count == 10, let kind = Kind(rawValue: fields[0].first ?? 0) else { continue }
      let numbers = fields[1..<8].map { $0.reduce(UInt64(0)) { $0 * 10 + UInt64($1) - 48 } }
      facts.append(
        Fact(
          kind: kind, sequence: numbers[0], id: numbers[1], nanoseconds: numbers[2],
          file: FileIdentity(device: numbers[3], inode: numbers[4]), first: numbers[5], second: numbers[6],
          name: String(decoding: fields[8], as: UTF8.self), other: String(decoding: fields[9], as: UTF8.self)))
    }
    return facts
  }
}

/// The facts of one node in order, and what follows from them.
struct NodeTrace {
  struct Sync {
    let begin: UInt64
    let endNanoseconds: UInt64
  }

  let data: String
  let processes: Set<Substring>
  let facts: [Fact]
  private(set) var syncs: [FileIdentity: [Sync]] = [:]
  /// Every name under which a file or directory was opened or that it was given, latest last.
  private var names: [FileIdentity: [String]] = [:]
  private let directory: String

  init(data: String, directory: String, processes: [(process: Substring, facts: [Fact])]) {
    self.data = data
    self.directory = directory
    self.processes = Set(processes.map(\.process))
    var ordered: [Fact] = []
    for (process, facts) in processes {
      let offset = ordered.last?.sequence ?? 0
      for var fact in facts {
        if fact.id > 0 { fact.kept = "\(directory)/\(process)-\(fact.id)" }
        fact.sequence += offset
        fact.id += offset
        ordered.append(fact)
      }
    }
    facts = ordered
    for fact in ordered {
      switch fact.kind {
      case .synced: syncs[fact.file, default: []].append(Sync(begin: fact.id, endNanoseconds: fact.nanoseconds))
      case .opened: names[fact.file, default: []].append(fact.name)
      case .renaming: names[fact.file, default: []].append(fact.other)
      default: break
      }
    }
  }

  /// When the first sync that began after `sequence` had ended; nil when there was none.
  func syncEnd(of file: FileIdentity, after sequence: UInt64) -> UInt64? {
    syncs[file]?.filter { $0.begin > sequence }.map(\.endNanoseconds).min()
  }

  /// The directories whose names were synced, each with the latest beginning of such a sync.
  func directorySyncs() -> [String: UInt64] {
    var latest: [String: UInt64] = [:]
    for (file, syncs) in syncs {
      for name in names[file] ?? [] { latest[name] = max(latest[name] ?? 0, syncs.map(\.begin).max() ?? 0) }
    }
    return latest
  }

  func isJournal(_ file: FileIdentity) -> Bool {
    names[file]?.contains { $0.hasPrefix(data + "/") && $0.hasSuffix(".journal") } ?? false
  }

  /// When answers with this status left, in order.
  func answers(status: UInt64) -> [UInt64] {
    facts.filter { $0.kind == .answered && $0.first == status }.map(\.nanoseconds)
  }

  /// The writes whose bytes hold a key of the form `marker` and four digits, by the number of the key. The bytes are
  /// read from the file as it is now, or as it was kept when it was unlinked.
  func writes(marker: String, where isWanted: (FileIdentity) -> Bool) throws -> [Int: [Fact]] {
    var contents: [FileIdentity: [UInt8]] = [:]
    for path in try filesBelow(data) + FileTree.names(in: directory).map({ directory + "/" + $0 }) {
      guard let file = FileIdentity(at: path), isWanted(file) else { continue }
      contents[file] = try FileTree.read(path, bytesMax: 256 << 20)
    }
    var writes: [Int: [Fact]] = [:]
    let marker = Array(marker.utf8)
    for fact in facts where fact.kind == .written {
      guard let bytes = contents[fact.file] else { continue }
      let end = min(Int(fact.first + fact.second), bytes.count)
      for start in Int(fact.first)..<max(Int(fact.first), end - marker.count - 3) where bytes[start] == marker[0] {
        let digits = start + marker.count..<start + marker.count + 4
        guard bytes[start..<digits.lowerBound].elementsEqual(marker) else { continue }
        let number = bytes[digits].reduce(0) { $0 * 10 + Int($1) - 48 }
        writes[number, default: []].append(fact)
      }
    }
    return writes
  }
}

/// The files below a directory, in order of their names.
func filesBelow(_ directory: String) throws -> [String] {
  try FileTree.names(in: directory).flatMap { name -> [String] in
    let path = directory + "/" + name
    guard let facts = FileTree.facts(path) else { return [] }
    return facts.isDirectory ? try filesBelow(path) : [path]
  }
}
