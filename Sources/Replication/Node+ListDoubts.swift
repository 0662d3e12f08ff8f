import Messages
import Primitives
import Storage

// Rule READ in listings (Docs/DeleteProtocol.md). The pages of a partition's owners are of different moments: one owner may
// have told a value before it had the tombstone, and another one have purged that tombstone before it was asked. So a key
// that an owner lacks, at or below that owner's floor, is not told before a read of it, by as many owners as the listing
// asks, has found it: which asks again whom a read asks again. Where the read fails, the listing does.

/// Reads that listings wait for.
struct ListDoubts: Sendable {
  /// By the session under which a key is read inside the node, the listing.
  var asked: [UInt64: UInt64] = [:]
  /// What came of them, until the listing goes on.
  var answers: [UInt64: ClientResponse] = [:]

  /// Keys that all listings of the node read at once: whole values pass for it.
  static let askedMax = 32

  var isEmpty: Bool { asked.isEmpty }
}

extension Node where Disk: ~Copyable {
  /// Reads the doubtful keys of a partition, and tells those that are there. - Returns: Whether one is settled.
  mutating func readDoubts(_ lane: Int, of list: inout ListOperation, at now: Moment) -> Bool {
    for index in list.lanes[lane].doubts.indices where list.lanes[lane].doubts[index].session == nil {
      // What clients ask for themselves comes first; the listing is looked at again soon.
      guard listDoubts.asked.count < ListDoubts.askedMax, clientOperations < options.operationsMax else { break }
      guard let key = ObjectKey(encoded: list.lanes[lane].doubts[index].key) else {
        list.failure = .damaged(
          detail: "an owner of partition \(list.lanes[lane].store.partition) sent bytes that are no key")
        return false
      }
      let session = quarantined.newSession()
      list.lanes[lane].doubts[index].session = session.rawValue
      listDoubts.asked[session.rawValue] = list.number
      counters.revalidatedReads += 1
      var request = GetRequest(key: key)
      request.r = .count(list.r)
      beginGet(request, session: session, at: now)
    }
    return settleDoubts(lane, of: &list)
  }

  private mutating func settleDoubts(_ lane: Int, of list: inout ListOperation) -> Bool {
    let count = list.lanes[lane].doubts.count
    for doubt in list.lanes[lane].doubts {
      guard let session = doubt.session, let answer = listDoubts.answers.removeValue(forKey: session) else { continue }
      listDoubts.asked[session] = nil
      list.lanes[lane].doubts.removeAll { $0.session == session }
      switch answer {
      case .object: list.tell(doubt.key, 0..<doubt.key.count, of: lane)
      case .notFound, .deleted, .stored: break
      case .failed(let failure): list.failure = list.failure ?? failure
      }
    }
    return list.lanes[lane].doubts.count < count
  }

  /// Takes the answer to a read of this file's. - Returns: False when the answer is for somebody else.
  mutating func takeDoubt(_ response: ClientResponse, _ session: SessionID) -> Bool {
    guard listDoubts.asked[session.rawValue] != nil else { return false }
    listDoubts.answers[session.rawValue] = response
    return true
  }

  /// Goes on with listings whose keys were read; answers to one that is over are nobody's.
  mutating func continueDoubts(at now: Moment) {
    for session in listDoubts.answers.keys.sorted() {
      guard let number = listDoubts.asked[session] else { continue }
      if let index = lists.firstIndex(where: { $0.number == number }) {
        withList(index, at: now) { list, node in node.advance(&list, at: now) }
      }
      // It was settled then, unless the listing had ended.
      listDoubts.asked[session] = nil
      listDoubts.answers[session] = nil
    }
  }
}
