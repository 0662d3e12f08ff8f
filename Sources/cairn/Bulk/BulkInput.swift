import Platform
import Primitives

// The bytes that are imported: a file or a pipe, read from front to back, with what is needed to know it again. A pipe
// cannot be gone back in: what was imported of it before is read and thrown away.

/// A stretch of bytes and its checksum.
struct Fingerprint: Equatable, Sendable {
  let offset: Int
  let byteCount: Int
  let checksum: UInt32
}

struct BulkInput: ~Copyable {
  /// Of the beginning so many bytes are looked at to know the input again.
  static let beginningBytesMax = 64 << 10
  static let readBytesMax = 256 << 10

  let path: String
  let file: InputFile
  /// Bytes read so far, the skipped ones included.
  private(set) var offset = 0
  private(set) var isEnded = false
  private var beginning: [UInt8] = []
  private let buffer = ReadBuffer(byteCount: BulkInput.readBytesMax)

  var isPipe: Bool { file.byteCount == nil }
  var byteCount: Int? { file.byteCount.map { Int($0) } }
  /// For messages.
  var name: String { path == "-" ? "standard input" : path }

  init(path: String) throws(Failure) {
    self.path = path
    do throws(Errno) {
      file = try path == "-" ? InputFile.standardInput() : InputFile(path: path)
    } catch {
      throw Failure("cannot read \(path == "-" ? "standard input" : path): \(error)")
    }
  }

  /// The beginning, as far as it was read.
  var beginningFingerprint: Fingerprint {
    Fingerprint(offset: 0, byteCount: beginning.count, checksum: crc32c(beginning))
  }

  /// Shows `body` the next bytes. - Returns: false when there are none now; `isEnded` says whether there will be.
  mutating func read(_ body: (UnsafeRawBufferPointer) -> Void) throws(Failure) -> Bool {
    guard !isEnded else { return false }
    var start: [UInt8] = []
    let missing = BulkInput.beginningBytesMax - beginning.count
    do throws(Errno) {
      let received = unsafe try buffer.read(from: file.descriptor) { bytes in
        if missing > 0 { unsafe start.append(contentsOf: bytes.prefix(missing)) }
        unsafe body(bytes)
      }
      switch received {
      case .bytes(let count):
        beginning += start
        offset += count
        return true
      case .wouldBlock: return false
      case .end:
        isEnded = true
        return false
      }
    } catch {
      throw Failure("cannot read \(name) at byte \(offset): \(error)")
    }
  }

  // MARK: Going on

  /// Goes to the place where an import stopped. The beginning, and the last bytes before that place, must be those that
  /// were there then. What comes behind the place in the buffer that was read last is shown to `body`.
  mutating func skip(
    to target: Int, beginning expected: Fingerprint, last: Fingerprint?, _ body: (UnsafeRawBufferPointer) -> Void
  ) throws(Failure) {
    var check = SkipCheck(target: target, last: last)
    if !isPipe {
      while beginning.count < expected.byteCount, unsafe try read({ _ in }) {}
      try verify(expected)
      check.start(at: last?.offset ?? target)
      try seek(to: last?.offset ?? target)
    }
    var rest: [UInt8] = []
    while offset < target {
      let before = offset
      let gotSome = unsafe try read { bytes in
        let used = min(bytes.count, target - before)
        unsafe check.take(UnsafeRawBufferPointer(rebasing: bytes[..<used]))
        unsafe rest.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[used...]))
      }
      if !gotSome && isEnded {
        throw Failure(
          "\(name) ends at byte \(offset), and byte \(target) of it was imported already: it is another input")
      }
    }
    if isPipe { try verify(expected) }
    guard check.holds else { throw other("the bytes before byte \(target) are not those that were imported") }
    unsafe rest.withUnsafeBytes { unsafe body($0) }
  }

  private func verify(_ expected: Fingerprint) throws(Failure) {
    let found = Fingerprint(
      offset: 0, byteCount: min(beginning.count, expected.byteCount),
      checksum: crc32c(Array(beginning.prefix(expected.byteCount))))
    guard found == expected else { throw other("it does not begin as it did") }
  }

  func other(_ what: String) -> Failure {
    Failure("\(name) is not the input that was imported: \(what); --restart begins anew")
  }

  private mutating func seek(to target: Int) throws(Failure) {
    do throws(Errno) {
      try file.seek(to: target)
    } catch {
      throw Failure("cannot go to byte \(target) of \(name): \(error)")
    }
    offset = target
    isEnded = false
  }
}

/// Compares a stretch of bytes that pass by with its checksum.
private struct SkipCheck {
  private let last: Fingerprint?
  private var offset = 0
  private var kept: [UInt8] = []

  init(target: Int, last: Fingerprint?) { self.last = last }

  mutating func start(at offset: Int) { self.offset = offset }

  mutating func take(_ bytes: UnsafeRawBufferPointer) {
    if let last {
      let from = max(last.offset, offset)
      let to = min(last.offset + last.byteCount, offset + bytes.count)
      if from < to {
        unsafe kept.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[from - offset..<to - offset]))
      }
    }
    offset += bytes.count
  }

  var holds: Bool { last.map { crc32c(kept) == $0.checksum && kept.count == $0.byteCount } ?? true }
}
