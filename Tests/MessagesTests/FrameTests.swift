import Causality
import Messages
import Primitives
import Storage
import Testing

@Suite struct FrameTests {
  @Test(arguments: 1...40 as ClosedRange<UInt64>) func messagesArriveWholeHoweverTheBytesAreCut(seed: UInt64) throws {
    var random = RandomMessages(seed: seed)
    var outbox = PeerOutbox(bytesMax: 1 << 30)
    var decoder = FrameDecoder()
    var sent: [PeerMessage] = []
    var received: [PeerMessage] = []
    for _ in 0..<30 {
      for _ in 0..<random.below(8) {
        random.valueBytesMax = random.below(12) == 0 ? 200_000 : 500
        let message = random.message(random.below(RandomMessages.cases))
        #expect(outbox.enqueue(message) == true)
        sent.append(message)
      }
      var bytes: [UInt8] = []
      outbox.drain(into: &bytes, atMost: random.below(300_000))
      try pass(bytes, to: &decoder, pieces: { 1 + random.below(50_000) }, into: &received)
    }
    try pass(drainAll(&outbox), to: &decoder, pieces: { 1 + random.below(50_000) }, into: &received)
    // Small messages overtake large ones, so only the order within each kind is kept.
    #expect(received.count == sent.count)
    #expect(received.filter(isSmall) == sent.filter(isSmall))
    #expect(received.filter { !isSmall($0) } == sent.filter { !isSmall($0) })
    #expect(decoder.bufferedBytes == 0 && outbox.isEmpty && outbox.byteCount == 0)
  }

  private func isSmall(_ message: PeerMessage) -> Bool {
    message.encoded.count <= FrameLimits.smallMessageBytesMax
  }

  @Test func acknowledgementsPassBetweenTheChunksOfALargeMessage() throws {
    var outbox = PeerOutbox(bytesMax: 1 << 30)
    var decoder = FrameDecoder()
    #expect(outbox.enqueue(value(bytes: 1_000_000)) == true)
    var received: [PeerMessage] = []
    for turn in 0..<5 as Range<UInt64> {
      let beat = ping(turn)
      #expect(outbox.enqueue(beat) == true)
      var bytes: [UInt8] = []
      outbox.drain(into: &bytes, atMost: 1)
      #expect(bytes.count < FrameLimits.chunkBytesMax + 200)
      try pass(bytes, to: &decoder, pieces: { 1 << 20 }, into: &received)
      #expect(received == [beat])
      received = []
    }
    try pass(drainAll(&outbox), to: &decoder, pieces: { 1 << 20 }, into: &received)
    #expect(received == [value(bytes: 1_000_000)])
  }

  @Test func noFrameIsLongerThanItsBound() {
    var outbox = PeerOutbox(bytesMax: 1 << 30)
    for count in [60_000, 64_000, 65_000, 65_535, 65_600, 1, 300_000] {
      for _ in 0..<7 { #expect(outbox.enqueue(value(bytes: count)) == true) }
    }
    let bytes = drainAll(&outbox)
    var offset = 0
    var frames = 0
    while let length = bytes.littleEndian(UInt32.self, at: offset) {
      #expect(8 + Int(length) <= FrameLimits.frameBytesMax)
      offset += 8 + Int(length)
      frames += 1
    }
    #expect(offset == bytes.count && frames > 7)
  }

  @Test func everyFlippedBitIsAnErrorAndNeverAnotherMessage() {
    var outbox = PeerOutbox(bytesMax: 1 << 20)
    #expect(outbox.enqueue(ping(1)) == true)
    #expect(outbox.enqueue(value(bytes: 20)) == true)
    let frame = drainAll(&outbox)
    // Bytes enough behind it that a lengthened frame is complete too.
    let good = frame + [UInt8](repeating: 0, count: FrameLimits.frameBytesMax)
    for bit in 0..<frame.count * 8 {
      var bytes = good
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      var decoder = FrameDecoder()
      feed(bytes[...], to: &decoder)
      #expect(throws: FrameError.self, "bit \(bit)") { try decoder.next() }
      // The first error is final.
      #expect(throws: FrameError.self) { try decoder.next() }
    }
  }

  @Test func damageIsNamed() {
    #expect(error(of: frame(1, [])) == .boundaries)
    #expect(error(of: frame(9, [1])) == .kind(9))
    #expect(error(of: frame(1, [5, 0, 0, 0, 1])) == .boundaries)
    #expect(error(of: frame(1, [1, 0, 0])) == .boundaries)
    #expect(error(of: frame(1, [1, 0, 0, 0, 77])) == .message(.unknown("message", 77)))
    #expect(error(of: frame(2, [1, 0, 0, 0, 0])) == .chunk)
    #expect(error(of: frame(2, [1, 0, 0, 0, 2, 7])) == .chunk)
    #expect(error(of: frame(2, [1, 0, 0, 0, 0, 7]) + frame(2, [2, 0, 0, 0, 0, 7])) == .chunk)
    #expect(error(of: [0, 0, 0, 0]) == .length(0))
    #expect(error(of: Array("GET / HTTP/1.1\r\n\r\n".utf8)) == .length(0x2054_4547))
  }

  @Test func theLongestFrameIsReadAndOneByteMoreIsNot() {
    let most = FrameLimits.frameBytesMax - 8
    #expect(error(of: frame(9, [UInt8](repeating: 0, count: most - 1))) == .kind(9))
    #expect(error(of: frame(9, [UInt8](repeating: 0, count: most))) == .length(UInt32(most + 1)))
  }

  @Test func aChunkedMessageBeyondItsBoundIsRefused() {
    var decoder = FrameDecoder()
    let chunk = frame(2, [1, 0, 0, 0, 0] + [UInt8](repeating: 7, count: 1 << 17))
    for _ in 0..<CodecLimits.messageBytesMax >> 17 {
      feed(chunk[...], to: &decoder)
      #expect(throws: Never.self) { try decoder.next() }
    }
    #expect(decoder.bufferedBytes <= CodecLimits.messageBytesMax)
    feed(frame(2, [1, 0, 0, 0, 0, 7])[...], to: &decoder)
    #expect(throws: FrameError.messageTooLong) { try decoder.next() }
    #expect(decoder.bufferedBytes == 0)
  }

  @Test func moreThanTheBoundWithoutAskingIsAnError() {
    var decoder = FrameDecoder()
    let piece = [UInt8](repeating: 1, count: FrameLimits.undecodedBytesMax / 64)
    for _ in 0..<64 { feed(piece[...], to: &decoder) }
    #expect(decoder.bufferedBytes == FrameLimits.undecodedBytesMax)
    feed([1], to: &decoder)
    #expect(throws: FrameError.overrun) { try decoder.next() }
    #expect(decoder.bufferedBytes == 0)
  }

  @Test(arguments: [100, 100_000]) func theOutboxTakesWhatFitsAndNothingMore(bytes: Int) {
    let message = value(bytes: bytes)
    var probe = PeerOutbox(bytesMax: .max)
    #expect(probe.enqueue(message) == true)
    let size = probe.byteCount
    var outbox = PeerOutbox(bytesMax: size)
    #expect(outbox.enqueue(message) == true)
    #expect(outbox.enqueue(ping(1)) == false)
    #expect(outbox.enqueue(message) == false)
    #expect(outbox.byteCount == size)
    // What would never fit goes alone, or it would never arrive.
    var tight = PeerOutbox(bytesMax: size - 1)
    #expect(tight.enqueue(message) == (bytes > FrameLimits.smallMessageBytesMax))
    #expect(tight.enqueue(message) == false)
    // What was refused left no trace.
    #expect(drainAll(&outbox) == drainAll(&probe))
    #expect(outbox.enqueue(message) == true)
  }

  @Test func aMessageThatNoPeerWouldTakeIsNotTaken() {
    var outbox = PeerOutbox(bytesMax: .max)
    let fixed = value(bytes: 0).encoded.count
    #expect(outbox.enqueue(value(bytes: CodecLimits.messageBytesMax - fixed + 1)) == false)
    #expect(outbox.enqueue(value(bytes: CodecLimits.messageBytesMax - fixed)) == true)
  }

  @Test func manyStoresTravelInChunks() throws {
    let state = StoreState(
      store: StoreID(partition: 1, replicas: 3), incarnation: .none, role: .active, isNew: false, recognizes: .none)
    let states = StoreStates(bootID: 1, yourBootID: 2, sequence: 1, states: [StoreState](repeating: state, count: 1770))
    let message = PeerMessage(time: .zero, body: .storeStates(states))
    var outbox = PeerOutbox(bytesMax: 1 << 20)
    #expect(outbox.enqueue(message) == true)
    var decoder = FrameDecoder()
    var received: [PeerMessage] = []
    try pass(drainAll(&outbox), to: &decoder, pieces: { 1000 }, into: &received)
    #expect(received == [message])
  }

  // MARK: -

  private func ping(_ sequence: UInt64) -> PeerMessage {
    PeerMessage(time: .zero, body: .ping(Ping(bootID: 1, sequence: sequence, suspects: [])))
  }

  private func value(bytes: Int) -> PeerMessage {
    let version = StoredVersion(stamp: .zero, isTombstone: false, value: [UInt8](repeating: 3, count: bytes))
    return PeerMessage(time: .zero, body: .readReply(PeerReadReply(operation: 1, outcome: .found(version))))
  }

  private func frame(_ kind: UInt8, _ payload: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendLittleEndian(UInt32(1 + payload.count))
    bytes.appendLittleEndian(crc32c(bytes + [kind] + payload))
    return bytes + [kind] + payload
  }

  private func error(of bytes: [UInt8]) -> FrameError? {
    var decoder = FrameDecoder()
    feed(bytes[...], to: &decoder)
    do throws(FrameError) {
      while try decoder.next() != nil {}
      return nil
    } catch {
      return error
    }
  }

  private func feed(_ bytes: ArraySlice<UInt8>, to decoder: inout FrameDecoder) {
    unsafe bytes.withUnsafeBytes { unsafe decoder.receive($0) }
  }

  private func drainAll(_ outbox: inout PeerOutbox) -> [UInt8] {
    var all: [UInt8] = []
    while !outbox.isEmpty { outbox.drain(into: &all, atMost: 100_000) }
    return all
  }

  private func pass(
    _ bytes: [UInt8], to decoder: inout FrameDecoder, pieces: () -> Int, into received: inout [PeerMessage]
  ) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let piece = rest.prefix(pieces())
      feed(piece, to: &decoder)
      rest = rest[piece.endIndex...]
      while let message = try decoder.next() { received.append(message) }
    }
  }
}
