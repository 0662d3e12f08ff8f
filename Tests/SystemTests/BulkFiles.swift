import Platform
import Primitives
import Protocols

@testable import cairn

// Files for import and export in tests, and what is in them whatever their order.

/// A directory with the files of one test.
struct BulkFiles {
  let directory: ScratchDirectory

  init(_ name: String) throws { directory = try ScratchDirectory("files-of-bulk-" + name) }

  func path(_ name: String) -> String { "\(directory.path)/\(name)" }
  func has(_ name: String) -> Bool { FileTree.exists(path(name)) }
  func write(_ bytes: [UInt8], to name: String) throws { try FileTree.write(bytes, to: path(name)) }
  func bytes(_ name: String) throws -> [UInt8] { try FileTree.read(path(name), bytesMax: 256 << 20) }
  func text(_ name: String) throws -> String { String(decoding: try bytes(name), as: UTF8.self) }

  /// The records of a file, sorted; of CSV the header too.
  func records(_ name: String) throws -> [[UInt8]] {
    let bytes = try bytes(name)
    var splitter = RecordSplitter(
      name.hasSuffix(".csv") ? .rows(delimiter: Delimiter.comma, comments: false) : .lines, recordBytesMax: 1 << 20)
    unsafe bytes.withUnsafeBytes { unsafe splitter.receive($0) }
    var records: [[UInt8]] = []
    while let record = splitter.next() ?? splitter.finish() { records.append(Array(splitter.bytes[record.range])) }
    return records.sorted { $0.lexicographicallyPrecedes($1) }
  }

  /// A number in a checkpoint; nil while there is none.
  func checkpoint(_ name: String, _ member: String) -> Int? {
    guard let bytes = try? bytes(name), let json = try? JSON.parse(bytes) else { return nil }
    return json[member]?.integer
  }

  /// Keys and values with quotes, line ends, text and bytes, no two keys alike.
  static func objects(_ count: Int, seed: UInt64) -> [(key: [UInt8], value: [UInt8])] {
    var generator = SeededGenerator(seed: seed)
    let parts: [[UInt8]] = [
      [0x22], [0x0A], [0x0D, 0x0A], [0x2C], [0x00], [0xFF], [0xC3], [0x20], Array("é".utf8), Array("😀".utf8),
      Array("word".utf8), Array("\\".utf8), Array("%2F/?".utf8), [0x23],
    ]
    func text() -> [UInt8] { (0..<generator.below(9)).flatMap { _ in parts[generator.below(parts.count)] } }
    return (0..<count).map { number in (Array("\(number):".utf8) + text(), text()) }
  }
}
