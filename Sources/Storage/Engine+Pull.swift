package import Causality
import Primitives

// Pulls between the owners of a store: what one may be asked for, and how the other takes the answer.

extension Engine {
  /// All records with this hash whose stamp is above `stamp`; there is more than one key when hashes are equal.
  /// - Throws: `damaged` when one does not read back (the store is fenced then): none is ever left out.
  package func versions<FS: FileSystem & ~Copyable>(
    ofHash hash: UInt64, above stamp: Stamp, in id: StoreID, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> VersionsOutcome {
    let store = store(id)
    do throws(StorageError) {
      return try store.versions(ofHash: hash, above: stamp, warm: warm, on: &files)
    } catch {
      throw refuse(error, by: store, isReading: true)
    }
  }

  /// The lowest stamp of the keys with this hash: asking for what is above it leaves nothing out. Of a long record only
  /// the beginning is read, without its checksum.
  /// - Throws: `damaged` when a record does not read back; the store is fenced then.
  package func stamp<FS: FileSystem & ~Copyable>(
    ofHash hash: UInt64, in id: StoreID, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> StampOutcome {
    let store = store(id)
    do throws(StorageError) {
      return try store.stamp(ofHash: hash, warm: warm, on: &files)
    } catch {
      throw refuse(error, by: store, isReading: true)
    }
  }

  /// The records of a segment in the order of their hashes, tombstones among them. A page never ends between two keys
  /// with the same hash.
  /// - Parameters:
  ///   - hash: Where the page begins; 0 for the first one of the segment.
  ///   - bytesMax: Of all records of the page together, as they stand on disk. The records of one hash may be longer.
  /// Hashes that damage fences are passed over: they come back from other owners, and then differ no more.
  /// - Throws: `damaged` when a record does not read back that was not known to be damaged.
  package func recordPage<FS: FileSystem & ~Copyable>(
    in id: StoreID, segment: Int, from hash: UInt64, bytesMax: Int, warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> RecordPageOutcome {
    let store = store(id)
    do throws(StorageError) {
      return try store.recordPage(segment: segment, from: hash, bytesMax: bytesMax, warm: warm, on: &files)
    } catch {
      throw refuse(error, by: store, isReading: true)
    }
  }

  /// To be taken when a pull is asked for, and given back with what is applied of its answer.
  package func pullGeneration(_ id: StoreID) -> PullGeneration { store(id).pullGeneration }

  /// Offers a version that was asked for. Unlike one that is pushed it may create its key at or below the floor, unless
  /// the key may have been purged since it was asked for (rule GUARD). The highest stamp wins, as always.
  /// - Parameters:
  ///   - hash: The ring hash of `key`.
  ///   - generation: Of this store when the pull was asked for.
  /// - Throws: What `apply` throws.
  package func applyPulled<FS: FileSystem & ~Copyable>(
    _ version: StoredVersion, key: [UInt8], hash: UInt64, to id: StoreID, since generation: PullGeneration,
    warm: WarmBytes?, on files: inout FS
  ) throws(StorageError) -> PullOutcome {
    switch try offer(version, key: key, hash: hash, to: id, .pull(since: generation), warm: warm, on: &files) {
    case .applied(let position): return .applied(position)
    case .equal: return .equal
    case .newer: return .newer
    case .belowFloor: return .guarded
    case .cold(let read): return .cold(read)
    case .refused(let refusal): return .refused(refusal)
    }
  }

  /// What was purged elsewhere up to this stamp may be missing here: pushes at or below it create no key from now on.
  /// In memory; the next manifest says it when what was applied before is durable. It never sinks.
  package func raiseFloor(_ id: StoreID, to floor: Stamp) {
    let store = store(id)
    guard floor > store.manifest.floor else { return }
    store.manifest.floor = floor
    store.hasStaleManifest = true
  }
}
