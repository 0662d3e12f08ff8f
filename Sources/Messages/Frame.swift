import Primitives

// The frames of a peer connection: `length u32 | crc32c u32 | kind u8 | payload`. Length counts kind and payload; the
// checksum covers them and the length. A `messages` frame holds whole messages, each after its 32-bit length; a
// message too large for that travels in `chunk` frames, `stream u32 | last u8 | bytes`, between which other frames
// pass. One stream is on its way at a time. Nothing here knows what a message means.

package enum FrameLimits {
  /// A whole frame, header included.
  package static let frameBytesMax = 256 << 10
  /// Message bytes in one chunk: short enough that a ping never waits long behind one.
  package static let chunkBytesMax = 64 << 10
  /// Longer messages go in chunks.
  package static let smallMessageBytesMax = 64 << 10
  /// Bytes that a decoder holds without having been asked for messages.
  package static let undecodedBytesMax = CodecLimits.messageBytesMax
}

/// Why a connection's bytes are not frames: it must be closed.
package enum FrameError: Error, Equatable, Sendable {
  /// A length of nothing, or above `frameBytesMax`.
  case length(UInt32)
  case checksum
  case kind(UInt8)
  /// Message boundaries do not add up to the frame.
  case boundaries
  /// A chunk without bytes, of another stream than the one begun, or with unknown flags.
  case chunk
  /// A chunked message beyond `CodecLimits.messageBytesMax`.
  case messageTooLong
  /// More bytes were given than `undecodedBytesMax` without asking for messages.
  case overrun
  case message(CodecError)
}

enum FrameKind: UInt8 {
  case messages = 1
  case chunk = 2
}

enum FrameLayout {
  static let headerBytes = 8
  static let kindBytes = 1
  /// Stream and last flag of a chunk.
  static let chunkHeaderBytes = 5
}

extension [UInt8] {
  /// Leaves room for a frame's header and writes its kind; `sealFrame` completes it.
  mutating func openFrame(_ kind: FrameKind) {
    appendLittleEndian(UInt64(0))
    append(kind.rawValue)
  }

  /// Completes the frame that began at `start` and reaches to the end.
  mutating func sealFrame(from start: Int) {
    setLittleEndian(UInt32(count - start - FrameLayout.headerBytes), at: start)
    setLittleEndian(frameChecksum(from: start, to: count), at: start + 4)
  }

  /// Checksum of the frame in `start..<end`.
  func frameChecksum(from start: Int, to end: Int) -> UInt32 {
    let length = crc32c(self, start..<start + 4)
    return unsafe withUnsafeBytes { bytes in
      unsafe crc32c(
        UnsafeRawBufferPointer(rebasing: bytes[start + FrameLayout.headerBytes..<end]), continuing: length)
    }
  }
}
