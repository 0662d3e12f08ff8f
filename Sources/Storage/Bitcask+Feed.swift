import Causality
import Primitives

// The feed of a store: its tombstones in the order in which they came, told to the other owners and forgotten from the
// front. Reading it costs a look at each record, because the keydir has no keys; forgetting costs none.

extension Bitcask {
  /// The tombstones behind `tsn`, as far as `last`.
  func feedPage<FS: FileSystem & ~Copyable>(
    after tsn: UInt64, upTo last: UInt64, entriesMax: Int, bytesMax: Int, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> FeedPageOutcome {
    if let damage { throw damage }
    var page: [FeedEntry] = []
    var bytes = 0
    var covered = tsn
    while let entry = feed.next(after: covered, upTo: last) {
      if page.count >= entriesMax || bytes >= bytesMax { return .page(page, next: covered) }
      // What cannot be told stops the feed before it.
      if damages.fencing > 0, damages.fencing(entry.hash) != nil { return .page(page, next: covered) }
      switch try keyOfTombstone(entry, warm: warm, on: &files) {
      case .cold(let read): return page.isEmpty ? .cold(read) : .page(page, next: covered)
      case .fenced: return .page(page, next: covered)
      case .absent: break
      case .key(let key):
        if !page.isEmpty, bytes + key.count + Bitcask.feedEntryBytes > bytesMax { return .page(page, next: covered) }
        page.append(FeedEntry(tsn: entry.tsn, key: key, stamp: entry.stamp))
        bytes += key.count + Bitcask.feedEntryBytes
      }
      covered = entry.tsn
    }
    return .page(page, next: max(tsn, last))
  }

  /// What an entry costs beside its key, about.
  private static let feedEntryBytes = 32

  private enum TombstoneKey {
    case key([UInt8])
    case cold(ColdRead)
    /// Its record has just been found damaged.
    case fenced
    case absent
  }

  private func keyOfTombstone<FS: FileSystem & ~Copyable>(
    _ entry: FeedIndex.Entry, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> TombstoneKey {
    if let key = feed.key(at: entry.tsn) { return .key(key) }
    var position = keydir.first(entry.hash)
    // From the second on, as in `keys`: an answer of the disk brings one record.
    var isFirst = true
    while let slot = position {
      position = keydir.next(after: slot, entry.hash)
      let location = keydir.location(at: slot)
      guard location.isTombstone, location.digest == entry.stamp.digest else { continue }
      do throws(StorageError) {
        switch try wholeRecord(at: location, hash: entry.hash, warm: warm, mayBlock: !isFirst, on: &files) {
        case .cold(let read): return .cold(read)
        case .record(let bytes, let header):
          if header.tsn == entry.tsn, header.stamp == entry.stamp {
            return .key(Array(bytes[header.keyOffset..<header.valueOffset]))
          }
        }
      } catch {
        guard case .damaged = error, damage == nil else { throw error }
        return .fenced
      }
      isFirst = false
    }
    return .absent
  }

  /// Forgets tombstones from the front of the feed up to a position, at most `countMax` (rule PURGE: the conditions are
  /// the caller's). Each goes only if it is exactly the one that stands there: one that was superseded is not in the
  /// index any more. Those of hashes that damage fences stay.
  func purgeFeed<FS: FileSystem & ~Copyable>(
    upTo tsn: UInt64, countMax: Int, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> PurgeFeedOutcome {
    if let damage { throw damage }
    var purged: [PurgedTombstone] = []
    var passed: UInt64 = 0
    while let entry = feed.next(after: passed, upTo: tsn) {
      if purged.count >= countMax { return .purged(purged, more: true) }
      passed = entry.tsn
      if damages.fencing > 0, damages.fencing(entry.hash) != nil { continue }
      switch try slot(of: entry, warm: warm, on: &files) {
      case .cold(let read): return purged.isEmpty ? .cold(read) : .purged(purged, more: true)
      case .absent:
        // Without rule exactPurge: what had superseded it is gone itself.
        feed.remove(tsn: entry.tsn, hash: entry.hash, stamp: entry.stamp)
      case .slot(let position, let record):
        forget(position, record)
        // With rule exactPurge it is gone by now.
        if !options.rules.hold(.exactPurge) { feed.remove(tsn: entry.tsn, hash: entry.hash, stamp: entry.stamp) }
        purged.append(PurgedTombstone(hash: entry.hash, stamp: entry.stamp, tsn: entry.tsn))
      }
    }
    return .purged(purged, more: false)
  }

  private enum TombstoneSlot {
    case slot(Keydir.Position, Forgotten)
    case cold(ColdRead)
    case absent
  }

  /// The slot of a tombstone. An only slot of the hash is it, because the entry is in the index; of several the records
  /// tell, as they do where the slot does not know how long its record is.
  private func slot<FS: FileSystem & ~Copyable>(
    of entry: FeedIndex.Entry, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> TombstoneSlot {
    let isExact = options.rules.hold(.exactPurge)
    guard let only = keydir.first(entry.hash) else { return .absent }
    let location = keydir.location(at: only)
    if isExact, keydir.next(after: only, entry.hash) == nil, !location.isSaturated {
      invariant(
        location.isTombstone && location.digest == entry.stamp.digest,
        "the feed of store \(id) has a tombstone at \(entry.tsn) that its keydir lacks")
      return .slot(only, Forgotten(entry, byteCount: location.byteCount))
    }
    var position: Keydir.Position? = only
    var isFirst = true
    while let slot = position {
      let location = keydir.location(at: slot)
      if !isExact || location.isTombstone && location.digest == entry.stamp.digest {
        switch try wholeRecord(at: location, hash: entry.hash, warm: warm, mayBlock: !isFirst, on: &files) {
        case .cold(let read): return .cold(read)
        case .record(_, let header):
          if !isExact || header.tsn == entry.tsn && header.stamp == entry.stamp {
            return .slot(slot, Forgotten(header, hash: entry.hash))
          }
        }
        isFirst = false
      }
      position = keydir.next(after: slot, entry.hash)
    }
    return .absent
  }
}
