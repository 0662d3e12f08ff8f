import Causality
import Messages
import Primitives
import Storage
import Testing

@Suite struct StoreStatesCodecTests {
  private func reply(_ entries: [FeedEntry], after: UInt64 = 0, next: UInt64, head: UInt64) -> PeerMessage {
    let feed = StoreFeed(
      store: StoreID(partition: 1, replicas: 3), incarnation: .none, after: after, next: next, head: head,
      entries: entries)
    return PeerMessage(
      time: .zero,
      body: .storeStatesReply(
        StoreStatesReply(bootID: 1, yourBootID: 2, answers: 3, follows: 4, verdicts: [], feeds: [feed])))
  }

  private func entry(_ tsn: UInt64) -> FeedEntry {
    FeedEntry(tsn: tsn, key: ObjectKey(bucket: [1], key: [2])!.encoded, stamp: .zero)
  }

  @Test func aFeedBringsSoManyTombstonesAndNoMore() throws {
    let most = (1...UInt64(FeedLimits.entriesMax)).map(entry)
    let count = UInt64(most.count)
    let message = reply(most, next: count, head: count)
    #expect(try PeerMessage(decoding: message.encoded) == message)
    let more = reply(most + [entry(count + 1)], next: count + 1, head: count + 1)
    #expect(throws: CodecError.malformed("feed")) { try PeerMessage(decoding: more.encoded) }
  }

  @Test func positionsAscendAndStayWithinTheFeed() throws {
    for message in [
      reply([entry(5), entry(5)], next: 9, head: 9), reply([entry(5), entry(4)], next: 9, head: 9),
      reply([entry(5)], after: 5, next: 9, head: 9), reply([entry(5)], next: 4, head: 9),
      reply([], after: 6, next: 5, head: 9), reply([], next: 9, head: 8),
    ] {
      #expect(throws: CodecError.malformed("feed")) { try PeerMessage(decoding: message.encoded) }
    }
    let edges = reply([entry(6), entry(9)], after: 5, next: 9, head: 9)
    #expect(try PeerMessage(decoding: edges.encoded) == edges)
  }
}
