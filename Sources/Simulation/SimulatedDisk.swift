package import Primitives
package import Storage

// A disk in memory whose faults come from a seed. What was appended is lost at a crash unless the file was synced, and
// so is a name (created, renamed, unlinked) unless its directory was synced; what is lost may be torn or garbage, and
// later writes may survive where earlier ones did not. Closing a file syncs nothing. The disk is a value: a copy is a
// snapshot. It does not model a device that lies about a sync.

package struct SimulatedDisk: FileSystem, Sendable {
  private let root: String
  private var inodes: [SimulatedInode] = []
  private var names: [String: Int] = [:]
  private(set) var directories: Set<String> = []
  private var durableNames: [String: Int] = [:]
  private(set) var durableDirectories: Set<String> = []
  /// Changes of names that no directory sync covers yet, in order.
  private var pending: [NameChange] = []
  private var handles: [UInt64: Handle] = [:]
  private var lastHandle: UInt64 = 0
  private var locks: Set<String> = []
  private var generator: SeededGenerator

  /// Operations performed or refused so far.
  package private(set) var operationCount = 0
  /// Of a thousand reads that may not block, so many answer `wouldBlock`.
  package var wouldBlockChance = 0
  /// The operation of this number fails with this error number; later ones work.
  package var failure: (operation: Int, errno: Int32)?
  /// What the operation of `failure` was, once it has failed.
  package private(set) var failedOperation: FileOperation?
  /// No file can be opened: too many are open.
  package var refusesFiles = false
  /// Bytes that may still be written; nil: any number. What is cut off or unlinked comes back.
  package var spaceLeft: Int?
  /// What `freeBytes` says while `spaceLeft` is nil.
  package static let plenty: UInt64 = 1 << 50
  /// Calls of `sync` and `syncDirectory` that were made after one had failed.
  package private(set) var syncsAfterFailure = 0
  /// The next `sync` or `syncDirectory` fails, once. What a `sync` was to cover is in doubt from then on: the next crash
  /// may find zeros in its place though later syncs have worked.
  package var failsNextSync = false
  /// A sync has failed since this process began.
  package private(set) var hasFailedSync = false
  /// The operation of this number and all later ones fail: the process is dead. An append is performed by half.
  package var diesAtOperation: Int?
  /// Whether `diesAtOperation` was reached.
  package var isDead: Bool { diesAtOperation.map { operationCount >= $0 } ?? false }

  /// - Parameter root: A directory that exists, durably.
  package init(seed: UInt64, root: String) {
    generator = SeededGenerator(seed: seed)
    self.root = root
    directories = [root]
    durableDirectories = [root]
  }

  // MARK: FileSystem

  package mutating func open(_ path: String, _ mode: OpenMode) throws(StorageError) -> FileID {
    try begin(.open, path)
    if refusesFiles { throw .io(.open, path: path, errno: Errno.tooManyFiles) }
    let inode: Int
    switch mode {
    case .create:
      guard names[path] == nil else { throw .io(.open, path: path, errno: Errno.exists) }
      guard directories.contains(Self.parent(of: path)) else { throw .io(.open, path: path, errno: Errno.noEntry) }
      if spaceLeft == 0 { throw .io(.open, path: path, errno: Errno.noSpace) }
      inodes.append(SimulatedInode())
      inode = inodes.count - 1
      names[path] = inode
      pending.append(.set(path, inode))
    case .read, .append:
      guard let found = names[path] else { throw .io(.open, path: path, errno: Errno.noEntry) }
      inode = found
    }
    lastHandle += 1
    handles[lastHandle] = Handle(inode: inode, path: path, isWritable: mode != .read)
    return FileID(lastHandle)
  }

  package mutating func close(_ file: FileID) { handles[file.rawValue] = nil }

  package mutating func size(of file: FileID) throws(StorageError) -> UInt64 {
    let handle = try handle(file, .size)
    return UInt64(inodes[handle.inode].bytes.count)
  }

  package mutating func append(_ bytes: [UInt8], to file: FileID) throws(StorageError) {
    let wasDead = isDead
    do throws(StorageError) {
      let handle = try handle(file, .append)
      guard handle.isWritable else { throw .io(.append, path: handle.path, errno: Errno.badFile) }
      if let spaceLeft, spaceLeft < bytes.count {
        append(bytes[..<spaceLeft], to: handle.inode)
        throw StorageError.io(.append, path: handle.path, errno: Errno.noSpace)
      }
      append(bytes[...], to: handle.inode)
    } catch {
      // A refused append may have been performed in part.
      if (isDead && !wasDead) || failure?.operation == operationCount, let handle = handles[file.rawValue] {
        let count = bytes.count / 2
        append(bytes[..<min(count, spaceLeft ?? count)], to: handle.inode)
      }
      throw error
    }
  }

  private mutating func append(_ bytes: ArraySlice<UInt8>, to inode: Int) {
    inodes[inode].bytes.append(contentsOf: bytes)
    if let spaceLeft { self.spaceLeft = spaceLeft - bytes.count }
  }

  package mutating func read(
    _ file: FileID, at offset: UInt64, count: Int, mayBlock: Bool
  ) throws(StorageError) -> ReadResult {
    let handle = try handle(file, .read)
    if !mayBlock && wouldBlockChance > 0 && generator.chance(wouldBlockChance, in: 1000) { return .wouldBlock }
    let end = inodes[handle.inode].bytes.count
    let start = Int(min(offset, UInt64(end)))
    return .bytes(Array(inodes[handle.inode].bytes[start..<min(end, start + count)]))
  }

  package mutating func truncate(_ file: FileID, to size: UInt64) throws(StorageError) {
    let handle = try handle(file, .truncate)
    let size = Int(size)
    guard size <= inodes[handle.inode].bytes.count else {
      throw .io(.truncate, path: handle.path, errno: Errno.invalid)
    }
    let synced = inodes[handle.inode].syncedLength
    if size < synced {
      let taken = inodes[handle.inode].bytes[size..<synced]
      inodes[handle.inode].truncated.insert(contentsOf: taken, at: 0)
      inodes[handle.inode].syncedLength = size
    }
    inodes[handle.inode].doubtful = inodes[handle.inode].doubtful?.clamped(to: 0..<size)
    if let spaceLeft { self.spaceLeft = spaceLeft + inodes[handle.inode].bytes.count - size }
    inodes[handle.inode].bytes.removeLast(inodes[handle.inode].bytes.count - size)
  }

  package mutating func sync(_ file: FileID) throws(StorageError) {
    let handle: Handle
    do throws(StorageError) {
      handle = try self.handle(file, .sync)
    } catch {
      if hasFailedSync, let failed = handles[file.rawValue] { inodes[failed.inode].failSync() }
      throw error
    }
    inodes[handle.inode].syncedLength = inodes[handle.inode].bytes.count
    inodes[handle.inode].truncated = []
  }

  package mutating func syncDirectory(_ path: String) throws(StorageError) {
    try begin(.syncDirectory, path)
    guard directories.contains(path) else { throw .io(.syncDirectory, path: path, errno: Errno.noEntry) }
    for change in pending where change.lasts(bySyncOf: path) { makeDurable(change) }
    pending.removeAll { $0.lasts(bySyncOf: path) }
  }

  package mutating func list(_ directory: String) throws(StorageError) -> [String] {
    try begin(.list, directory)
    guard directories.contains(directory) else {
      throw .io(.list, path: directory, errno: names[directory] == nil ? Errno.noEntry : Errno.notDirectory)
    }
    let found =
      names.keys.filter { Self.parent(of: $0) == directory }
      + directories.filter { $0 != directory && Self.parent(of: $0) == directory }
    return found.map { String($0.dropFirst(directory.count + 1)) }.sorted()
  }

  package mutating func exists(_ path: String) throws(StorageError) -> Bool {
    try begin(.open, path)
    return names[path] != nil || directories.contains(path)
  }

  package mutating func createDirectory(_ path: String) throws(StorageError) {
    try begin(.createDirectory, path)
    guard !directories.contains(path) else { return }
    guard directories.contains(Self.parent(of: path)) else {
      throw .io(.createDirectory, path: path, errno: Errno.noEntry)
    }
    directories.insert(path)
    pending.append(.makeDirectory(path))
  }

  package mutating func removeDirectory(_ path: String) throws(StorageError) {
    try begin(.removeDirectory, path)
    guard directories.contains(path) else { throw .io(.removeDirectory, path: path, errno: Errno.noEntry) }
    guard !isInUse(path) else { throw .io(.removeDirectory, path: path, errno: Errno.notEmpty) }
    directories.remove(path)
    // Once it is gone durably so is what was in it, and not before.
    pending.removeAll { $0.directory == path }
    pending.append(.removeDirectory(path))
  }

  private func isInUse(_ directory: String) -> Bool {
    names.keys.contains { $0.hasPrefix(directory + "/") } || directories.contains { $0.hasPrefix(directory + "/") }
  }

  package mutating func rename(_ from: String, to: String) throws(StorageError) {
    try begin(.rename, from)
    if directories.contains(from) { return try renameDirectory(from, to: to) }
    guard let inode = names.removeValue(forKey: from) else { throw .io(.rename, path: from, errno: Errno.noEntry) }
    invariant(Self.parent(of: from) == Self.parent(of: to), "a rename from \(from) to another directory, \(to)")
    names[to] = inode
    pending.append(.rename(from, to, inode))
  }

  private mutating func renameDirectory(_ from: String, to: String) throws(StorageError) {
    guard names[to] == nil, !directories.contains(to) else { throw .io(.rename, path: from, errno: Errno.notEmpty) }
    guard directories.contains(Self.parent(of: to)) else { throw .io(.rename, path: to, errno: Errno.noEntry) }
    let isMove = Self.parent(of: from) != Self.parent(of: to)
    invariant(
      isMove || !pending.contains { Self.isInside($0.directory, from) },
      "a directory is renamed, \(from) to \(to), before the names in it are durable")
    // What is moved elsewhere is put away: names in it that were never synced stay in doubt.
    if isMove { pending = pending.map { $0.moved(from, to) } }
    names = Self.moving(names, from, to)
    directories = Self.moving(directories, from, to)
    pending.append(.renameDirectory(from, to))
  }

  package mutating func link(_ from: String, to: String) throws(StorageError) {
    try begin(.link, to)
    guard let inode = names[from] else { throw .io(.link, path: from, errno: Errno.noEntry) }
    guard names[to] == nil else { throw .io(.link, path: to, errno: Errno.exists) }
    guard directories.contains(Self.parent(of: to)) else { throw .io(.link, path: to, errno: Errno.noEntry) }
    names[to] = inode
    pending.append(.set(to, inode))
  }

  /// Another handle of an open file, as a thread gets that outlives the first; nil when the file is not open.
  package mutating func duplicate(_ file: FileID) -> FileID? {
    guard let handle = handles[file.rawValue] else { return nil }
    lastHandle += 1
    handles[lastHandle] = handle
    return FileID(lastHandle)
  }

  package mutating func unlink(_ path: String) throws(StorageError) {
    try begin(.unlink, path)
    guard let inode = names.removeValue(forKey: path) else {
      throw .io(.unlink, path: path, errno: directories.contains(path) ? Errno.isDirectory : Errno.noEntry)
    }
    if let spaceLeft, !names.values.contains(inode) { self.spaceLeft = spaceLeft + inodes[inode].bytes.count }
    pending.append(.remove(path))
  }

  package mutating func freeBytes(at path: String) throws(StorageError) -> UInt64 {
    try begin(.measure, path)
    return spaceLeft.map { UInt64($0) } ?? SimulatedDisk.plenty
  }

  package mutating func lock(_ path: String) throws(StorageError) {
    try begin(.lock, path)
    guard locks.insert(path).inserted else { throw .locked(path: path) }
  }

  // MARK: Faults

  /// Power fails: keeps what was synced and, of the rest, what the generator leaves: for every file a prefix of its
  /// unsynced bytes, perhaps with a torn stretch in it, and some of the pending names, in order or not.
  package mutating func crash(using generator: inout SeededGenerator) {
    let inOrder = generator.chance(1, in: 2)
    var isLost = false
    for change in pending {
      if generator.chance(1, in: 3) { isLost = true }
      if !isLost { makeDurable(change) }
      if !inOrder { isLost = false }
    }
    for index in inodes.indices
    where inodes[index].bytes.count > inodes[index].syncedLength
      || !inodes[index].truncated.isEmpty || inodes[index].doubtful != nil
    {
      inodes[index].loseUnsynced(using: &generator)
    }
    restart()
  }

  /// Power fails and everything unsynced is lost, exactly.
  package mutating func discardUnsynced() {
    for index in inodes.indices {
      inodes[index].loseDoubtful()
      let synced = inodes[index].syncedLength
      inodes[index].bytes.removeLast(inodes[index].bytes.count - synced)
      inodes[index].bytes += inodes[index].truncated
      inodes[index].settle()
    }
    restart()
  }

  /// The process dies and the machine goes on: nothing is lost but open files and locks.
  package mutating func killProcess() {
    handles = [:]
    locks = []
    failure = nil
    refusesFiles = false
    failsNextSync = false
    hasFailedSync = false
    diesAtOperation = nil
  }

  private mutating func restart() {
    pending = []
    directories = durableDirectories.filter { isReachable($0) }
    durableDirectories = directories
    names = durableNames.filter { durableDirectories.contains(Self.parent(of: $0.key)) }
    durableNames = names
    killProcess()
  }

  /// A durable name in a directory whose own name is lost leads nowhere.
  private func isReachable(_ directory: String) -> Bool {
    var path = directory
    while path != root {
      path = Self.parent(of: path)
      guard durableDirectories.contains(path) else { return false }
    }
    return true
  }

  /// Paths of the open files, sorted; one that is open twice is there twice.
  package var openPaths: [String] { handles.values.map(\.path).sorted() }

  /// Files there are, sorted.
  package var paths: [String] { names.keys.sorted() }

  /// The bytes of a file; nil when there is none.
  package func contents(_ path: String) -> [UInt8]? { names[path].map { inodes[$0].bytes } }

  /// Bytes of the file that a crash cannot take.
  package func syncedLength(_ path: String) -> Int? { names[path].map { inodes[$0].syncedLength } }

  /// Puts these bytes in place of the file's, durably, as a fault of the device or a hand from outside would.
  package mutating func overwrite(_ path: String, with bytes: [UInt8]) {
    guard let inode = names[path] else { return }
    inodes[inode].bytes = bytes
    inodes[inode].settle()
  }

  /// Removes a directory with all that is in it, durably, as a hand from outside would while no process has it open.
  package mutating func removeTree(_ directory: String) {
    names = names.filter { !Self.isInside($0.key, directory) }
    durableNames = durableNames.filter { !Self.isInside($0.key, directory) }
    directories = directories.filter { !Self.isInside($0, directory) }
    durableDirectories = durableDirectories.filter { !Self.isInside($0, directory) }
    pending.removeAll { Self.isInside($0.path, directory) }
  }

  /// Flips one bit of a file; false when it has no such byte.
  @discardableResult
  package mutating func flipBit(_ bit: Int, ofByte offset: Int, in path: String) -> Bool {
    guard let inode = names[path], offset < inodes[inode].bytes.count else { return false }
    inodes[inode].bytes[offset] ^= 1 << UInt8(bit & 7)
    return true
  }

  // MARK: Inside

  private mutating func begin(_ operation: FileOperation, _ path: String) throws(StorageError) {
    operationCount += 1
    let isSync = operation == .sync || operation == .syncDirectory
    if isSync && hasFailedSync { syncsAfterFailure += 1 }
    if isDead { throw .io(operation, path: path, errno: Errno.failed) }
    if isSync && failsNextSync {
      failsNextSync = false
      hasFailedSync = true
      throw .io(operation, path: path, errno: Errno.failed)
    }
    guard let failure, failure.operation == operationCount else { return }
    failedOperation = operation
    hasFailedSync = hasFailedSync || isSync
    throw .io(operation, path: path, errno: failure.errno)
  }

  private mutating func handle(_ file: FileID, _ operation: FileOperation) throws(StorageError) -> Handle {
    guard let handle = handles[file.rawValue] else {
      throw .io(operation, path: "file \(file.rawValue)", errno: Errno.badFile)
    }
    try begin(operation, handle.path)
    return handle
  }

  private mutating func makeDurable(_ change: NameChange) {
    switch change {
    case .set(let path, let inode): durableNames[path] = inode
    case .remove(let path): durableNames[path] = nil
    case .rename(let from, let to, let inode):
      durableNames[from] = nil
      durableNames[to] = inode
    case .makeDirectory(let path): durableDirectories.insert(path)
    case .removeDirectory(let path):
      durableDirectories.remove(path)
      durableNames = durableNames.filter { Self.parent(of: $0.key) != path }
    case .renameDirectory(let from, let to):
      durableNames = Self.moving(durableNames, from, to)
      durableDirectories = Self.moving(durableDirectories, from, to)
    }
  }

}
