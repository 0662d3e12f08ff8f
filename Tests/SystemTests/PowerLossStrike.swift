import Platform
import Primitives
import Storage

// A power cut, on the files of a killed node: what it did and did not sync is undone, wholly or in part. A file keeps
// what it had at its last sync and, by the seed, some of the later writes, of which the last may be torn and a page may
// be missing. A directory keeps the names it had at its last sync and, by the seed, some of the later changes.

struct PowerLossStrike {
  /// What was lost, so that a test can tell that its power cuts cut.
  struct Loss: CustomStringConvertible {
    var bytes: UInt64 = 0
    var names = 0
    var pages = 0
    var description: String { "\(bytes) bytes, \(names) names, \(pages) pages" }

    static func + (left: Loss, right: Loss) -> Loss {
      Loss(bytes: left.bytes + right.bytes, names: left.names + right.names, pages: left.pages + right.pages)
    }
  }

  private static let pageBytes: UInt64 = 4096

  private let trace: NodeTrace
  private var generator: SeededGenerator
  private var loss = Loss()

  private init(_ trace: NodeTrace, _ generator: SeededGenerator) {
    self.trace = trace
    self.generator = generator
  }

  /// Cuts the power of the node whose data is below `data` and which no longer runs. Its trace begins anew.
  static func perform(on data: String, of trace: DiskTrace, _ generator: inout SeededGenerator) throws -> Loss {
    let node = try trace.node(data)
    var strike = PowerLossStrike(node, SeededGenerator(seed: generator.next()))
    try strike.undoNames()
    try strike.undoContents()
    try trace.forget(node)
    return strike.loss
  }

  /// How many of `count` changes the disk has made although nobody waited for it: often none.
  private mutating func kept(of count: Int) -> Int {
    generator.chance(1, in: 3) ? 0 : generator.below(count + 1)
  }

  // MARK: Names

  private mutating func undoNames() throws {
    let synced = trace.directorySyncs()
    var pending: [String: [Fact]] = [:]
    var ends: [UInt64: Fact] = [:]
    for fact in trace.facts where fact.kind == .ended { ends[fact.id] = fact }
    for fact in trace.facts where changesNames(fact) && ends[fact.id]?.first != 1 {
      let directory = parent(of: fact.kind == .renaming ? fact.other : fact.name)
      let done: UInt64? = fact.kind == .opened || fact.kind == .directoryMade ? fact.sequence : ends[fact.id]?.sequence
      if let done, let begin = synced[directory], done < begin { continue }
      pending[directory, default: []].append(fact)
    }
    var undone: [Fact] = []
    for directory in pending.keys.sorted() {
      let changes = pending[directory]!
      undone += changes[kept(of: changes.count)...]
    }
    for fact in undone.sorted(by: { $0.sequence > $1.sequence }) { try undo(fact) }
  }

  private func changesNames(_ fact: Fact) -> Bool {
    guard fact.name.hasPrefix(trace.data) else { return false }
    return switch fact.kind {
    case .opened: fact.first == 1
    case .directoryMade, .renaming, .unlinking: true
    default: false
    }
  }

  private mutating func undo(_ fact: Fact) throws {
    loss.names += 1
    switch fact.kind {
    case .opened where FileIdentity(at: fact.name) == fact.file: try FileTree.remove(fact.name)
    case .directoryMade: try FileTree.remove(fact.name)
    case .renaming where FileIdentity(at: fact.other) == fact.file:
      try move(fact.other, to: fact.name)
      if fact.first == 1 { try move(fact.kept, to: fact.other) }
    case .unlinking where !FileTree.exists(fact.name): try move(fact.kept, to: fact.name)
    default: loss.names -= 1
    }
  }

  private func parent(of path: String) -> String { String(path[..<path.lastIndex(of: "/")!]) }

  private func move(_ from: String, to: String) throws {
    var files = PosixFileSystem()
    try files.rename(from, to: to)
  }

  // MARK: Contents

  private mutating func undoContents() throws {
    guard FileTree.exists(trace.data) else { return }
    var changes: [FileIdentity: [Fact]] = [:]
    for fact in trace.facts where fact.kind == .written || fact.kind == .cut {
      changes[fact.file, default: []].append(fact)
    }
    for path in try filesBelow(trace.data) {
      guard let file = FileIdentity(at: path), let all = changes[file] else { continue }
      let synced = trace.syncs[file]?.map(\.begin).max() ?? 0
      let pending = all.filter { $0.sequence > synced }
      try undo(pending, in: path, end: end(after: all))
    }
  }

  /// How long the trace says that the file is.
  private func end(after changes: [Fact]) -> UInt64 {
    guard let last = changes.last else { return 0 }
    return last.kind == .written ? last.first + last.second : last.first
  }

  /// - Parameter end: Bytes behind it were written while the kill struck, and were not synced.
  private mutating func undo(_ pending: [Fact], in path: String, end: UInt64) throws {
    try cut(path, to: end)
    let kept = kept(of: pending.count)
    for fact in pending[kept...].reversed() {
      if fact.kind == .written {
        try cut(path, to: fact.first)
      } else {
        try append(try FileTree.read(fact.kept, bytesMax: 256 << 20), to: path)
      }
    }
    guard kept > 0, pending[..<kept].allSatisfy({ $0.kind == .written }) else { return }
    // What was synced ends where the first of these writes begins.
    let last = pending[kept - 1]
    if generator.chance(1, in: 2) { try cut(path, to: last.first + UInt64(generator.below(Int(last.second)))) }
    if generator.chance(1, in: 3) { try blank(path, from: pending[0].first) }
  }

  private mutating func cut(_ path: String, to size: UInt64) throws {
    guard let facts = FileTree.facts(path), facts.bytes > size else { return }
    loss.bytes += facts.bytes - size
    try FileTree.truncate(path, to: size)
  }

  /// Puts zeros where a page, or the part of one behind `start`, was not written before the power went.
  private mutating func blank(_ path: String, from start: UInt64) throws {
    let bytes = try FileTree.read(path, bytesMax: 256 << 20)
    guard UInt64(bytes.count) > start else { return }
    let first = start / PowerLossStrike.pageBytes
    let pages = Int((UInt64(bytes.count) - 1) / PowerLossStrike.pageBytes - first) + 1
    let page = (first + UInt64(generator.below(pages))) * PowerLossStrike.pageBytes
    let begin = Int(max(page, start))
    let end = min(Int(page + PowerLossStrike.pageBytes), bytes.count)
    loss.pages += 1
    try FileTree.truncate(path, to: UInt64(begin))
    try append([UInt8](repeating: 0, count: end - begin) + bytes[end...], to: path)
  }

  private func append(_ bytes: [UInt8], to path: String) throws {
    var files = PosixFileSystem()
    let file = try files.open(path, .append)
    defer { files.close(file) }
    try files.append(bytes, to: file)
  }
}
