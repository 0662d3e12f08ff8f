import CLinux
import Glibc
package import Storage

// Storage's file system, by system calls. Appends go to descriptors opened with O_APPEND, so that a file's end is what
// the kernel says; a failed append leaves what was written, and the caller decides what to cut. Nothing here retries a
// failed sync. One owner, one thread; another thread that needs a file gets its descriptor.

/// Open files by `FileID`. Closing the value closes the files and drops the locks.
package struct PosixFileSystem: FileSystem, ~Copyable {
  /// One place of the table; a file's id is its place and how often that was taken, so that no id is ever given twice.
  private struct Place {
    /// -1: nothing is open here.
    var descriptor: Int32
    var generation: UInt32
  }

  private var places: [Place] = []
  private var vacant: [Int] = []
  /// Names of the open files, for errors only.
  private var paths: [FileID: String] = [:]
  private var locks: [Int32] = []
  /// Cleared when the file system below does not know reads that refuse to wait.
  private var readsCached = true

  package init() {}

  deinit {
    for place in places where place.descriptor >= 0 { _ = Glibc.close(place.descriptor) }
    for descriptor in locks { _ = Glibc.close(descriptor) }
  }

  /// The descriptor of an open file, for the threads that sync and read; it stays the file system's.
  package func rawDescriptor(of file: FileID) -> Int32 {
    let place = places[Int(truncatingIfNeeded: file.rawValue & 0xFFFF_FFFF)]
    precondition(
      place.descriptor >= 0 && UInt64(place.generation) == file.rawValue >> 32, "file \(file.rawValue) is not open")
    return place.descriptor
  }

  /// The name of an open file, for messages.
  package func path(of file: FileID) -> String { paths[file] ?? "file \(file.rawValue)" }

  package mutating func open(_ path: String, _ mode: OpenMode) throws(StorageError) -> FileID {
    let flags =
      switch mode {
      case .read: O_RDONLY
      case .append: O_RDWR | O_APPEND
      case .create: O_RDWR | O_APPEND | O_CREAT | O_EXCL
      }
    let descriptor = try attempt(.open, path) { () throws(Errno) in
      try call { unsafe Glibc.open(path, flags | O_CLOEXEC, 0o644) }
    }
    // Nobody asks when a record was read last, and to note it costs a read a third of its time.
    cairn_keep_access_time(descriptor)
    let index = vacant.popLast() ?? places.count
    if index == places.count { places.append(Place(descriptor: -1, generation: 0)) }
    places[index].descriptor = descriptor
    let file = FileID(UInt64(places[index].generation) << 32 | UInt64(index))
    paths[file] = path
    return file
  }

  package mutating func close(_ file: FileID) {
    _ = Glibc.close(rawDescriptor(of: file))
    let index = Int(truncatingIfNeeded: file.rawValue & 0xFFFF_FFFF)
    places[index].descriptor = -1
    places[index].generation &+= 1
    vacant.append(index)
    paths[file] = nil
  }

  package mutating func size(of file: FileID) throws(StorageError) -> UInt64 {
    let descriptor = rawDescriptor(of: file)
    var facts = stat()
    do throws(Errno) {
      try call { unsafe fstat(descriptor, &facts) }
    } catch {
      throw .io(.size, path: path(of: file), errno: error.rawValue)
    }
    return UInt64(facts.st_size)
  }

  package mutating func append(_ bytes: [UInt8], to file: FileID) throws(StorageError) {
    let descriptor = rawDescriptor(of: file)
    var written = 0
    while written < bytes.count {
      do throws(Errno) {
        written += try call {
          unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress! + written, $0.count - written) }
        }
      } catch {
        throw .io(.append, path: path(of: file), errno: error.rawValue)
      }
    }
  }

  package mutating func read(
    _ file: FileID, at offset: UInt64, count: Int, mayBlock: Bool
  ) throws(StorageError) -> ReadResult {
    let descriptor = rawDescriptor(of: file)
    guard count > 0 else { return .bytes([]) }
    do throws(Errno) {
      guard !mayBlock && readsCached else {
        return .bytes(try readWaiting(descriptor, at: offset, count: count))
      }
      switch try readNow(descriptor, at: offset, count: count) {
      case .cached(let bytes): return .bytes(bytes)
      case .wouldBlock: return .wouldBlock
      case .unsupported:
        readsCached = false
        return .bytes(try readWaiting(descriptor, at: offset, count: count))
      }
    } catch {
      throw .io(.read, path: path(of: file), errno: error.rawValue)
    }
  }

  package mutating func truncate(_ file: FileID, to size: UInt64) throws(StorageError) {
    let descriptor = rawDescriptor(of: file)
    try attempt(.truncate, path(of: file)) { () throws(Errno) in try call { ftruncate(descriptor, off_t(size)) } }
  }

  package mutating func sync(_ file: FileID) throws(StorageError) {
    let descriptor = rawDescriptor(of: file)
    try attempt(.sync, path(of: file)) { () throws(Errno) in try syncData(descriptor) }
  }

  package mutating func syncDirectory(_ path: String) throws(StorageError) {
    // Not to open it says nothing about what is in it; a failed sync does.
    let descriptor = try attempt(.open, path) { () throws(Errno) in
      try call { unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    }
    let directory = Descriptor(owning: descriptor)
    try attempt(.syncDirectory, path) { () throws(Errno) in try call { fsync(directory.rawValue) } }
  }

  package mutating func list(_ directory: String) throws(StorageError) -> [String] {
    guard let stream = unsafe opendir(directory) else { throw .io(.list, path: directory, errno: errno) }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while true {
      // Null means the end or a failure; only errno tells.
      errno = 0
      guard let entry = unsafe readdir(stream) else {
        if errno != 0 { throw .io(.list, path: directory, errno: errno) }
        break
      }
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  package mutating func exists(_ path: String) throws(StorageError) -> Bool {
    var facts = stat()
    do throws(Errno) {
      try call { unsafe stat(path, &facts) }
      return true
    } catch .noSuchFile {
      return false
    } catch {
      throw .io(.open, path: path, errno: error.rawValue)
    }
  }

  package mutating func createDirectory(_ path: String) throws(StorageError) {
    do throws(Errno) {
      try call { unsafe mkdir(path, 0o755) }
    } catch .exists {
      return
    } catch {
      throw .io(.createDirectory, path: path, errno: error.rawValue)
    }
  }

  package mutating func removeDirectory(_ path: String) throws(StorageError) {
    try attempt(.removeDirectory, path) { () throws(Errno) in try call { unsafe rmdir(path) } }
  }

  package mutating func rename(_ from: String, to: String) throws(StorageError) {
    try attempt(.rename, from) { () throws(Errno) in try call { unsafe Glibc.rename(from, to) } }
  }

  package mutating func link(_ from: String, to: String) throws(StorageError) {
    try attempt(.link, to) { () throws(Errno) in try call { unsafe Glibc.link(from, to) } }
  }

  package mutating func unlink(_ path: String) throws(StorageError) {
    try attempt(.unlink, path) { () throws(Errno) in try call { unsafe Glibc.unlink(path) } }
  }

  package mutating func freeBytes(at path: String) throws(StorageError) -> UInt64 {
    var facts = statvfs()
    try attempt(.measure, path) { () throws(Errno) in try call { unsafe statvfs(path, &facts) } }
    return UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize)).partialValue
  }

  package mutating func lock(_ path: String) throws(StorageError) {
    let descriptor = try attempt(.lock, path) { () throws(Errno) in
      try call { unsafe Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644) }
    }
    do throws(Errno) {
      try call { flock(descriptor, LOCK_EX | LOCK_NB) }
      locks.append(descriptor)
    } catch {
      _ = Glibc.close(descriptor)
      throw error == .wouldBlock ? .locked(path: path) : .io(.lock, path: path, errno: error.rawValue)
    }
  }
}

/// Performs a call and says of a failure which file it was about.
@discardableResult
private func attempt(
  _ operation: FileOperation, _ path: String, _ body: () throws(Errno) -> Int32
) throws(StorageError) -> Int32 {
  do throws(Errno) {
    return try body()
  } catch {
    throw .io(operation, path: path, errno: error.rawValue)
  }
}

/// Makes the file's bytes and length durable.
@discardableResult
package func syncData(_ descriptor: Int32) throws(Errno) -> Int32 { try call { fdatasync(descriptor) } }

private enum CachedRead {
  case cached([UInt8])
  case wouldBlock
  case unsupported
}

/// Reads without waiting for the device. A part that is cached and a rest that is not is `wouldBlock`.
private func readNow(_ descriptor: Int32, at offset: UInt64, count: Int) throws(Errno) -> CachedRead {
  // For a record the zeros are cheaper than asking the runtime for an array without them.
  var bytes = [UInt8](repeating: 0, count: count)
  var filled = 0
  do throws(Errno) {
    while filled < count {
      let got = try callNegated {
        unsafe bytes.withUnsafeMutableBytes {
          unsafe cairn_pread_cached(descriptor, $0.baseAddress! + filled, count - filled, offset &+ UInt64(filled))
        }
      }
      if got == 0 { break }
      filled += Int(got)
    }
  } catch .wouldBlock {
    return .wouldBlock
  } catch .notSupported {
    return .unsupported
  }
  if filled < count { bytes.removeLast(count - filled) }
  return .cached(bytes)
}

/// Reads up to `count` bytes at `offset`, waiting for the device; fewer only at the end of the file.
package func readWaiting(_ descriptor: Int32, at offset: UInt64, count: Int) throws(Errno) -> [UInt8] {
  var failure: Errno?
  let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
    do throws(Errno) {
      while filled < count {
        let got = try call {
          unsafe pread(descriptor, buffer.baseAddress! + filled, count - filled, off_t(offset) + off_t(filled))
        }
        if got == 0 { return }
        filled += got
      }
    } catch {
      failure = error
    }
  }
  if let failure { throw failure }
  return bytes
}
