import Client
import Primitives

// Requests of a load as bytes: what repeats is made once, and only the key's digits differ.

struct BenchEncoder: Sendable {
  /// By `BenchOperation.rawValue`: what stands before the key and behind it.
  private let heads: [[UInt8]]
  private let tails: [[UInt8]]

  static let keyDigits = 16
  private static let valueSeedSalt: UInt64 = 0x76_616C_7565

  /// - Parameter bucket: As it was typed; it is escaped for the path here.
  init(bucket: String, queries: [String], valueByteCount: Int, seed: UInt64) {
    let path = "/buckets/\(percentEncoded(bucket.utf8))/keys/"
    heads = ["GET", "PUT", "DELETE"].map { Array("\($0) \(path)".utf8) }
    let value = BenchEncoder.value(byteCount: valueByteCount, seed: seed)
    let host = "HTTP/1.1\r\nHost: cairn\r\n"
    let content = "Content-Type: application/octet-stream\r\nContent-Length: \(valueByteCount)\r\n\r\n"
    tails = BenchOperation.allCases.map { operation in
      let query = queries[Int(operation.rawValue)]
      let tail = "\(query) \(host)" + (operation == .put ? content : "\r\n")
      return Array(tail.utf8) + (operation == .put ? value : [])
    }
  }

  /// Appends the request about key number `key`.
  func append(_ operation: BenchOperation, key: Int, to bytes: inout [UInt8]) {
    bytes.append(contentsOf: heads[Int(operation.rawValue)])
    let start = bytes.count
    for _ in 0..<BenchEncoder.keyDigits { bytes.append(UInt8(ascii: "0")) }
    var rest = UInt64(key)
    var place = start + BenchEncoder.keyDigits
    while rest > 0 {
      place -= 1
      bytes[place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    }
    bytes.append(contentsOf: tails[Int(operation.rawValue)])
  }

  /// Letters, the same for every key: a store does not look at them.
  private static func value(byteCount: Int, seed: UInt64) -> [UInt8] {
    var generator = SeededGenerator(seed: seed ^ valueSeedSalt)
    return (0..<byteCount).map { _ in UInt8(ascii: "a") + UInt8(truncatingIfNeeded: generator.below(26)) }
  }
}
