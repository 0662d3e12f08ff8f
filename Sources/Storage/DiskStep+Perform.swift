import Primitives

// The one place where disk steps are carried out: by the job thread on the real file system, by the simulator on its
// own, by recovery and tools inline. Each step is complete when `perform` returns.

extension DiskStep {
  /// Suffix of what `replace` and `writeHint` write before the rename.
  static let temporarySuffix = ".tmp"

  /// Carries the step out, blocking.
  package func perform<FS: FileSystem & ~Copyable>(on files: inout FS) throws(StorageError) {
    switch self {
    case .createDirectory(let path): try files.createDirectory(path)
    case .sync(let path):
      let file = try files.open(path, .append)
      defer { files.close(file) }
      try files.sync(file)
    case .syncDirectory(let path): try files.syncDirectory(path)
    case .replace(let path, let bytes):
      let file = try DiskStep.createTemporary(for: path, on: &files)
      try DiskStep.finish(file, becoming: path, on: &files) { (files: inout FS) throws(StorageError) in
        try files.append(bytes, to: file)
      }
    case .writeHint(let dataPath, let hintPath, let hash):
      do throws(StorageError) {
        try HintFile.write(of: dataPath, to: hintPath, hash: hash, on: &files)
      } catch {
        // Without a hint a start reads the data file: neither is a reason to stop.
        guard error.isRefusal || error.isFailedRead else { throw error }
        let temporary = hintPath + DiskStep.temporarySuffix
        if try files.exists(temporary) { try files.unlink(temporary) }
      }
    case .unlink(let path):
      if try files.exists(path) { try files.unlink(path) }
    case .link(let path, let name): try files.link(path, to: name)
    case .linkIfThere(let path, let name):
      if try files.exists(path) { try files.link(path, to: name) }
    case .rename(let path, let name): try files.rename(path, to: name)
    case .removeTree(let path): try DiskStep.removeTree(path, on: &files)
    }
  }

  private static func removeTree<FS: FileSystem & ~Copyable>(_ path: String, on files: inout FS) throws(StorageError) {
    do throws(StorageError) {
      try files.unlink(path)
    } catch {
      switch error {
      case .io(_, _, StorageError.noSuchFile): return
      case .io(_, _, StorageError.isDirectory):
        for name in try files.list(path) { try removeTree(path + "/" + name, on: &files) }
        try files.removeDirectory(path)
      default: throw error
      }
    }
  }

  /// A new empty file beside `path`, instead of any that a crash left there.
  static func createTemporary<FS: FileSystem & ~Copyable>(
    for path: String, on files: inout FS
  ) throws(StorageError) -> FileID {
    let temporary = path + temporarySuffix
    if try files.exists(temporary) { try files.unlink(temporary) }
    return try files.open(temporary, .create)
  }

  /// Fills the temporary file, makes it durable, and gives it its name durably.
  static func finish<FS: FileSystem & ~Copyable>(
    _ file: FileID, becoming path: String, on files: inout FS,
    filling fill: (inout FS) throws(StorageError) -> Void
  ) throws(StorageError) {
    do {
      defer { files.close(file) }
      try fill(&files)
      try files.sync(file)
    }
    try files.rename(path + temporarySuffix, to: path)
    try files.syncDirectory(directory(of: path))
  }

  private static func directory(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: 0x2F) else { return "." }
    return String(path.utf8[..<slash]) ?? "."
  }
}
