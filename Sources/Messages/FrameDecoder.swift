import Primitives

// The receiving end of a peer connection: bytes in any pieces, messages out. The first damage is final, every later
// call throws the same error: nothing behind it can be trusted. Memory: at most one frame and one chunked message,
// given that all messages are taken out after each `receive`.

package struct FrameDecoder: Sendable {
  private var buffer: [UInt8] = []
  /// Bytes before this are done with.
  private var head = 0
  /// End of the checked frame whose messages are being read; equal to `head` when there is none.
  private var messagesEnd = 0
  /// A chunked message so far, and its stream.
  private var assembly: [UInt8] = []
  private var stream: UInt32?
  private var failure: FrameError?

  package init() {}

  /// Bytes held: received and not yet decoded, or part of a chunked message.
  package var bufferedBytes: Int { buffer.count - head + assembly.count }

  /// Takes what the connection brought.
  package mutating func receive(_ bytes: UnsafeRawBufferPointer) {
    guard failure == nil else { return }
    guard buffer.count - head + bytes.count <= FrameLimits.undecodedBytesMax else {
      fail(.overrun)
      return
    }
    compact()
    unsafe buffer.append(contentsOf: bytes)
  }

  /// The next whole message; nil when more bytes are needed.
  package mutating func next() throws(FrameError) -> PeerMessage? {
    if let failure { throw failure }
    do throws(FrameError) {
      while true {
        if head < messagesEnd { return try nextInFrame() }
        guard let length = try nextFrame() else { return nil }
        if let message = try open(length) { return message }
      }
    } catch {
      fail(error)
      throw error
    }
  }

  private mutating func fail(_ error: FrameError) {
    failure = error
    buffer = []
    assembly = []
    head = 0
    messagesEnd = 0
  }

  private mutating func compact() {
    if head == buffer.count {
      buffer.removeAll(keepingCapacity: true)
    } else if head > buffer.count / 2 {
      buffer.removeSubrange(..<head)
    } else {
      return
    }
    messagesEnd = max(0, messagesEnd - head)
    head = 0
  }

  /// Length of the next frame when all of it is here and whole.
  private func nextFrame() throws(FrameError) -> Int? {
    guard let length = buffer.littleEndian(UInt32.self, at: head) else { return nil }
    guard length > 0, length <= FrameLimits.frameBytesMax - FrameLayout.headerBytes else { throw .length(length) }
    let end = head + FrameLayout.headerBytes + Int(length)
    guard end <= buffer.count, let checksum = buffer.littleEndian(UInt32.self, at: head + 4) else { return nil }
    guard buffer.frameChecksum(from: head, to: end) == checksum else { throw .checksum }
    return Int(length)
  }

  /// Begins a checked frame; a message when it was the last chunk of one.
  private mutating func open(_ length: Int) throws(FrameError) -> PeerMessage? {
    let raw = buffer[head + FrameLayout.headerBytes]
    let end = head + FrameLayout.headerBytes + length
    head += FrameLayout.headerBytes + FrameLayout.kindBytes
    switch FrameKind(rawValue: raw) {
    case .messages:
      guard head < end else { throw .boundaries }
      messagesEnd = end
      return nil
    case .chunk:
      defer {
        head = end
        messagesEnd = end
      }
      return try takeChunk(to: end)
    case nil: throw .kind(raw)
    }
  }

  private mutating func nextInFrame() throws(FrameError) -> PeerMessage {
    guard let length = buffer.littleEndian(UInt32.self, at: head), Int(length) <= messagesEnd - head - 4 else {
      throw .boundaries
    }
    let start = head + 4
    head = start + Int(length)
    var reader = ByteReader(buffer, from: start, to: head)
    return try decode(&reader)
  }

  private mutating func takeChunk(to end: Int) throws(FrameError) -> PeerMessage? {
    let start = head + FrameLayout.chunkHeaderBytes
    guard start < end, let stream = buffer.littleEndian(UInt32.self, at: head), buffer[head + 4] <= 1,
      self.stream == nil || self.stream == stream
    else { throw .chunk }
    let isLast = buffer[head + 4] == 1
    guard assembly.count + end - start <= CodecLimits.messageBytesMax else { throw .messageTooLong }
    self.stream = stream
    assembly.append(contentsOf: buffer[start..<end])
    guard isLast else { return nil }
    var reader = ByteReader(assembly)
    assembly = []
    self.stream = nil
    return try decode(&reader)
  }

  private func decode(_ reader: inout ByteReader) throws(FrameError) -> PeerMessage {
    do throws(CodecError) {
      return try PeerMessage(decoding: &reader)
    } catch {
      throw .message(error)
    }
  }
}
