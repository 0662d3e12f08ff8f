import Causality

// The vocabulary of salvage: what a store that was set aside still holds, page by page.

/// Where salvage of a directory has got. Opaque, and worth nothing after a restart: it begins anew then.
package struct SalvagePosition: Hashable, Sendable {
  /// The first pass only finds out which record of each key is the newest; the second hands those over.
  var isSecondPass = false
  /// Index of the file.
  var file = 0
  var offset = UInt64(FileHeader.byteCount)
  /// Damage was met, and the next whole record is looked for.
  var isSearching = false
  /// The record here is at least this long.
  var bytesWanted = 0

  package static let start = SalvagePosition()

  /// Where to go on when a cold read of a page has failed: behind it. What lies there counts as one unreadable stretch.
  package func skipping(_ read: ColdRead) -> SalvagePosition { skipped(to: read.offset + UInt64(read.count)) }

  func skipped(to offset: UInt64) -> SalvagePosition {
    var next = self
    next.offset = max(self.offset + 8, offset & ~7)
    next.isSearching = true
    next.bytesWanted = 0
    return next
  }
}

package enum SalvagePageOutcome: Equatable, Sendable {
  /// Records, perhaps none, and where the next page begins; nil at the end. `unreadable` stretches were met on the way:
  /// each is counted once.
  case page([PulledRecord], next: SalvagePosition?, unreadable: Int)
  /// Nothing yet: these bytes must be read first.
  case cold(ColdRead)
}
