package import Primitives

// The file system as Storage needs it: the capability that the node owns and hands `inout` to its stores. `Platform`
// implements it with system calls, the simulator with a disk whose seed decides what a crash loses.

/// An open file of one file system; never reused while that file system lives.
package struct FileID: Hashable, Comparable, Sendable {
  package let rawValue: UInt64
  @inlinable package init(_ rawValue: UInt64) { self.rawValue = rawValue }
  @inlinable package static func == (a: FileID, b: FileID) -> Bool { a.rawValue == b.rawValue }
  @inlinable package static func < (a: FileID, b: FileID) -> Bool { a.rawValue < b.rawValue }
}

/// How `FileSystem.open` treats a file that exists or does not. In every mode the file can be read.
package enum OpenMode: Sendable {
  /// The file must exist.
  case read
  /// The file must exist; appends go to its end.
  case append
  /// The file must not exist; it is created empty.
  case create
}

/// What a read brought.
package enum ReadResult: Sendable, Equatable {
  /// The bytes, fewer than asked for only at the end of the file.
  case bytes([UInt8])
  /// The bytes are not in memory; reading them would have waited for the device.
  case wouldBlock
}

/// Files and directories. Every call either does all it says or throws and changes nothing that a later call could
/// mistake for success. Nothing is durable before `sync` (file contents) and `syncDirectory` (names).
package protocol FileSystem: ~Copyable {
  mutating func open(_ path: String, _ mode: OpenMode) throws(StorageError) -> FileID
  mutating func close(_ file: FileID)
  /// Bytes in the file now.
  mutating func size(of file: FileID) throws(StorageError) -> UInt64
  /// Appends all of `bytes` with one call where the system can; a short write is completed or thrown.
  mutating func append(_ bytes: [UInt8], to file: FileID) throws(StorageError)
  /// Reads `count` bytes at `offset`. With `mayBlock` false the answer may be `wouldBlock`.
  mutating func read(_ file: FileID, at offset: UInt64, count: Int, mayBlock: Bool) throws(StorageError) -> ReadResult
  /// Cuts the file to `size` bytes.
  mutating func truncate(_ file: FileID, to size: UInt64) throws(StorageError)
  /// Returns when everything appended to the file before is durable. Never called again after it failed.
  mutating func sync(_ file: FileID) throws(StorageError)
  mutating func syncDirectory(_ path: String) throws(StorageError)
  /// Names in a directory, sorted. A missing directory throws `.io` with `ENOENT`.
  mutating func list(_ directory: String) throws(StorageError) -> [String]
  /// True when something is there under this name.
  mutating func exists(_ path: String) throws(StorageError) -> Bool
  /// Creates a directory; its parent exists. An existing directory is fine.
  mutating func createDirectory(_ path: String) throws(StorageError)
  /// Removes an empty directory.
  mutating func removeDirectory(_ path: String) throws(StorageError)
  /// Of a file, or of a directory with all in it. What stands under the new name gives way if it is a file.
  mutating func rename(_ from: String, to: String) throws(StorageError)
  /// Gives the file `from` a second name; throws `.io` with `EEXIST` when that is taken.
  mutating func link(_ from: String, to: String) throws(StorageError)
  /// Takes a name from a file; of a directory it throws `.io` with `EISDIR`.
  mutating func unlink(_ path: String) throws(StorageError)
  /// Bytes that this process may still write to the file system that `path` is on. A quota does not show here.
  mutating func freeBytes(at path: String) throws(StorageError) -> UInt64
  /// Locks `path` (created when missing) for this process; throws `.locked` when another holds it. Held until the
  /// file system goes away; it does not survive a crash.
  mutating func lock(_ path: String) throws(StorageError)
}

extension FileSystem where Self: ~Copyable {
  /// Appends all of `bytes` to a file of this length, or throws. Where there is no room, what was written of them is cut
  /// off again: the same bytes may be appended later. No other failure is undone, and none may be tried again.
  mutating func appendWhole(_ bytes: [UInt8], to file: FileID, at length: UInt64) throws(StorageError) {
    do throws(StorageError) {
      try append(bytes, to: file)
    } catch {
      if error.isOutOfSpace { try truncate(file, to: length) }
      throw error
    }
  }
}

/// Work for the disk that takes place off the loop, in order, each step complete before the next begins. A step that
/// fails ends the job. Nothing is retried, but for want of space or of open files, when the job is made anew later.
package enum DiskStep: Sendable, Equatable {
  case createDirectory(String)
  /// Makes what was appended to the file of this name durable.
  case sync(path: String)
  case syncDirectory(String)
  /// Atomically puts `bytes` under `path`: temporary file, sync, rename, sync of the directory.
  case replace(path: String, bytes: [UInt8])
  /// Reads the sealed data file and writes its hint file beside it, durably. A hint is an optimisation: reading a
  /// damaged data file leaves it unwritten without failing the job.
  case writeHint(dataPath: String, hintPath: String, hash: RingHash)
  /// A missing file is fine.
  case unlink(String)
  /// A second name for a file, which must be there.
  case link(String, to: String)
  /// A second name for a file if it is there.
  case linkIfThere(String, to: String)
  case rename(String, to: String)
  /// Removes a directory with all in it, or a file; links are removed, not followed. A missing one is fine.
  case removeTree(String)
}

/// Who waits for a job. Jobs of one lane are performed one after the other in the order they were asked for; the lanes
/// do not wait for each other.
package enum DiskLane: Int, Sendable, CaseIterable {
  /// Writes of clients wait: stamp leases.
  case urgent
  /// Nobody waits: checkpoints, hints; and what happens while nothing is served.
  case background
}

/// A sequence of disk steps with a name for its answer.
package struct DiskJob: Sendable, Equatable {
  package let id: JobID
  package let lane: DiskLane
  package let steps: [DiskStep]
  package init(id: JobID, lane: DiskLane = .background, steps: [DiskStep]) {
    self.id = id
    self.lane = lane
    self.steps = steps
  }
}

package struct JobID: Hashable, Comparable, Sendable {
  package let rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
  package static func < (a: JobID, b: JobID) -> Bool { a.rawValue < b.rawValue }
}
