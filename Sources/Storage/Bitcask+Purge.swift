import Causality
import Primitives

// Forgetting a tombstone (rule PURGE of the delete protocol): the keydir's slot goes and the floor rises, in one step.
// The record leaves the disk later, by a merge; a crash before the floor is durable brings the tombstone back, which
// then is purged again.

extension Bitcask {
  /// A record that is to be forgotten: a tombstone, as long as rule exactPurge holds.
  struct Forgotten {
    let hash: UInt64
    let stamp: Stamp
    let tsn: UInt64
    let byteCount: Int
    let isTombstone: Bool
    let expiry: Expiry

    init(_ header: RecordHeader, hash: UInt64) {
      self.hash = hash
      stamp = header.stamp
      tsn = header.tsn
      byteCount = header.byteCount
      isTombstone = header.isTombstone
      expiry = header.expiry
    }

    init(_ entry: FeedIndex.Entry, byteCount: Int) {
      hash = entry.hash
      stamp = entry.stamp
      tsn = entry.tsn
      self.byteCount = byteCount
      isTombstone = true
      expiry = .never
    }
  }

  /// Forgets the tombstone if it is exactly this one. The conditions of the rule are the caller's.
  func purge<FS: FileSystem & ~Copyable>(
    _ key: [UInt8], hash: UInt64, stamp: Stamp, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> PurgeOutcome {
    switch try find(key, hash: hash, warm: warm, mayBlock: false, on: &files) {
    case .cold(let read): return .cold(read)
    case .absent: return .isNotThere
    case .record(let position, _, let header):
      guard header.isTombstone, header.stamp == stamp else { return .isNotThere }
      forget(position, Forgotten(header, hash: hash))
      return .purged
    }
  }

  /// Takes the tombstone out of the keydir and the feed, and raises the floor above it.
  func forget(_ position: Keydir.Position, _ record: Forgotten) {
    removeLive(record.byteCount, from: keydir.location(at: position).file)
    uncount(record.hash, record.stamp, tsn: record.tsn, isTombstone: record.isTombstone, record.expiry)
    keydir.remove(at: position)
    purges.note(record.hash)
    manifest.floor = max(manifest.floor, record.stamp)
    hasStaleManifest = true
  }
}
