import Primitives

// Which data files of an engine are open. A node may have thousands of them, and descriptors are few: of the sealed ones
// only so many stay open, those that were read last. None is closed in the turn it was used in, so that a cold read that
// is asked for finds it open (whoever performs the read then has a descriptor of its own), nor while a sync may name it.

final class OpenFiles {
  private struct Entry {
    unowned let store: Bitcask
    let index: Int
  }

  /// Sealed files open at once, unless a single turn uses more.
  let countMax: Int
  /// Counts the engine's flushes.
  private(set) var turn: UInt64 = 1
  /// Files of the sync in flight.
  var pinned: [FileID] = []
  private var entries: [Entry] = []
  /// With more entries some are closed.
  private var limit: Int
  /// There are too many, and the next turn may close some that this one could not.
  private var isLate = false
  /// Handles of files that are gone, with the turn in which that was.
  private var retired: [(handle: FileID, turn: UInt64)] = []

  init(countMax: Int) {
    self.countMax = max(1, countMax)
    limit = self.countMax
  }

  /// Sealed files open now.
  var count: Int { entries.count }

  /// A sealed file is open.
  func add<FS: FileSystem & ~Copyable>(_ store: Bitcask, _ index: Int, on files: inout FS) {
    entries.append(Entry(store: store, index: index))
    if entries.count > limit { closeSome(on: &files) }
  }

  /// Closes those that were read longest ago: several at once, because finding them means looking at all.
  private func closeSome<FS: FileSystem & ~Copyable>(on files: inout FS) {
    isLate = false
    let uses = entries.map { $0.store.dataFiles[$0.index].lastUse }
    let wanted = entries.count - countMax + countMax / 8
    var closed: Set<Int> = []
    for position in entries.indices.sorted(by: { (uses[$0], $0) < (uses[$1], $1) }) where closed.count < wanted {
      guard uses[position] < turn else {
        isLate = true
        break
      }
      let entry = entries[position]
      guard let handle = entry.store.handleToSpare(entry.index), !pinned.contains(handle) else { continue }
      entry.store.dataFiles[entry.index].handle = nil
      files.close(handle)
      closed.insert(position)
    }
    entries = entries.indices.filter { !closed.contains($0) }.map { entries[$0] }
    // Those that cannot be closed yet are not looked at again for every file that is opened.
    limit = max(countMax, entries.count + countMax / 8)
  }

  /// The file will take records again, or is gone: it is not to be closed from here.
  func forget(_ store: Bitcask, _ index: Int) {
    entries.removeAll { $0.store === store && $0.index == index }
  }

  /// Files became durable, which may be closed now.
  func noteSynced() { isLate = true }

  /// Closes the file when nobody can need its handle any more.
  func retire(_ handle: FileID) { retired.append((handle, turn)) }

  /// The turn is over.
  func endTurn<FS: FileSystem & ~Copyable>(on files: inout FS) {
    // What an earlier turn needed beyond the bound. What this one has used stays: the reads that it asked for begin when
    // it is over.
    if isLate && entries.count > countMax { closeSome(on: &files) }
    turn += 1
    guard let first = retired.first, first.turn + 1 < turn else { return }
    for (handle, since) in retired where since + 1 < turn && !pinned.contains(handle) { files.close(handle) }
    retired.removeAll { $0.turn + 1 < turn && !pinned.contains($0.handle) }
  }
}
