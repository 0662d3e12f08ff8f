import Causality
import Cluster
import Messages
import Primitives
import Replication
import Storage

// Once all owners are up and nothing goes wrong any more every tombstone goes, by itself, and with it the room that it
// takes. While an owner is away those of its partitions stay, and the nodes say whom they wait for.

extension Simulator {
  /// Beyond what tombstones must wait for anyway: the time they are held, a round of anti-entropy, two feeds.
  private static let collectionGraceMilliseconds: UInt64 = 60_000
  /// From a value's expiry until it may be a tombstone, by any clock.
  private static let burialMilliseconds: UInt64 = 60_000 + Expiry.clocksApartMax + 40_000
  /// Who has waited for longer, beside that, waits for somebody who is away.
  private static let waitingMilliseconds: UInt64 = 30_000

  /// All is calm, the owners hold the same values: the tombstones go, within some virtual minutes.
  func reviewCollection() {
    guard let convergence else { return }
    let waited = now.milliseconds(since: convergence.since)
    let left = machines.compactMap { machine in obstacleToCollection(machine).map { "n\(machine.number): \($0)" } }
    guard !left.isEmpty else {
      note(.phase, nil, 11, "=== no tombstone is left")
      self.convergence = Convergence(
        step: .merging, since: now, waiting: machines.count, isScrubbed: convergence.isScrubbed)
      for machine in machines { deliver(.admin(.merge, session: Convergence.mergeSession), to: machine) }
      return
    }
    let limit =
      options.deletes.holdMilliseconds + 4 * options.deletes.feedMilliseconds
      + options.antiEntropy.intervalMilliseconds + Simulator.collectionGraceMilliseconds
      + (options.lifetimeSeconds.map { UInt64($0.upperBound) * 1000 + Simulator.burialMilliseconds } ?? 0)
    if waited > limit {
      report(.notCollected, "all was calm for \(waited) ms, and tombstones are left: \(left.joined(separator: "; "))")
    }
  }

  private func obstacleToCollection(_ machine: Machine) -> String? {
    guard let status = machine.node?.tombstoneStatus(at: machine.clock.moment(at: now)) else {
      return "it does not run"
    }
    // All lifetimes are short.
    if status.expiring > 0 { return "\(status.expiring) values that expire" }
    guard status.pending > 0 else { return nil }
    let reasons = status.stores.filter { $0.pending > 0 }.map { "\($0.store) \($0.pending), \($0.reason)" }
    return "\(status.pending) tombstones: \(reasons.joined(separator: ", "))"
  }

  // MARK: - Room

  /// A node has merged everything once: of tombstones that are forgotten, and of what they and newer values superseded,
  /// no byte is left.
  func mergeAnswered(by machine: Machine, _ outcome: AdminOutcome) {
    guard phase == .converging, let asked = convergence, case .merging = asked.step else { return }
    guard case .merged = outcome else {
      return report(.notCollected, "n\(machine.number) was asked to merge, and answered \(outcome)")
    }
    // What is damaged and not found yet may keep a file from being merged.
    if !machine.isDamaged, let status = machine.node?.status(at: machine.clock.moment(at: now)) {
      for store in status.stores where store.deadBytes > 0 {
        report(
          .notCollected,
          "n\(machine.number) has merged everything, and \(store.deadBytes) bytes of \(store.deadRecords) records of "
            + "\(store.id) are left that do not count")
      }
    }
    convergence?.waiting -= 1
    guard asked.waiting == 1 else { return }
    convergence?.step = .pausing(until: now.adding(milliseconds: Convergence.pauseMilliseconds))
  }

  // MARK: - While an owner is away

  /// The core has proved itself, and the rest is still away: tombstones that have waited long wait for those, and the
  /// nodes say so.
  func checkWaiting() {
    let out = machines.filter(\.isOut)
    guard !out.isEmpty else { return }
    let patience = options.deletes.holdMilliseconds + Simulator.waitingMilliseconds
    for machine in core.map({ machines[$0] }) {
      guard let status = machine.node?.tombstoneStatus(at: machine.clock.moment(at: now)) else { continue }
      for store in status.stores where store.oldestMilliseconds > patience {
        ruleEvents.count(.waiting)
        if out.contains(where: { store.reason.contains($0.member.name) }) { continue }
        report(
          .notCollected,
          "\(store.pending) tombstones of \(store.store) on n\(machine.number), the oldest \(store.oldestMilliseconds) ms "
            + "old, '\(store.reason)', while \(out.map(\.member.name).joined(separator: " and ")) is away")
      }
    }
  }

  // MARK: - Quarantine

  /// A hint waits for room in the quarantine of its owner: the operator there looks at what is in it, and discards it.
  func tidyQuarantine(of machine: Machine) {
    guard machine.state == .up, machine.node?.counters.quarantineRefused ?? 0 > 0 else { return }
    deliver(.admin(.quarantine(from: 0), session: Simulator.operatorSession), to: machine)
  }

  func discard(_ page: QuarantinePage, of machine: Machine) {
    if !page.entries.isEmpty { lastDiscard = now }
    for entry in page.entries {
      deliver(.admin(.quarantineDiscard(entry.key, entry.stamp), session: Simulator.operatorSession), to: machine)
    }
    guard let next = page.next else { return }
    deliver(.admin(.quarantine(from: next), session: Simulator.operatorSession), to: machine)
  }

  // MARK: - At rest

  func beginResting() {
    let rest = Convergence.pauseMilliseconds + 2 * options.deletes.feedMilliseconds
    convergence?.step = .resting(before: wiretap.exchanges, until: now.adding(milliseconds: rest))
  }

  /// Nobody pushes anything and nobody has anything to say of tombstones: soon, because a floor that has become durable
  /// with a checkpoint is told once more. What two owners hand to each other for ever never rests.
  func reviewRest(since before: ExchangeTally, _ waited: UInt64) {
    let pushes = wiretap.exchanges.pushes - before.pushes
    let feeds = wiretap.exchanges.feeds - before.feeds
    if pushes + feeds == 0 { return askAll(.secondRound(before: before), convergence?.isScrubbed ?? false) }
    if waited > 2 * options.checkpointSeconds * 1000 + Simulator.collectionGraceMilliseconds {
      report(
        .roundMovesData,
        "all was equal and no tombstone left for \(waited) ms, and there are \(pushes) pushes and \(feeds) feeds still")
    }
    beginResting()
  }
}
