import Causality
import Cluster
import Messages
import Primitives
import Storage

// What "absent" means for the other answers of a read (rules READ and READ WAIT, Docs/DeleteProtocol.md). An owner that lacks the
// key says its floor with it: what it lacks it may have purged. So a version that is not above that floor may be an old
// copy. A hint is one, as far as anybody knows, and does not count. An owner that holds such a version said so perhaps
// before the purge: it is asked once more, after the other has answered, and its second answer is taken; and if its
// store is not validated with the one that lacks the key it does not count at all. What does not count is waited for
// elsewhere, or the read fails.

extension Node where Disk: ~Copyable {
  /// Withdraws answers, or asks for them once more, as far as the owners that lack the key say so.
  mutating func revalidate(_ operation: UInt64, _ get: GetOperation, at now: Moment) {
    guard get.seen.contains(where: { $0.isOwner && $0.stamp == nil && $0.floor > .zero }) else { return }
    var again: [NodeID] = []
    var isWithdrawn = false
    for answer in get.seen {
      guard let stamp = answer.stamp else { continue }
      let absent = get.seen.filter { $0.isOwner && $0.stamp == nil && $0.floor >= stamp }
      guard !absent.isEmpty else { continue }
      let isValidated = absent.allSatisfy { other in
        get.owners.firstIndex(of: other.node).map { answer.validatedWith & (1 << UInt16($0)) != 0 } ?? false
      }
      if !answer.isOwner || !isValidated {
        guard options.rules.hold(.readFloor) else { continue }
        withdraw(get, answer.node, answer.isOwner ? .refused(.unvalidated) : .purged)
        isWithdrawn = true
      } else if options.rules.hold(.reAsk), !answer.isTombstone,
        absent.contains(where: { $0.arrival > get.arrivals(whenAsking: answer.node) })
      {
        again.append(answer.node)
      }
    }
    dropUntold(get)
    for node in again { askAgain(operation, get, node, at: now) }
    if isWithdrawn, gets[operation] != nil { askReplicas(operation, get, at: now) }
  }

  private mutating func withdraw(_ get: GetOperation, _ node: NodeID, _ obstacle: Obstacle) {
    counters.withdrawnReads += 1
    get.answers.withdraw(node)
    get.primaries.withdraw(node)
    get.seen.removeAll { $0.node == node }
    if get.valueAsked == node { get.valueAsked = nil }
    get.obstacles.append((node, obstacle))
  }

  private mutating func askAgain(_ operation: UInt64, _ get: GetOperation, _ node: NodeID, at now: Moment) {
    guard gets[operation] != nil else { return }
    counters.revalidatedReads += get.isRevalidated ? 0 : 1
    get.isRevalidated = true
    get.answers.reopen(node)
    get.primaries.reopen(node)
    get.seen.removeAll { $0.node == node }
    dropUntold(get)
    get.noteAsked(node)
    guard node != own.id else { return readOwnCopy(operation, warm: nil, at: now) }
    let number = newOperation(.secondRead)
    secondReads[number] = operation
    get.second.append((node, number))
    get.valueAsked = get.valueAsked ?? node
    let read = PeerRead(.value, operation: number, store: get.store, configID: get.configID, key: get.key)
    send(.read(read), to: node)
  }

  mutating func receiveSecondRead(_ reply: PeerReadReply, from node: NodeID, at now: Moment) {
    guard let operation = secondReads[reply.operation], let get = gets[operation],
      get.second.contains(where: { $0.node == node && $0.number == reply.operation })
    else { return }
    forgetSecond(get, node)
    getAnswered(operation, node, reply.outcome, validatedWith: reply.validatedWith, at: now)
  }

  /// The node is not waited for any longer.
  mutating func forgetSecond(_ get: GetOperation, _ node: NodeID) {
    for second in get.second where second.node == node { secondReads[second.number] = nil }
    get.second.removeAll { $0.node == node }
  }

  /// The bytes of this node's own copy could not be read.
  mutating func ownCopyRefused(_ operation: UInt64, _ refusal: Refusal, at now: Moment) {
    getAnswered(operation, own.id, .refused(refusal), validatedWith: 0, at: now)
  }
}
