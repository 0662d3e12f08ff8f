import Messages
import Primitives
import Storage

// When an empty store may serve (rule GENESIS, Docs/DeleteProtocol.md). A store that holds nothing is either new, together with
// all its fellow owners, or it has lost what it held; only the first kind may say "absent". A store becomes active when
// every other owner says that its own store is new too, or that it recorded this very incarnation when it became active.

/// What the other owners have said of their stores, in their current boots.
struct GenesisTable: Sendable {
  private var states: [NodeID: [StoreID: StoreState]] = [:]

  mutating func record(_ announced: [StoreState], from node: NodeID) {
    for state in announced { states[node, default: [:]][state.store] = state }
  }

  /// The peer began a new boot: what it said before does not count.
  mutating func forget(_ node: NodeID) { states[node] = nil }

  func state(of store: StoreID, at node: NodeID) -> StoreState? { states[node]?[store] }

  /// True when an owner has said no: it serves already and never knew this incarnation, or it has lost something itself.
  func isRefused(_ store: StoreID, incarnation: Identity128, others: [NodeID]) -> Bool {
    others.contains { node in
      guard let state = states[node]?[store] else { return false }
      return !state.isNew && !(state.role == .active && state.recognizes == incarnation)
    }
  }

  /// The incarnations to record when `store` may become active, or nil while an owner has not agreed.
  /// - Parameter isRuled: Otherwise every store that is empty is taken for new.
  func agreement(
    on store: StoreID, incarnation: Identity128, others: [NodeID], configID: UInt64, isRuled: Bool = true
  ) -> [PeerPromise]? {
    var promises: [PeerPromise] = []
    for node in others {
      guard let state = states[node]?[store] else { return nil }
      let agrees = state.isNew || (state.role == .active && state.recognizes == incarnation)
      guard agrees || !isRuled else { return nil }
      promises.append(PeerPromise(peer: node, incarnation: state.incarnation, configID: configID))
    }
    return promises
  }
}
