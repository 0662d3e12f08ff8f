import Causality
import Cluster
import Messages
import Primitives
import Replication
import Storage

// A store that has lost something says nothing of what it holds until it is whole again: it must have everything that
// the other owners had for good when it came up empty, and have it for good itself, before it serves. That is looked at
// on the disks, at the moment when the store begins to serve.

struct RefillWatch {
  /// By store that is not whole: per key, what the others held for good when it was first seen so.
  private var owed: [StoreID: Debt] = [:]

  struct Debt {
    let stamps: [Stamp]
    /// Bits flipped until then: one that is flipped later may take what had come by then.
    let flips: Int
  }

  /// Stores that are seen for the first time since they served.
  func isNew(_ store: StoreID) -> Bool { owed[store] == nil }
  mutating func begin(_ store: StoreID, owed debt: Debt) { owed[store] = debt }
  /// Its process ended before it could make durable that the store counts for nothing: nobody knows of it any more.
  mutating func forget(_ store: StoreID) { owed[store] = nil }
  /// It serves: what it must hold; nil when it was whole before.
  mutating func end(_ store: StoreID) -> Debt? { owed.removeValue(forKey: store) }
}

extension Simulator {
  /// After a turn of the machine that forgets.
  func watchRefills(of machine: Machine) {
    guard losesStores, machine.index == forgetful.index, machine.hasServed,
      let roles = machine.node?.storeRoles
    else { return }
    var held: [Stamp]?
    for (store, role) in roles {
      guard role == .active else {
        // A flipped bit that fences a store may at its next start have made a torn end of its last file, which is cut.
        guard refills.isNew(store), role == .loading || flips == 0 else { continue }
        let stamps = held ?? heldByOthers(than: machine)
        held = stamps
        refills.begin(store, owed: RefillWatch.Debt(stamps: stamps, flips: flips))
        note(.fault, machine, 9, "store \(store) is \(role)")
        continue
      }
      // One that was put back, and does not know it yet, says nothing before the others have found it whole.
      guard !refills.isNew(store), machine.node?.validatedWith(store).nonzeroBitCount ?? 0 >= options.replicas,
        let debt = refills.end(store)
      else { continue }
      note(.fault, machine, 10, "store \(store) serves again")
      if debt.flips == flips { checkRefilled(store, debt.stamps, machine) }
    }
  }

  /// The machine's process ends, perhaps with the job under way that was to make fences durable.
  func forgetFences(of machine: Machine) {
    guard machine.index == forgetful.index, machine.lanes.contains(where: { !$0.jobs.isEmpty }) else { return }
    for (store, role) in machine.node?.storeRoles ?? [] where role == .fenced { refills.forget(store) }
  }

  /// Bits that were flipped so far.
  var flips: Int { strikes.count { $0.fault == .bitFlip } }

  private func heldByOthers(than machine: Machine) -> [Stamp] {
    var newest = [Stamp](repeating: .zero, count: workload.keys.count)
    for other in machines where other.index != machine.index {
      let stamps = DurabilityProbe.stamps(of: workload.keys, on: other.platter.disk, losesPower: true)
      for key in stamps.indices { newest[key] = max(newest[key], stamps[key]) }
    }
    return newest
  }

  private func checkRefilled(_ store: StoreID, _ owed: [Stamp], _ machine: Machine) {
    let held = DiskContents(of: workload.keys, on: machine.platter.disk, losesPower: true)
    for key in workload.keys.indices where machine.node?.store(of: workload.keys[key]) == store {
      // Flipped bits that nobody has met yet.
      if isHidden(held.found[key], machine) { continue }
      guard reached(held.found[key].stamp, key) < owed[key] else { continue }
      report(
        .servedTooSoon,
        "store \(store) of n\(machine.number) serves, and would have key \(key) at \(held.found[key].stamp) after a power "
          + "loss; another owner had it at \(owed[key]) when the store was found to be empty or damaged")
    }
  }

  /// A store that is not whole does not say what it holds, and takes nothing.
  func checkRole(_ message: PeerMessage, from machine: Machine, to peer: Machine) {
    guard losesStores, machine.index == forgetful.index, machine.hasServed,
      let key = wiretap.keyAnswered(message, to: peer.index),
      machine.node?.role(of: workload.keys[key]) == .loading
    else { return }
    report(.servedTooSoon, "n\(machine.number) answers for key \(key) while its store is loading: \(message.body)")
  }
}
