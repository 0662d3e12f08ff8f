import Causality
import Cluster
import Messages
import Primitives
import Storage

// Whether a store is what it was (rule IDENT, Docs/Delete.md). Every owner remembers how far the others' stores were. One
// that tells of less has forgotten what it promised: a restored backup, a lost sync, a copy of a running node. It is told
// so, and fences itself. Until the owners that are up have found it whole, a store counts for nothing.

extension Node where Disk: ~Copyable {
  // MARK: - Judging

  /// What this node thinks of another owner's store, by what it remembers of it. No effect.
  func judge(_ state: StoreState, of node: NodeID, _ engine: Engine) -> StoreVerdict.Judgement {
    let store = state.store
    guard state.configID == configID(store) else { return .wrongConfig }
    guard options.rules.hold(.fence), let promise = engine.promises(store).first(where: { $0.peer == node }) else {
      return .ok
    }
    // Another store in its place: the old one's promises are void, and it serves when it has been filled.
    guard promise.incarnation == state.incarnation else { return .ok }
    if state.tsnHead < promise.tsnHead { return .head }
    if state.floor < promise.floor { return .floor }
    let acknowledged = state.cursor.incarnation == engine.incarnation(store) ? state.cursor.tsn : 0
    if acknowledged < promise.cursorOnMe { return .cursor }
    return .ok
  }

  // MARK: - Being judged

  /// What a peer thinks of stores of this node, in the order of the question.
  mutating func take(_ verdicts: [StoreVerdict], of node: NodeID) {
    guard let engine else { return }
    for verdict in verdicts where engine.contains(verdict.store) {
      guard let pair = feeds.index(verdict.store, node), verdict.incarnation == engine.incarnation(verdict.store) else {
        continue
      }
      feeds.pairs[pair].verdict = verdict
    }
    reviewValidation()
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

  // MARK: - Whom this node has found whole

  /// True when this node has found the promises of that owner's store whole, in its current boot.
  func isValidated(_ store: StoreID, with node: NodeID) -> Bool {
    if node == own.id || !options.rules.hold(.validation) { return true }
    guard let pair = feeds.index(store, node), let judged = feeds.pairs[pair].judged else { return false }
    return judged.judgement == .ok
  }

  /// The owners that have found this store of ours whole: bit i is owner i of `owners(store)`, and this node's own bit is
  /// set. It is their word that counts: a store that has forgotten something does not know it.
  func validatedWith(_ store: StoreID) -> UInt16 {
    guard options.rules.hold(.validation), let engine, engine.contains(store) else { return .max }
    var mask: UInt16 = 0
    for (index, node) in owners(store).enumerated() where index < 16 {
      guard node != own.id else {
        mask |= 1 << UInt16(index)
        continue
      }
      guard let pair = feeds.index(store, node), let verdict = feeds.pairs[pair].verdict,
        verdict.judgement == .ok, verdict.incarnation == engine.incarnation(store)
      else { continue }
      mask |= 1 << UInt16(index)
    }
    return mask
  }
}
