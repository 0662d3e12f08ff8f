import Causality
import Cluster
package import Messages
package import Primitives
import Replication
import Storage

// What each node has told each other one of its stores: how far its feed of tombstones goes, up to where it has
// forgotten them, how far it has followed the other's feed. Said once it holds for the life of the store: nothing of it
// goes back, but where a disk was put back or damaged, and all of it is on the disk before it is said.

package struct PromiseLedger: Sendable {
  private struct Pair: Hashable {
    let from: Int
    let to: Int
    let store: StoreID
  }

  private var told: [Pair: StoreState] = [:]

  package init() {}

  /// Returns what is less than it was, in words; nil when nothing is.
  /// - Parameter current: The store that the other has: a cursor on one before it counts for nothing.
  package mutating func tell(_ state: StoreState, from: Int, to: Int, current: Identity128?) -> String? {
    let pair = Pair(from: from, to: to, store: state.store)
    defer { told[pair] = state }
    guard let last = told[pair], last.incarnation == state.incarnation else { return nil }
    if state.tsnHead < last.tsnHead { return "its feed ends at \(state.tsnHead), not at \(last.tsnHead)" }
    if state.floor < last.floor { return "its floor is \(state.floor), not \(last.floor)" }
    let isCurrent = state.cursor.incarnation == current && current == last.cursor.incarnation
    if isCurrent, state.cursor.tsn < last.cursor.tsn {
      return "it has followed to \(state.cursor.tsn), not to \(last.cursor.tsn)"
    }
    return nil
  }

  /// The disk of this machine is another one, or damaged.
  package mutating func forget(_ machine: Int) { told = told.filter { $0.key.from != machine } }
  /// The disk of this machine is one from before: who had followed a store that was made since begins with the former anew.
  package mutating func forgetCursors(on machine: Int) {
    for pair in Array(told.keys) where pair.to == machine { told[pair]?.cursor.incarnation = .none }
  }
}

extension Simulator {
  /// Of so many messages that tell of stores, one is held against the disk of its sender.
  private static let interval = 12

  func checkPromises(_ states: StoreStates, from machine: Machine, to peer: Machine) {
    let isProbed = deletionProbes.chance(1, in: Simulator.interval) && !machine.isDamaged
    // What is damaged tells less, and serves no more.
    if machine.isDamaged { promises.forget(machine.index) }
    for state in states.states where state.role != .fenced {
      let current = peer.node?.incarnation(of: state.store)
      guard let problem = promises.tell(state, from: machine.index, to: peer.index, current: current) else { continue }
      report(.promiseBroken, "n\(machine.number) tells n\(peer.number) of store \(state.store): \(problem)")
    }
    guard isProbed else { return }
    let disk = DiskContents(of: [], on: machine.platter.disk, losesPower: true)
    for state in states.states {
      guard let store = disk.stores.first(where: { $0.id == state.store }), store.incarnation == state.incarnation
      else { continue }
      let cursor = store.cursors.first { $0.peer == peer.member.id }
      let followed = cursor.map { $0.incarnation == state.cursor.incarnation ? $0.tsn : 0 } ?? 0
      let toFollow = peer.node?.incarnation(of: state.store) == state.cursor.incarnation ? state.cursor.tsn : 0
      // What it knows of the floor of a store that it lost counts as well.
      let floor = store.promises.reduce(store.floor) { $1.peer == machine.member.id ? max($0, $1.floor) : $0 }
      if store.tsnHead >= state.tsnHead, floor >= state.floor, followed >= toFollow { continue }
      report(
        .promiseBroken,
        "n\(machine.number) tells n\(peer.number) of store \(state.store): \(state.tsnHead), \(state.floor), followed to "
          + "\(state.cursor.tsn); after a power loss it would say \(store.tsnHead), \(floor), \(followed)")
    }
  }
}
