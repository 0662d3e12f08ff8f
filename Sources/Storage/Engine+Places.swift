import Causality
import Primitives

// Where the records of a store stand, for those who explain it. Reads what it needs and waits for it: not for a node
// that serves.

/// The record that a slot of the keydir points to.
package struct RecordPlace: Equatable, Sendable {
  /// Id of the data file.
  package let file: UInt32
  package let offset: UInt64
  package let isTombstone: Bool
}

extension Engine {
  /// The record that counts for a key; nil when the keydir has none.
  /// - Throws: `damaged` when a record does not read back.
  package func place<FS: FileSystem & ~Copyable>(
    of key: [UInt8], hash: UInt64, in id: StoreID, on files: inout FS
  ) throws(StorageError) -> RecordPlace? {
    guard let index = find(id) else { return nil }
    let store = stores[index]
    guard case .record(let slot, _, _) = try store.find(key, hash: hash, warm: nil, mayBlock: true, on: &files) else {
      return nil
    }
    let location = store.keydir.location(at: slot)
    return RecordPlace(
      file: store.dataFiles[location.file].id, offset: location.offset, isTombstone: location.isTombstone)
  }

  /// Data files in which the last merge had to keep dead tombstones (rule OVERLAP), each with the files because of
  /// which; by ids, ascending.
  package func blockers(in id: StoreID) -> [(file: UInt32, because: [UInt32])] {
    guard let index = find(id) else { return [] }
    let files = stores[index].dataFiles
    return files.indices.filter { !files[$0].blockers.isEmpty }.map { (files[$0].id, files[$0].blockers.sorted()) }
  }
}
