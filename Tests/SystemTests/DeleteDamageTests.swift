import Client
import Platform
import Primitives
import Protocols
import Storage
import Testing

// Tombstones that a disk gives back wrong, or not at all, while they are what keeps deleted keys deleted: n1 or n3 has not
// heard of the deletes when that is found.

extension SystemTests {
  @Suite struct DeleteDamageTests {
    enum End: String, CaseIterable, CustomTestStringConvertible {
      case stopped, killed
      var testDescription: String { rawValue }
    }

    @Test("a bit that flips in tombstones of a node that is down revives no key", arguments: End.allCases)
    func flippedWhileDown(_ end: End) throws {
      try DeletePromise.with("tombstone-flipped-\(end)") { cluster, promise in
        try cluster.local("kill", "3")
        try promise.delete(through: 1)
        try cluster.local(end == .stopped ? "stop" : "kill", "2")
        let flipped = try cluster.dataFiles(2).reduce(0) { $0 + (try cluster.flipTombstone(in: $1) ? 1 : 0) }
        #expect(flipped > 1)
        try cluster.local("start", "2")
        // One copy on n3 need not have heard of the deletes yet; a quorum has.
        try promise.watching([1, 2, 3], r: 2...3) {
          try cluster.local("start", "3")
          try promise.holds()
        }
        let recovery = try cluster.view(2).status["recovery"]
        switch end {
        case .stopped:
          #expect(recovery?["damaged"]?.array?.count == flipped)
          #expect(try cluster.setAside(2).count == flipped, "the damaged stores are kept")
        case .killed:
          // Not known to be durable in the data file, and whole in the journal.
          #expect(recovery?["bytes_cut"]?.integer ?? 0 > 0 && recovery?["journal_records"]?.integer ?? 0 > 0)
        }
      }
    }

    @Test("a bit that flips in a tombstone of a node that runs is found by the scrub, and the tombstone comes back")
    func flippedWhileRunning() throws {
      let settings =
        DeletePromise.settings + [
          "partitions=1", "max_file_size=64KiB", "merge_window=never", "merge_check_interval=100ms",
          "scrub_interval=1s",
        ]
      try TestCluster.with("tombstone-scrubbed", settings: settings) { cluster in
        let promise = DeletePromise(cluster: cluster, dead: 10, live: 40, bytes: 3000)
        try promise.begin()
        try cluster.local("kill", "3")
        try promise.delete(through: 1)
        // The file with the tombstones becomes full; a clean stop leaves a hint beside it.
        try promise.writeLive(0..<promise.live, through: 1, query: "?w=2")
        try cluster.local("stop", "2")
        try cluster.local("start", "2")
        let flipped = try cluster.dataFiles(2).dropLast().reduce(0) { $0 + (try cluster.flipTombstone(in: $1) ? 1 : 0) }
        #expect(flipped > 0)
        try eventually("the scrub has found it") {
          try cluster.antiEntropy(2)["scrub"]?["repaired"]?.integer ?? 0 == flipped
        }
        #expect(cluster.log(2).contains(" is back from another owner"))
        #expect(try cluster.pending(2) == promise.dead, "it is a tombstone that waits, as before")
        try promise.watching([1, 2, 3], r: 2...3) {
          try cluster.local("start", "3")
          try promise.holds()
        }
        #expect(try cluster.antiEntropy(2)["scrub"]?["lost"] == .integer(0))
      }
    }

    @Test("a node whose newest data files are cut short is made anew before it counts, and revives no key")
    func truncatedData() throws {
      try DeletePromise.with("data-truncated") { cluster, promise in
        try cluster.local("kill", "1")
        try promise.delete(through: 2)
        try cluster.local("stop", "3")
        let files = try cluster.dataFiles(3)
        for file in files { try FileTree.truncate(file, to: (FileTree.facts(file)?.bytes ?? 0) / 2) }
        try cluster.local("start", "3")
        // n1 still has the values; a quorum knows better.
        try promise.watching([1, 2, 3], r: 2...3) {
          try cluster.local("start", "1")
          try promise.holds()
        }
        #expect(try cluster.setAside(3).count == files.count, "\(files)")
        #expect(cluster.log(3).contains(", which was durable"))
      }
    }

    enum Finder: String, CaseIterable, CustomTestStringConvertible {
      case itself, itsPeers
      var testDescription: String { rawValue }
    }

    @Test(
      "a node that has lost its journal, and what only that had, is found out by what it promised, and revives no key",
      arguments: Finder.allCases)
    func truncatedJournal(_ finder: Finder) throws {
      try DeletePromise.with("journal-truncated-\(finder)") { cluster, promise in
        try cluster.local("kill", "1")
        try promise.delete(through: 2)
        // n2 has been told how far n3 was, and has acknowledged that.
        try eventually("n2 has acknowledged all tombstones of n3") {
          try cluster.acknowledged(3, by: 2) == promise.dead
        }
        try cluster.local("kill", "3")
        for path in try filesBelow("\(cluster.data)/n3/journal") + cluster.dataFiles(3) {
          try FileTree.truncate(path, to: UInt64(FileHeader.byteCount))
        }
        if finder == .itsPeers { try FileTree.remove("\(cluster.data)/n3/promises") }
        try cluster.local("start", "3")
        try promise.watching([1, 2, 3], r: 2...3) {
          try cluster.local("start", "1")
          try promise.holds()
        }
        #expect(try cluster.setAside(3).count == cluster.dataFiles(3).count)
        switch finder {
        case .itself: #expect(cluster.log(3).contains(" has gone back to an earlier state: "))
        case .itsPeers: #expect(try cluster.counter(3, "regressions") > 0)
        }
      }
    }
  }
}

extension TestCluster {
  /// The data files of all stores of a node, those of each store in order.
  fileprivate func dataFiles(_ node: Int) throws -> [String] {
    try filesBelow("\(data)/n\(node)/stores").filter { $0.contains("/p") && $0.hasSuffix(".data") }
  }

  /// Tombstones of a node that another one has acknowledged, durably for both.
  fileprivate func acknowledged(_ node: Int, by peer: Int) throws -> Int {
    var files = PosixFileSystem()
    let entries = try PromisesFile.read(in: "\(data)/n\(node)", on: &files)?.entries ?? []
    return entries.flatMap(\.promises).reduce(0) { $1.peer.rawValue == UInt32(peer) ? $0 + Int($1.cursorOnMe) : $0 }
  }

  /// Flips a bit in the stamp of the last tombstone of a data file. - Returns: Whether there is one.
  fileprivate func flipTombstone(in path: String) throws -> Bool {
    let bytes = try FileTree.read(path, bytesMax: 64 << 20)
    var offset = FileHeader.byteCount
    var found: Int?
    while case .whole(let header) = Record.check(bytes, at: offset, salt: nil) {
      if header.isTombstone { found = offset }
      offset += header.byteCount
    }
    guard let found else { return false }
    try flip(byte: found + 16, of: path)
    return true
  }
}
