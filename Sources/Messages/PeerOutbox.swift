import Primitives

// What waits to be sent to one peer, as bytes. Messages are encoded when they are enqueued; small ones collect in
// frames, large ones wait in a queue of their own and leave in chunks behind the small ones, so that pings and
// acknowledgements overtake them. Invariant: `byteCount <= bytesMax`, counting what is not drained yet; but an empty
// outbox takes any message that a peer would take, because a message that never fits would never arrive.

package struct PeerOutbox: Sendable {
  private struct Large {
    let stream: UInt32
    let bytes: [UInt8]
    var sent = 0
  }

  package let bytesMax: Int
  /// Frames of small messages, the last one possibly still open; `head` is how much of them was drained.
  private var small: [UInt8] = []
  private var head = 0
  private var openStart: Int?
  private var large: [Large] = []
  private var largeHead = 0
  private var largeBytes = 0
  private var nextStream: UInt32 = 1

  package init(bytesMax: Int) { self.bytesMax = bytesMax }

  package var isEmpty: Bool { small.count == head && largeBytes == 0 }

  /// Bytes waiting, frame headers of small messages included.
  package var byteCount: Int { small.count - head + largeBytes }

  /// Encodes and keeps the message; false, and no change, when that would pass `bytesMax` or no peer would take it.
  package mutating func enqueue(_ message: PeerMessage) -> Bool {
    if message.longFieldBytes > FrameLimits.smallMessageBytesMax {
      guard isEmpty || byteCount + message.longFieldBytes <= bytesMax else { return false }
      var bytes: [UInt8] = []
      bytes.reserveCapacity(message.longFieldBytes + 128)
      message.encode(into: &bytes)
      return enqueueLarge(bytes)
    }
    return enqueueSmall(message)
  }

  private mutating func enqueueSmall(_ message: PeerMessage) -> Bool {
    let before = small.count
    let openBefore = openStart
    if openStart == nil { beginFrame() }
    let lengthAt = small.count
    small.appendLittleEndian(UInt32(0))
    message.encode(into: &small)
    let length = small.count - lengthAt - 4
    if length > FrameLimits.smallMessageBytesMax {
      let bytes = [UInt8](small[(lengthAt + 4)...])
      undo(to: before, open: openBefore)
      return enqueueLarge(bytes)
    }
    guard byteCount <= bytesMax else {
      undo(to: before, open: openBefore)
      return false
    }
    small.setLittleEndian(UInt32(length), at: lengthAt)
    if let start = openStart, small.count - start > FrameLimits.frameBytesMax - FrameLimits.smallMessageBytesMax - 4 {
      small.sealFrame(from: start)
      openStart = nil
    }
    return true
  }

  private mutating func enqueueLarge(_ bytes: [UInt8]) -> Bool {
    guard bytes.count <= CodecLimits.messageBytesMax, isEmpty || byteCount + bytes.count <= bytesMax else {
      return false
    }
    large.append(Large(stream: nextStream, bytes: bytes))
    largeBytes += bytes.count
    nextStream &+= 1
    return true
  }

  private mutating func beginFrame() {
    openStart = small.count
    small.openFrame(.messages)
  }

  private mutating func undo(to count: Int, open: Int?) {
    small.removeLast(small.count - count)
    openStart = open
  }

  /// Appends whole frames: first those of small messages, then chunks of large ones, as many as fit into `atMost`
  /// bytes, but at least one of each kind that waits.
  package mutating func drain(into bytes: inout [UInt8], atMost: Int) {
    let start = bytes.count
    drainSmall(into: &bytes, atMost: atMost)
    guard largeBytes > 0 else { return }
    repeat {
      drainChunk(into: &bytes)
    } while largeBytes > 0
      && bytes.count - start + FrameLayout.headerBytes + FrameLayout.kindBytes + FrameLayout.chunkHeaderBytes
        + FrameLimits.chunkBytesMax <= atMost
  }

  private mutating func drainSmall(into bytes: inout [UInt8], atMost: Int) {
    guard small.count > head else { return }
    if let start = openStart {
      small.sealFrame(from: start)
      openStart = nil
    }
    if head == 0, bytes.isEmpty, small.count <= atMost {
      swap(&bytes, &small)
      return
    }
    var end = head
    repeat {
      end += smallFrameBytes(at: end)
    } while end < small.count
      && end - head + smallFrameBytes(at: end) <= atMost
    bytes.append(contentsOf: small[head..<end])
    head = end
    compact()
  }

  private func smallFrameBytes(at offset: Int) -> Int {
    FrameLayout.headerBytes + Int(small.littleEndian(UInt32.self, at: offset) ?? 0)
  }

  private mutating func compact() {
    if head == small.count {
      small.removeAll(keepingCapacity: small.capacity <= FrameLimits.frameBytesMax)
      head = 0
    } else if head > small.count / 2 {
      small.removeSubrange(..<head)
      head = 0
    }
  }

  private mutating func drainChunk(into bytes: inout [UInt8]) {
    let sent = large[largeHead].sent
    let count = min(FrameLimits.chunkBytesMax, large[largeHead].bytes.count - sent)
    let isLast = sent + count == large[largeHead].bytes.count
    let start = bytes.count
    bytes.openFrame(.chunk)
    bytes.appendLittleEndian(large[largeHead].stream)
    bytes.append(isLast ? 1 : 0)
    bytes.append(contentsOf: large[largeHead].bytes[sent..<sent + count])
    bytes.sealFrame(from: start)
    large[largeHead].sent += count
    largeBytes -= count
    if isLast { dropFirstLarge() }
  }

  private mutating func dropFirstLarge() {
    large[largeHead] = Large(stream: 0, bytes: [])
    largeHead += 1
    if largeHead == large.count {
      large.removeAll(keepingCapacity: true)
      largeHead = 0
    } else if largeHead > large.count / 2 {
      large.removeSubrange(..<largeHead)
      largeHead = 0
    }
  }
}
