// When a store is merged, and which of its files. A file is worth reading again when enough of it is dead, by share or by
// bytes; small files join a merge that takes place anyway. After Bitcask as Riak runs it, with bytes in place of counts
// of keys, and without what a merge could not free (`blockedBytes`): else it would be tried again for ever.

/// When merges may begin by themselves; times are UTC.
package enum MergeWindow: Equatable, Sendable {
  case always
  case never
  /// From the first hour on until the second begins; 22 to 6 goes over midnight.
  case hours(Int, Int)

  package func contains(hour: Int) -> Bool {
    switch self {
    case .always: true
    case .never: false
    case .hours(let from, let to): from <= to ? (from..<to).contains(hour) : hour >= from || hour < to
    }
  }
}

package struct MergePolicy: Equatable, Sendable {
  package var window = MergeWindow.always
  /// Stores are looked at this often, in milliseconds.
  package var checkIntervalMilliseconds: UInt64 = 60_000
  /// A file with this share of dead bytes, in percent, starts a merge; one with the lower share joins it.
  package var triggerFragmentation = 60
  package var fragmentation = 40
  /// A file with this many dead bytes starts a merge; one with the lower number joins it.
  package var triggerDeadBytes: UInt64 = 128 << 20
  package var deadBytes: UInt64 = 64 << 20
  /// A file shorter than this joins a merge; so many of them start one.
  package var smallFileBytes: UInt64 = 10 << 20
  package static let smallFilesTrigger = 8
  /// Bytes of input that merges of a node read in a second.
  package var bytesPerSecond: UInt64 = 16 << 20

  package init() {}

  /// What the policy looks at of a file.
  struct File: Equatable {
    let id: UInt32
    let length: UInt64
    let liveBytes: UInt64
    /// Dead bytes that a merge could free.
    let freeableBytes: UInt64

    func isDead(percent: Int, bytes: UInt64) -> Bool {
      freeableBytes > 0 && (freeableBytes >= bytes || freeableBytes * 100 >= length * UInt64(max(1, percent)))
    }
  }

  func starts(_ file: File) -> Bool { file.isDead(percent: triggerFragmentation, bytes: triggerDeadBytes) }

  /// The files to merge; empty when none has reached a trigger.
  /// - Parameter liveBytesMax: Of all chosen files together, the first excepted: what a merge may write.
  func choose(_ files: [File], liveBytesMax: UInt64) -> [UInt32] {
    // Two of them always fit into one merge; else a merge could leave as many as it found.
    let smallMax = min(smallFileBytes, liveBytesMax / 2)
    let small = files.filter { $0.length < smallMax }
    guard files.contains(where: starts) || small.count >= MergePolicy.smallFilesTrigger else { return [] }
    let candidates = files.filter { file in
      starts(file) || file.length < smallMax || file.isDead(percent: fragmentation, bytes: deadBytes)
    }
    var chosen: [UInt32] = []
    var liveBytes: UInt64 = 0
    for file in candidates.sorted(by: { ($1.freeableBytes, $0.id) < ($0.freeableBytes, $1.id) }) {
      guard chosen.isEmpty || liveBytes + file.liveBytes <= liveBytesMax else { continue }
      liveBytes += file.liveBytes
      chosen.append(file.id)
    }
    return chosen.sorted()
  }

  /// Whether the file that takes records is worth ending for a merge.
  func endsActive(_ file: File) -> Bool { file.length >= smallFileBytes && starts(file) }
}
