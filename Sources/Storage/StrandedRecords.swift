import Primitives

// What the journal holds for stores that are found damaged at a start. The journal goes when the node has started, and
// what stands in it alone was acknowledged all the same. So these records are put into a data file of their own in the
// store's directory, younger than its manifest: whoever goes through the directory once it is set aside finds them there
// (rule REBUILD, Docs/DeleteProtocol.md), and so do the offline tools.

struct StrandedRecords {
  private struct Pile {
    let store: Bitcask
    let path: String
    let salt: UInt32
    let handle: FileID
    var buffer: [UInt8]
    var flushed: UInt64 = 0
  }

  private var piles: [Pile] = []

  /// Bytes that are handed to the file at once.
  private static let bufferBytesMax = 1 << 20

  /// Keeps the whole record at this place of a chunk of the journal.
  /// - Throws: What keeps it from being written: then the journal may not go.
  mutating func take<FS: FileSystem & ~Copyable>(
    _ chunk: [UInt8], at offset: Int, byteCount: Int, of store: Bitcask, on files: inout FS
  ) throws(StorageError) {
    let index: Int
    if let known = piles.firstIndex(where: { $0.store === store }) {
      index = known
    } else {
      index = piles.count
      piles.append(try begin(store, on: &files))
    }
    Record.copy(chunk, at: offset, byteCount: byteCount, salt: piles[index].salt, to: &piles[index].buffer)
    if piles[index].buffer.count >= Self.bufferBytesMax { try flush(index, on: &files) }
  }

  /// The first id that no file of the directory has. The manifest does not hear of it: a file of a higher id than it
  /// knows is one that counts.
  private func begin<FS: FileSystem & ~Copyable>(_ store: Bitcask, on files: inout FS) throws(StorageError) -> Pile {
    var id = max(store.manifest.nextFileID, 1)
    for name in try files.list(store.directory) {
      if let other = StorePath.number(name, suffix: ".data"), other < UInt32.max { id = max(id, other + 1) }
    }
    let header = store.fileHeader(id)
    let path = StorePath.data(store.directory, id)
    return Pile(
      store: store, path: path, salt: header.salt, handle: try files.open(path, .create), buffer: header.encoded())
  }

  private mutating func flush<FS: FileSystem & ~Copyable>(_ index: Int, on files: inout FS) throws(StorageError) {
    try files.appendWhole(piles[index].buffer, to: piles[index].handle, at: piles[index].flushed)
    piles[index].flushed += UInt64(piles[index].buffer.count)
    piles[index].buffer.removeAll(keepingCapacity: true)
  }

  /// Makes all of it durable.
  mutating func finish<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    for index in piles.indices {
      if !piles[index].buffer.isEmpty { try flush(index, on: &files) }
      try files.sync(piles[index].handle)
      files.close(piles[index].handle)
      try files.syncDirectory(piles[index].store.directory)
    }
    piles = []
  }
}
