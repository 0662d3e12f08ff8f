import Primitives
import Storage

// A simulated disk as a process sees it: shared by reference, so that what a process did to it before it died, in the
// middle of its start for example, is there for the next one.

final class Platter {
  var disk: SimulatedDisk
  init(_ disk: SimulatedDisk) { self.disk = disk }
}

struct MountedDisk: FileSystem {
  let platter: Platter

  mutating func open(_ path: String, _ mode: OpenMode) throws(StorageError) -> FileID {
    try platter.disk.open(path, mode)
  }

  mutating func close(_ file: FileID) { platter.disk.close(file) }

  mutating func size(of file: FileID) throws(StorageError) -> UInt64 { try platter.disk.size(of: file) }

  mutating func append(_ bytes: [UInt8], to file: FileID) throws(StorageError) {
    try platter.disk.append(bytes, to: file)
  }

  mutating func read(
    _ file: FileID, at offset: UInt64, count: Int, mayBlock: Bool
  ) throws(StorageError) -> ReadResult {
    try platter.disk.read(file, at: offset, count: count, mayBlock: mayBlock)
  }

  mutating func truncate(_ file: FileID, to size: UInt64) throws(StorageError) {
    try platter.disk.truncate(file, to: size)
  }

  mutating func sync(_ file: FileID) throws(StorageError) { try platter.disk.sync(file) }

  mutating func syncDirectory(_ path: String) throws(StorageError) { try platter.disk.syncDirectory(path) }

  mutating func list(_ directory: String) throws(StorageError) -> [String] { try platter.disk.list(directory) }

  mutating func exists(_ path: String) throws(StorageError) -> Bool { try platter.disk.exists(path) }

  mutating func createDirectory(_ path: String) throws(StorageError) { try platter.disk.createDirectory(path) }

  mutating func removeDirectory(_ path: String) throws(StorageError) { try platter.disk.removeDirectory(path) }

  mutating func rename(_ from: String, to: String) throws(StorageError) { try platter.disk.rename(from, to: to) }

  mutating func link(_ from: String, to: String) throws(StorageError) { try platter.disk.link(from, to: to) }

  mutating func unlink(_ path: String) throws(StorageError) { try platter.disk.unlink(path) }

  mutating func freeBytes(at path: String) throws(StorageError) -> UInt64 { try platter.disk.freeBytes(at: path) }

  mutating func lock(_ path: String) throws(StorageError) { try platter.disk.lock(path) }
}
