import Platform
import Primitives
import Storage
import Testing

@Suite struct LockAndTimerTests {
  @Test("tools share a lock to look, a node and a tool that writes have it alone, and looking creates nothing")
  func locks() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/lock"
    #expect(throws: Errno.noSuchFile) { _ = try FileLock(path, exclusive: false) }
    #expect(!FileTree.exists(path))
    do {
      var node = PosixFileSystem()
      try node.lock(path)
      #expect(throws: Errno.wouldBlock) { _ = try FileLock(path, exclusive: false) }
      _ = consume node
    }
    do {
      let first = try FileLock(path, exclusive: false)
      let second = try FileLock(path, exclusive: false)
      #expect(throws: Errno.wouldBlock) { _ = try FileLock(path, exclusive: true) }
      var node = PosixFileSystem()
      #expect(throws: StorageError.locked(path: path)) { try node.lock(path) }
      _ = consume first
      _ = consume second
    }
    try FileTree.remove(path)
    let writer = try FileLock(path, exclusive: true)
    #expect(throws: Errno.wouldBlock) { _ = try FileLock(path, exclusive: false) }
    _ = consume writer
  }

  @Test("a timer is readable when its time has come, not before, and not any more when it is set anew")
  func timer() throws {
    let loop = try EventLoop()
    loop.adoptThread()
    let timer = try MonotonicTimer()
    try loop.watch(timer.descriptor, .reading, token: 7)
    func poll(_ milliseconds: Int) throws -> [UInt64] {
      var events: [Readiness] = []
      try loop.poll(timeoutMilliseconds: milliseconds, into: &events)
      return events.map(\.token)
    }
    let now = SystemClock().now().instant
    #expect(try poll(0) == [])
    try timer.set(now.adding(milliseconds: 3_600_000))
    #expect(try poll(0) == [])
    let due = now.adding(milliseconds: 20)
    try timer.set(due)
    #expect(try poll(60_000) == [7])
    #expect(SystemClock().now().instant >= due)
    #expect(try poll(0) == [7], "nobody has set it anew")
    try timer.set(now.adding(milliseconds: 3_600_000))
    #expect(try poll(0) == [])
    try timer.set(Instant(nanoseconds: 0))
    #expect(try poll(60_000) == [7], "what has passed is due")
  }

  @Test("the machine has a processor and a kernel, and a path is resolved")
  func machine() throws {
    #expect(Machine.cores >= 1 && Machine.kernel.hasPrefix("Linux "))
    let directory = try TemporaryDirectory()
    #expect(
      try FileTree.resolved(directory.path + "/./../" + directory.path.split(separator: "/").last!)
        == FileTree.resolved(directory.path))
    #expect(throws: Errno.noSuchFile) { try FileTree.resolved(directory.path + "/nothing") }
  }
}
