import Client
import Primitives
import Protocols

// Requests of a load as bytes: what repeats is made once, and only the key's digits differ.

struct BenchEncoder: Sendable {
  /// By `BenchOperation.rawValue`: what stands before the key and behind it.
  private let heads: [[UInt8]]
  private let tails: [[UInt8]]

  init(_ options: BenchOptions) {
    switch options.wire {
    case .http:
      self.init(
        bucket: options.bucket, queries: options.queries, valueByteCount: options.valueByteCount, seed: options.seed)
    case .pb:
      self.init(
        bucket: options.bucket, quorums: options.quorums, valueByteCount: options.valueByteCount, seed: options.seed)
    }
  }

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

  /// The same in Protocol Buffers.
  init(bucket: String, quorums: BenchQuorums, valueByteCount: Int, seed: UInt64) {
    let value = BenchEncoder.value(byteCount: valueByteCount, seed: seed)
    let (r, w, dw) = (quorums.number("r"), quorums.number("w"), quorums.number("dw"))
    let name = Array(bucket.utf8)
    func frame(_ operation: BenchOperation, _ digit: UInt8) -> [UInt8] {
      let key = [UInt8](repeating: digit, count: BenchEncoder.keyDigits)
      switch operation {
      case .get: return PBRequests.get(bucket: name, key: key, r: r)
      case .put: return PBRequests.put(bucket: name, key: key, value: value, w: w, dw: dw)
      case .delete: return PBRequests.delete(bucket: name, key: key, w: w, dw: dw)
      }
    }
    // The key is where the frames of two keys differ.
    let frames = BenchOperation.allCases.map { (frame($0, UInt8(ascii: "0")), frame($0, UInt8(ascii: "1"))) }
    let places = frames.map { zip($0.0, $0.1).prefix { $0 == $1 }.count }
    heads = zip(frames, places).map { Array($0.0.prefix($1)) }
    tails = zip(frames, places).map { Array($0.0.dropFirst($1 + BenchEncoder.keyDigits)) }
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
