import Causality
import Cluster
import Messages
import Primitives
package import Storage

// Whether a store is what it was (rule IDENT, Docs/DeleteProtocol.md). Every owner remembers how far the others' stores were. One
// that tells of less has forgotten what it promised: a restored backup, a lost sync, a copy of a running node. It is told
// so, and fences itself. Until the owners that are up have found it whole, a store counts for nothing.

extension Node where Disk: ~Copyable {
  // MARK: - Judging

  /// What this node thinks of another owner's store, by what it remembers of it. No effect.
  func judge(_ state: StoreState, of node: NodeID, _ engine: Engine) -> StoreVerdict.Judgement {
    let store = state.store
    guard state.configID == configID(store) else { return .wrongConfig }
    // What a fenced store remembers may be of another time than the others': it says nothing against anybody.
    guard options.rules.hold(.fence), engine.role(store) != .fenced, let promise = engine.promise(store, of: node)
    else { return .ok }
    guard promise.incarnation == state.incarnation else {
      // Another store in its place: the old one's promises are void, and it serves when it has been filled.
      guard state.role == .active else { return .ok }
      // One that was made before the one on record is back, whoever says so.
      let isEarlier = state.incarnation.high < promise.incarnation.high
      return isEarlier || mayAccuse(store, of: node, engine) ? .incarnation : .undecided
    }
    if state.tsnHead < promise.tsnHead { return .head }
    if state.floor < promise.floor { return .floor }
    if acknowledged(by: state, engine) < promise.cursorOnMe {
      let own = engine.incarnation(store)
      let isOnThis = state.cursor.incarnation == own
      // It has read a store that was made here after this one: it is this one that went back.
      let isOnLater = state.cursor.incarnation.high > own.high
      return isOnThis || !isOnLater && mayAccuse(store, of: node, engine) ? .cursor : .undecided
    }
    if let cursor = engine.cursor(store, on: node), cursor.incarnation == state.incarnation,
      cursor.tsn > state.tsnHead
    {
      return .feed
    }
    return .ok
  }

  /// What an owner says of a later incarnation, of its store or of ours, may be right, and it is this store that went back,
  /// to a time before one of them was made anew. Then that owner knows. Where both doubt each other both are made anew.
  private func mayAccuse(_ store: StoreID, of node: NodeID, _ engine: Engine) -> Bool {
    let verdict = feeds.index(store, node).flatMap { feeds.pairs[$0].verdict }
    let doubtsUs = verdict?.incarnation == engine.incarnation(store) && verdict?.judgement == .undecided
    return isFoundWhole(store, by: node) || doubtsUs
  }

  /// What an owner tells first, in this boot of ours, it has read in former ones. If that is more than was here when this
  /// boot began, then those had gone on from here: places of the feed would be given twice (rule TSN HEAD).
  mutating func noteFirst(_ state: StoreState, of node: NodeID, _ engine: Engine) {
    let store = state.store
    guard let pair = feeds.index(store, node), !feeds.pairs[pair].hasMet, state.configID == configID(store) else {
      return
    }
    feeds.pairs[pair].hasMet = true
    guard options.rules.hold(.fence), let start = headsAtStart[store], start.incarnation == engine.incarnation(store),
      state.cursor.incarnation == start.incarnation, state.cursor.tsn > start.head
    else { return }
    fenceRegressed(
      StoreVerdict(store: store, incarnation: start.incarnation, judgement: .feed), judge: node, engine)
  }

  /// Raises what is remembered of it to what was told. A new store, here or there, is nobody yet: a store that was never
  /// filled must not find that it is known (rule GENESIS).
  mutating func remember(_ state: StoreState, of node: NodeID, _ engine: Engine) {
    let store = state.store
    guard engine.role(store) != .fenced, !isNew(store, engine) else { return }
    let known = engine.promise(store, of: node)?.incarnation
    if known != state.incarnation, state.isNew { return }
    // One that is back from before the one on record, and knows it: it is made anew. Told of instead of the later one, it
    // would find, back a second time, that this node had followed less of it than it remembers, and hold that against it.
    if let known, state.role == .fenced, state.incarnation.high < known.high { return }
    engine.setPromise(
      store,
      PeerPromise(
        peer: node, incarnation: state.incarnation, configID: state.configID, tsnHead: state.tsnHead,
        floor: state.floor, cursorOnMe: acknowledged(by: state, engine)))
    if engine.cursor(store, on: node)?.incarnation != state.incarnation {
      // One that is back, and that this node has gone on telling of: what was followed of it stands.
      let durable = engine.durableCursor(store, on: node)
      let tsn = durable?.incarnation == state.incarnation ? durable?.tsn ?? 0 : 0
      engine.setCursor(store, FeedCursor(peer: node, incarnation: state.incarnation, tsn: tsn))
    }
  }

  // MARK: - Being judged

  /// What a peer thinks of stores of this node.
  mutating func take(_ verdicts: [StoreVerdict], of node: NodeID) {
    guard let engine else { return }
    for verdict in verdicts {
      guard let pair = feeds.index(verdict.store, node), verdict.incarnation == engine.incarnation(verdict.store) else {
        continue
      }
      feeds.pairs[pair].verdict = verdict
      if verdict.judgement.isRegressed { fenceRegressed(verdict, judge: node, engine) }
    }
    reviewValidation()
  }

  /// A peer remembers more of this store than is in it: it never serves again, and is made anew.
  mutating func fenceRegressed(_ verdict: StoreVerdict, judge node: NodeID, _ engine: Engine) {
    let store = verdict.store
    guard engine.role(store) != .fenced else { return }
    counters.regressions += 1
    let reason = "\(name(node)) remembers more of it: \(verdict.judgement.text)"
    let error = StorageError.regressed(path: "store \(store)", reason: reason)
    free.append(.log(.error, "\(error): it is fenced, and made anew when another owner's store serves"))
    start(.fence(store), engine.fence(store, error))
    feeds.noteChange()
    for peer in peers.peers where peer.wasUp { sendStoreStates(to: peer.member.id) }
  }

  /// Looks anew which stores do not count yet.
  mutating func reviewValidation() {
    guard options.rules.hold(.validation), let engine else { return }
    feeds.unvalidated.removeAll(keepingCapacity: true)
    for pair in feeds.pairs where peers.isUp(pair.node) && engine.contains(pair.store) {
      let isFoundWhole =
        pair.verdict?.judgement == .ok && pair.verdict?.incarnation == engine.incarnation(pair.store)
      if !isFoundWhole { feeds.unvalidated.insert(pair.store) }
    }
  }

  /// True when this store of ours counts: every owner that is up has found its promises whole. Who meets nobody serves
  /// alone.
  func isValidated(_ store: StoreID) -> Bool { feeds.unvalidated.isEmpty || !feeds.unvalidated.contains(store) }

  /// True when this node, if it is another owner, has found this store of ours whole. What an owner pushes or feeds before
  /// that could make the store look as if it had forgotten nothing: its feed would reach again, with other tombstones, as
  /// far as the owner remembers.
  func isFoundWhole(_ store: StoreID, by node: NodeID) -> Bool {
    guard options.rules.hold(.validation), let engine, let pair = feeds.index(store, node) else { return true }
    guard let verdict = feeds.verdict(pair) else { return false }
    return verdict.judgement == .ok && verdict.incarnation == engine.incarnation(store)
  }

  // MARK: - Whom this node has found whole

  /// True when this node has found the promises of that owner's store whole, in its current boot.
  func isValidated(_ store: StoreID, with node: NodeID) -> Bool {
    if node == own.id || !options.rules.hold(.validation) { return true }
    guard let pair = feeds.index(store, node), let judged = feeds.judged(pair) else { return false }
    return judged.judgement == .ok
  }

  /// The owners that have found this store of ours whole: bit i is owner i of `owners(store)`, and this node's own bit is
  /// set. It is their word that counts: a store that has forgotten something does not know it.
  package func validatedWith(_ store: StoreID) -> UInt16 {
    guard options.rules.hold(.validation), let engine, engine.contains(store) else { return .max }
    var mask: UInt16 = 0
    for (index, node) in owners(store).enumerated() where index < 16 {
      guard node != own.id else {
        mask |= 1 << UInt16(index)
        continue
      }
      guard let pair = feeds.index(store, node), let verdict = feeds.verdict(pair),
        verdict.judgement == .ok, verdict.incarnation == engine.incarnation(store)
      else { continue }
      mask |= 1 << UInt16(index)
    }
    return mask
  }
}

extension StoreVerdict.Judgement {
  /// What went backwards, of the store that is judged.
  var text: String {
    switch self {
    case .ok: "nothing went backwards"
    case .wrongConfig: "it has other owners"
    case .head: "its tombstone feed ends before what it had told"
    case .floor: "its floor is below what it had told"
    case .cursor: "it has acknowledged fewer tombstones than it had told"
    case .feed: "its tombstone feed ends before what was read of it"
    case .incarnation: "it serves, and another store served before it"
    case .undecided: "another store served before it, as far as one knows that may have gone back itself"
    }
  }
}
