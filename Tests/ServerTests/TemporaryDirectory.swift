import Platform
import Primitives

/// A directory of its own for one test, removed when the value goes away.
struct TemporaryDirectory: ~Copyable {
  let path: String

  init() throws(Errno) {
    let path = "/tmp/cairn-test-\(hexadecimal(try randomSeed()))"
    try FileTree.create(path)
    self.path = path
  }

  deinit { try? FileTree.remove(path) }
}
