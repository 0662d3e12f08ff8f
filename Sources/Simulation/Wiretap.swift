import Causality
import Messages
import Primitives
import Storage

// Reads along on every wire, so that the checker sees each version that leaves a node and not only what clients are
// told: pushes name their key, an answer to a read is matched with its question.

struct Wiretap {
  private struct Question: Hashable {
    let asker: Int
    let operation: UInt64
  }

  /// A hint that a coordinator has asked somebody to keep, as its answer names it.
  private struct Request: Hashable {
    let asker: Int
    let operation: UInt64
    let stamp: Stamp
    let keeper: Int
  }

  let keys: [ObjectKey]
  private var asked: [Question: Int] = [:]
  /// By stamp, as bits: nodes that were asked to keep the write as a hint; those of them that say they do.
  private var askedToKeep: [Stamp: UInt64] = [:]
  private var standIns: [Stamp: UInt64] = [:]
  private var hints: [Request: (owner: Int, key: Int)] = [:]
  private(set) var ledger: HintLedger
  /// What a node has just said that it keeps for another one.
  private var lastKept: (keeper: Int, owner: Int, key: Int)?
  /// Keys of all pushes to owners.
  private var pushed: [Question: Int] = [:]
  /// What has passed since the count began, and what of it all told.
  var exchanges = ExchangeTally()
  private var dismissed: Set<Stamp> = []
  /// Hints on their way to their owners.
  private var handoffs: [Question: (key: Int, stamp: Stamp)] = [:]

  init(keys: [ObjectKey], nodes: Int, losesUnsyncedWrites: Bool) {
    self.keys = keys
    ledger = HintLedger(nodes: nodes, keys: keys.count, wantsSynced: losesUnsyncedWrites)
  }

  /// Nodes that were not owners and count toward the quorums of this write.
  func standIns(of stamp: Stamp) -> Int { standIns[stamp]?.nonzeroBitCount ?? 0 }

  mutating func takeKept() -> (keeper: Int, owner: Int, key: Int)? {
    defer { lastKept = nil }
    return lastKept
  }

  /// The hint that was sent with this push, when its owner answers that it has it or something newer, or that no owner
  /// has it: then it is an old copy of what was deleted, or the owner keeps it apart.
  func handedOver(_ reply: PushReply, to asker: Int) -> (key: Int, stamp: Stamp)? {
    switch reply.outcome {
    case .applied, .haveNewer, .handled: handoffs[Question(asker: asker, operation: reply.operation)]
    case .stale, .retry, .refused: nil
    }
  }

  /// The hint that was sent with this push.
  func handoff(_ reply: PushReply, to asker: Int) -> (key: Int, stamp: Stamp)? {
    handoffs[Question(asker: asker, operation: reply.operation)]
  }

  /// Whether the owner has said of a hint with this stamp that nobody has it.
  func isDismissed(_ stamp: Stamp) -> Bool { dismissed.contains(stamp) }

  /// The key of which a node says what its store holds, or that it has taken a version of it.
  func keyAnswered(_ message: PeerMessage, to asker: Int) -> Int? {
    switch message.body {
    case .readReply(let reply):
      if case .refused = reply.outcome { return nil }
      return asked[Question(asker: asker, operation: reply.operation)]
    case .pushReply(let reply):
      switch reply.outcome {
      case .applied, .haveNewer: return pushed[Question(asker: asker, operation: reply.operation)]
      case .stale, .handled, .retry, .refused: return nil
      }
    default: return nil
    }
  }

  /// Records that a node sends because it was asked for all that its store has, or for its tombstones.
  func pulled(_ message: PeerMessage) -> [(key: Int, version: StoredVersion)] {
    switch message.body {
    case .pullReply(let reply):
      guard case .page(let page) = reply.outcome else { return [] }
      return page.records.compactMap { record in key(record.key).map { ($0, record.version) } }
    case .storeStatesReply(let reply):
      return reply.feeds.flatMap(\.entries).compactMap { entry in
        key(entry.key).map { ($0, StoredVersion(stamp: entry.stamp, isTombstone: true, value: [])) }
      }
    default: return []
    }
  }

  private func key(_ encoded: [UInt8]) -> Int? { keys.firstIndex { $0.encoded == encoded } }

  /// The versions in a message that node `sender` sends. Told before the network decides whether it arrives.
  mutating func listen(_ message: PeerMessage, from sender: Int, to addressee: Int) -> (
    key: Int, version: StoredVersion
  )? {
    exchanges.count(message.body)
    switch message.body {
    case .push(let push):
      let key = keys.firstIndex(of: push.key)
      let isHint = if case .hint = push.kind { true } else { false }
      if !isHint { pushed[Question(asker: sender, operation: push.operation)] = key }
      if case .hint(let owner) = push.kind {
        askedToKeep[push.version.stamp, default: 0] |= 1 << UInt64(addressee)
        let request = Request(
          asker: sender, operation: push.operation, stamp: push.version.stamp, keeper: addressee)
        if let key { hints[request] = (Int(owner.rawValue) - 1, key) }
      }
      if push.kind == .handoff, let key {
        handoffs[Question(asker: sender, operation: push.operation)] = (key, push.version.stamp)
      }
      return key.map { ($0, push.version) }
    case .read(let read):
      asked[Question(asker: sender, operation: read.operation)] = keys.firstIndex(of: read.key)
      return nil
    case .readReply(let reply):
      guard case .found(let version) = reply.outcome,
        let key = asked[Question(asker: addressee, operation: reply.operation)]
      else { return nil }
      return (key, version)
    case .pushReply(let reply):
      switch reply.outcome {
      case .applied(let synced), .haveNewer(_, let synced):
        let request = Request(asker: addressee, operation: reply.operation, stamp: reply.stamp, keeper: sender)
        if let hint = hints[request] {
          ledger.kept(reply.stamp, of: hint.key, by: sender, for: hint.owner, synced: synced)
          lastKept = (sender, hint.owner, hint.key)
        }
        let kept = (askedToKeep[reply.stamp] ?? 0) & (1 << UInt64(sender))
        if kept != 0 { standIns[reply.stamp, default: 0] |= kept }
      case .handled:
        if let hint = handoffs[Question(asker: addressee, operation: reply.operation)] { dismissed.insert(hint.stamp) }
      case .stale, .retry, .refused: break
      }
      return nil
    case .hello, .helloReply, .ping, .pingReply, .pingRequest, .pingRelayed, .storeStates, .storeStatesReply, .forward,
      .forwardReply, .list, .listReply, .compare, .compareReply, .pull, .pullReply:
      return nil
    }
  }
}
