import Causality
import Primitives

// Forgetting a tombstone (rule PURGE of the delete protocol): the keydir's slot goes and the floor rises, in one step.
// The record leaves the disk later, by a merge; a crash before the floor is durable brings the tombstone back, which
// then is purged again.

extension Bitcask {
  /// Forgets the tombstone if it is exactly this one. The conditions of the rule are the caller's.
  func purge<FS: FileSystem & ~Copyable>(
    _ key: [UInt8], hash: UInt64, stamp: Stamp, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> PurgeOutcome {
    switch try find(key, hash: hash, warm: warm, mayBlock: false, on: &files) {
    case .cold(let read): return .cold(read)
    case .absent: return .isNotThere
    case .record(let position, _, let header):
      guard header.isTombstone, header.stamp == stamp else { return .isNotThere }
      forget(position, hash, header)
      return .purged
    }
  }

  /// Takes the tombstone out of the keydir and raises the floor above it.
  func forget(_ position: Keydir.Position, _ hash: UInt64, _ header: RecordHeader) {
    removeLive(header.byteCount, from: keydir.location(at: position).file)
    uncount(hash, header.stamp, isTombstone: true)
    keydir.remove(at: position)
    purges.note(hash)
    manifest.floor = max(manifest.floor, header.stamp)
    hasStaleManifest = true
  }
}
