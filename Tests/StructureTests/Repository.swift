import Platform

// The repository as text: the tests of this module read it and nothing else.

struct SourceFile {
  /// From the repository's root: `Sources/Storage/Engine.swift`.
  let path: String
  let text: String

  /// `Storage` of `Sources/Storage/Engine.swift`.
  var module: String { String(path.split(separator: "/")[1]) }
  var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
  /// Lines with what follows `//` removed: what the compiler sees, string contents aside.
  var codeLines: [String] {
    lines.map { line in
      guard let comment = line.firstRange(of: "//") else { return String(line) }
      return String(line[..<comment.lowerBound])
    }
  }
}

enum Repository {
  static let root: String = {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(3).joined(separator: "/")
  }()

  static func names(in directory: String) throws -> [String] { try FileTree.names(in: root + "/" + directory) }

  static func text(_ path: String) throws -> String {
    String(decoding: try FileTree.read(root + "/" + path, bytesMax: 8 << 20), as: UTF8.self)
  }

  static func exists(_ path: String) -> Bool { FileTree.exists(root + "/" + path) }

  /// All files below a directory whose name ends so.
  static func files(below directory: String, suffix: String) throws -> [SourceFile] {
    var files: [SourceFile] = []
    for name in try names(in: directory) where !name.hasPrefix(".") {
      let path = directory + "/" + name
      if name.hasSuffix(suffix) {
        files.append(SourceFile(path: path, text: try text(path)))
      } else if isDirectory(path) {
        files += try self.files(below: path, suffix: suffix)
      }
    }
    return files
  }

  static func isDirectory(_ path: String) -> Bool { (try? names(in: path)) != nil }
}
