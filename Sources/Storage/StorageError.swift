// What can go wrong with a disk, each case with what an operator needs to act on it.

package enum FileOperation: String, Sendable {
  case open, close, size, append, read, truncate, sync, syncDirectory, list, createDirectory, rename, link, unlink, lock
  case removeDirectory, measure
}

package enum StorageError: Error, Equatable, Sendable {
  /// The operating system refused. The store that saw it for a write or a sync is done for, unless `isRefusal`.
  case io(FileOperation, path: String, errno: Int32)
  /// Another process works on this directory.
  case locked(path: String)
  /// Bytes that were durable do not read back as they were written. `key` is what the damaged bytes themselves say, when
  /// they still look like a record: probably, not certainly, the key that was hit.
  case damaged(path: String, offset: UInt64, reason: String, key: [UInt8]? = nil)
  /// A file says it is of another kind, a newer format, or belongs elsewhere.
  case incompatible(path: String, reason: String)
  /// Something the manifest names is not there.
  case missing(path: String, reason: String)
  /// A store is not what it was: what it has promised, or what others know that it held, is not in it (rule IDENT).
  case regressed(path: String, reason: String)
}

// What a number means for the caller. Which operation met it matters as much: a sync that fails has lost bytes, whatever
// the reason is, and is never called again.
extension StorageError {
  private enum Number {
    static let tooManyFilesInSystem: Int32 = 23
    static let tooManyFiles: Int32 = 24
    static let noSpace: Int32 = 28
    static let readOnly: Int32 = 30
    static let quota: Int32 = 122
  }

  /// There is no room for what was to be written (ENOSPC, EDQUOT): nothing is lost, and it can be tried again.
  package var isOutOfSpace: Bool {
    switch self {
    case .io(let operation, _, Number.noSpace), .io(let operation, _, Number.quota): operation.mayLackSpace
    case .io, .locked, .damaged, .incompatible, .missing, .regressed: false
    }
  }

  /// The process or the system has too many files open (EMFILE, ENFILE): says nothing about any file.
  package var isOutOfFiles: Bool {
    switch self {
    case .io(let operation, _, Number.tooManyFiles), .io(let operation, _, Number.tooManyFilesInSystem):
      operation == .open || operation == .read
    case .io, .locked, .damaged, .incompatible, .missing, .regressed: false
    }
  }

  /// The operation was refused and has changed nothing.
  package var isRefusal: Bool { isOutOfSpace || isOutOfFiles }

  /// Bytes could not be read; nothing was written.
  var isFailedRead: Bool { if case .io(.read, _, _) = self { true } else { false } }

  /// No new file can be made here now; what is in open files is not concerned.
  var refusesNewFile: Bool {
    if case .io(.open, _, Number.readOnly) = self { return true }
    return isRefusal
  }
}

extension FileOperation {
  /// Whether the want of space leaves things as they were before. After a sync nobody knows what is on the device.
  fileprivate var mayLackSpace: Bool {
    switch self {
    case .open, .append, .createDirectory, .rename, .link, .unlink: true
    case .close, .size, .read, .truncate, .sync, .syncDirectory, .list, .lock, .measure, .removeDirectory: false
    }
  }
}

extension StorageError: CustomStringConvertible {
  /// One line for an operator: what, where, and what to do. A key stands in it byte by byte, because only the layers
  /// above know what it is made of: they say `text(naming:)`.
  package var description: String { text(naming: StorageError.bytesText) }

  /// The same line with a key as `name` shows it, up to `keyTextBytesMax`.
  package func text(naming name: ([UInt8]) -> String) -> String {
    switch self {
    case .io(let operation, let path, let errno):
      "cannot \(operation.rawValue) \(path): error \(errno)\(StorageError.advice(errno))"
    case .locked(let path):
      "\(path) is in use by another process; stop that one first, or give this node its own --data"
    case .damaged(let path, let offset, let reason, let key):
      "\(path) is damaged at byte \(offset): \(reason)"
        + (key.map { "; key hit, probably: " + StorageError.shortened(name($0)) } ?? "")
    case .incompatible(let path, let reason): "\(path): \(reason)"
    case .missing(let path, let reason): "\(path) is missing: \(reason)"
    case .regressed(let path, let reason): "\(path) has gone back to an earlier state: \(reason)"
    }
  }

  /// ENOENT.
  static let noSuchFile: Int32 = 2
  /// ENOSPC.
  static let noSpace: Int32 = 28
  /// EISDIR.
  static let isDirectory: Int32 = 21

  /// A longer key is cut in a line.
  package static let keyTextBytesMax = 200

  private static func shortened(_ text: String) -> String {
    if text.utf8.count <= keyTextBytesMax { return text }
    var end = text.startIndex
    var count = 0
    while true {
      let next = text.index(after: end)
      count += text[end..<next].utf8.count
      guard count <= keyTextBytesMax else { return text[..<end] + "…" }
      end = next
    }
  }

  /// Bytes as ASCII, all but the printable ones as `\xNN`.
  private static func bytesText(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".unicodeScalars)
    var text = String.UnicodeScalarView()
    for byte in bytes.prefix(keyTextBytesMax + 1) {
      if (0x20..<0x7F).contains(byte), byte != UInt8(ascii: "\\") {
        text.append(Unicode.Scalar(byte))
      } else {
        text.append(contentsOf: ["\\", "x", digits[Int(byte >> 4)], digits[Int(byte & 15)]])
      }
    }
    return String(text)
  }

  private static func advice(_ errno: Int32) -> String {
    switch errno {
    case 2: " (no such file or directory)"
    case 5: " (input/output error: check the device)"
    case 13: " (permission denied: check owner and mode)"
    case 17: " (already exists)"
    case 18: " (on another file system: hard links do not reach there)"
    case 20: " (not a directory)"
    case 23: " (too many open files in the system: raise fs.file-max)"
    case 24: " (too many open files: raise the limit)"
    case 28: " (no space left on the device: free some)"
    case 30: " (read-only file system: check the device, then mount it writable)"
    case 122: " (disk quota exceeded: raise it, or free some space)"
    default: ""
    }
  }
}
