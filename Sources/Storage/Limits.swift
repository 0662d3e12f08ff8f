// Every bound of the engine in one place. Lengths that come from disk are compared with these before they are used.

package enum StorageLimits {
  /// The longest key of a record, in bytes: the longest composite key is 65,539.
  package static let keyBytesMax = 1 << 17
  /// The longest value of a record, in bytes.
  package static let valueBytesMax = 1 << 27
  /// A data file takes no new record from here on; with the longest record behind it, offsets still fit 28 bits of
  /// 8-byte units (2 GiB).
  package static let fileBytesMax: UInt64 = 1 << 30
  /// Live data files of one store: 14 bits of a slot.
  package static let filesMax = 1 << 14
  /// Of these, so many are for outputs of merges: a store that has the most files can still have fewer.
  package static let filesForMerges = 64
  /// Bytes appended and not yet flushed, over all stores of an engine; then `apply` flushes by itself.
  package static let bufferedBytesMax = 8 << 20
  /// Cursors and promises of one store.
  package static let peersMax = 1 << 10
  /// Stores that a node's manifest may list.
  package static let storesMax = 1 << 16
  /// Directories kept of one store that was set aside again and again; with so many it is not set aside once more. A node
  /// that was restored from a copy sets all of its stores aside at once.
  package static let setAsideMax = 16
  /// Bytes that scans and hint files are read by.
  static let chunkBytes = 1 << 20
}
