// Bytes on their way to one connection. The storage is reused from turn to turn, and given back when a large answer
// has passed through.

package struct OutputBuffer {
  /// A buffer that has grown beyond this is not kept.
  private static let keptBytesMax = 1 << 20

  /// Append here.
  package var bytes: [UInt8] = []
  private var sent = 0

  package init() {}

  package var pendingBytes: Int { bytes.count - sent }
  package var isEmpty: Bool { bytes.count == sent }

  /// Writes what the connection takes now. - Returns: Bytes taken.
  package mutating func write(to descriptor: borrowing Descriptor) throws(Errno) -> Int {
    guard !isEmpty else { return 0 }
    let count = try descriptor.write(bytes, from: sent)
    sent += count
    if isEmpty {
      clear()
    } else if sent > OutputBuffer.keptBytesMax && sent > bytes.count / 2 {
      bytes.removeSubrange(..<sent)
      sent = 0
    }
    return count
  }

  package mutating func clear() {
    sent = 0
    if bytes.capacity > OutputBuffer.keptBytesMax { bytes = [] } else { bytes.removeAll(keepingCapacity: true) }
  }
}
