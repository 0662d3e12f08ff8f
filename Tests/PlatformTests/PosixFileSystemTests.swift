import Platform
import Storage
import Testing

struct PosixFileSystemTests {
  @Test("what was appended reads back, and the end of a file cuts a read short")
  func appendAndRead() throws {
    let directory = try TemporaryDirectory()
    var files = PosixFileSystem()
    let file = try files.open(directory.path + "/a", .create)
    try files.append([1, 2, 3], to: file)
    try files.append([], to: file)
    try files.append([4, 5], to: file)
    #expect(try files.size(of: file) == 5)
    for mayBlock in [true, false] {
      #expect(try files.read(file, at: 1, count: 3, mayBlock: mayBlock) == .bytes([2, 3, 4]))
      #expect(try files.read(file, at: 3, count: 9, mayBlock: mayBlock) == .bytes([4, 5]))
      #expect(try files.read(file, at: 9, count: 1, mayBlock: mayBlock) == .bytes([]))
      #expect(try files.read(file, at: 0, count: 0, mayBlock: mayBlock) == .bytes([]))
    }
    try files.sync(file)
  }

  @Test("an opened file is appended to at its end, also after it was cut")
  func appendAfterTruncate() throws {
    let directory = try TemporaryDirectory()
    var files = PosixFileSystem()
    let path = directory.path + "/a"
    files.close(try files.open(path, .create))
    let file = try files.open(path, .append)
    try files.append([1, 2, 3, 4], to: file)
    try files.truncate(file, to: 2)
    try files.append([9], to: file)
    #expect(try files.read(file, at: 0, count: 10, mayBlock: true) == .bytes([1, 2, 9]))
    let reader = try files.open(path, .read)
    #expect(try files.read(reader, at: 0, count: 10, mayBlock: true) == .bytes([1, 2, 9]))
  }

  @Test("open modes say what must and must not exist")
  func openModes() throws {
    let directory = try TemporaryDirectory()
    var files = PosixFileSystem()
    let path = directory.path + "/a"
    expectErrno(2, .open) { () throws(StorageError) in _ = try files.open(path, .read) }
    expectErrno(2, .open) { () throws(StorageError) in _ = try files.open(path, .append) }
    files.close(try files.open(path, .create))
    expectErrno(17, .open) { () throws(StorageError) in _ = try files.open(path, .create) }
  }

  @Test("a file id is never used again")
  func identifiersAreFresh() throws {
    let directory = try TemporaryDirectory()
    var files = PosixFileSystem()
    var seen: Set<FileID> = []
    for index in 0..<20 {
      let file = try files.open(directory.path + "/\(index)", .create)
      #expect(seen.insert(file).inserted)
      if index % 2 == 0 { files.close(file) }
    }
  }

  @Test("names come sorted; a missing directory is an error with its number")
  func listing() throws {
    let directory = try TemporaryDirectory()
    var files = PosixFileSystem()
    for name in ["b", "a", "c"] { files.close(try files.open(directory.path + "/" + name, .create)) }
    try files.createDirectory(directory.path + "/ab")
    try files.createDirectory(directory.path + "/ab")
    #expect(try files.list(directory.path) == ["a", "ab", "b", "c"])
    try files.rename(directory.path + "/a", to: directory.path + "/z")
    try files.unlink(directory.path + "/b")
    try files.syncDirectory(directory.path)
    #expect(try files.list(directory.path) == ["ab", "c", "z"])
    #expect(try files.exists(directory.path + "/z"))
    #expect(try !files.exists(directory.path + "/a"))
    expectErrno(2, .list) { () throws(StorageError) in _ = try files.list(directory.path + "/none") }
    expectErrno(2, .unlink) { () throws(StorageError) in try files.unlink(directory.path + "/a") }
  }

  @Test("a locked path refuses a second owner, and the lock goes with its file system")
  func locking() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/lock"
    do {
      var first = PosixFileSystem()
      try first.lock(path)
      var second = PosixFileSystem()
      #expect(throws: StorageError.locked(path: path)) { try second.lock(path) }
    }
    var third = PosixFileSystem()
    try third.lock(path)
  }

  @Test("another thread reads and syncs through the descriptor of an open file")
  func rawDescriptor() throws {
    let directory = try TemporaryDirectory()
    var files = PosixFileSystem()
    let file = try files.open(directory.path + "/a", .create)
    try files.append(Array(0..<100), to: file)
    let copy = try Descriptor.duplicating(files.rawDescriptor(of: file))
    files.close(file)
    #expect(try readWaiting(copy.rawValue, at: 90, count: 20) == Array(90..<100))
    try syncData(copy.rawValue)
  }

  private func expectErrno(
    _ errno: Int32, _ operation: FileOperation, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws(StorageError) -> Void
  ) {
    do throws(StorageError) {
      try body()
      Issue.record("nothing was thrown", sourceLocation: sourceLocation)
    } catch {
      guard case .io(operation, _, errno) = error else {
        Issue.record("\(error)", sourceLocation: sourceLocation)
        return
      }
    }
  }
}
