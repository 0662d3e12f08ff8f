import Platform
import Primitives

// The keys of an export, listed once into a file, and read from there: so that the listing need not wait for the values,
// that it is known how many there are, and that an export can go on where it stopped. Each key is `length u16 | bytes`,
// little-endian.

struct KeySpool: ~Copyable {
  static let suffix = ".partial.keys"
  private static let bufferBytesMax = 256 << 10

  let path: String
  private let file: OutputFile
  private var buffer: [UInt8] = []
  private(set) var keyCount = 0
  private(set) var byteCount = 0

  /// Creates the file, empty.
  init(path: String) throws(Failure) {
    self.path = path
    do throws(Errno) {
      file = try OutputFile(path: path, keeping: 0)
    } catch {
      throw KeySpool.failure(path, error)
    }
  }

  mutating func add(_ keys: ListedNamesPiece) throws(Failure) {
    for index in 0..<keys.count {
      let key = keys[index]
      buffer.appendLittleEndian(UInt16(key.count))
      buffer.append(contentsOf: key)
    }
    keyCount += keys.count
    if buffer.count >= KeySpool.bufferBytesMax { try write() }
  }

  /// All keys are in it: waits until they are on the disk.
  mutating func finish() throws(Failure) {
    try write()
    do throws(Errno) {
      try file.sync()
    } catch {
      throw KeySpool.failure(path, error)
    }
  }

  private mutating func write() throws(Failure) {
    let result = file.write(buffer)
    byteCount += result.written
    if let error = result.failure { throw KeySpool.failure(path, error) }
    buffer.removeAll(keepingCapacity: true)
  }

  private static func failure(_ path: String, _ error: Errno) -> Failure {
    Failure("cannot write the list of keys \(path): \(error)")
  }
}

/// Reads the keys of a spool, from any of them on.
struct KeySpoolReader: ~Copyable {
  let path: String
  private let file: InputFile
  /// Place of the next key in the file.
  private(set) var offset: Int
  private let end: Int
  private var bytes: [UInt8] = []
  private var head = 0
  private let buffer = ReadBuffer(byteCount: 256 << 10)

  /// - Parameters:
  ///   - offset: Where to begin.
  ///   - end: How long the file is.
  init(path: String, from offset: Int, to end: Int) throws(Failure) {
    self.path = path
    self.offset = offset
    self.end = end
    do throws(Errno) {
      let opened = try InputFile(path: path)
      guard opened.byteCount.map({ Int($0) }) == end, offset <= end else { throw Errno.noSuchFile }
      try opened.seek(to: offset)
      file = opened
    } catch {
      throw Failure("the list of keys \(path) is not as it was left; --restart begins anew")
    }
  }

  /// The next key; nil when all have been read.
  mutating func next() throws(Failure) -> [UInt8]? {
    guard offset < end else { return nil }
    while true {
      if let count = bytes.littleEndian(UInt16.self, at: head), bytes.count - head - 2 >= Int(count) {
        let start = head + 2
        head = start + Int(count)
        offset += 2 + Int(count)
        return Array(bytes[start..<head])
      }
      try fill()
    }
  }

  private mutating func fill() throws(Failure) {
    bytes.removeSubrange(..<head)
    head = 0
    var isEnd = false
    do throws(Errno) {
      isEnd = unsafe try buffer.read(from: file.descriptor) { unsafe bytes.append(contentsOf: $0) } == .end
    } catch {
      throw Failure("cannot read the list of keys \(path): \(error)")
    }
    if isEnd { throw Failure("the list of keys \(path) ends within a key; --restart begins anew") }
  }
}
