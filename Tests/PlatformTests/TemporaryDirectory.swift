import Platform
import Primitives

/// A directory of its own for one test, below the one that tests run in; removed when the value goes away.
struct TemporaryDirectory: ~Copyable {
  let path: String

  init() throws(Errno) {
    let path = "\(Console.currentDirectory)/.build/test-directories/\(hexadecimal(try randomSeed()))"
    try FileTree.create(path)
    self.path = path
  }

  deinit { try? FileTree.remove(path) }
}
