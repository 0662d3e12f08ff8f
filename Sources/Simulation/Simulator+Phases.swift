import Causality
import Cluster
import Messages
import Primitives
import Replication
import Storage

// The course of a run: the cluster is founded; it works under faults; the faults stop and what is under way arrives;
// then it must prove itself: every node serves, every operation through every node succeeds, and full reads agree. Where
// a core is healed first, it proves itself alone before (Simulator+Liveness.swift).

/// One operation of the last phase.
struct Proof {
  enum Kind { case read, fullRead, put, delete, listing }
  let kind: Kind
  let key: Int
  let machine: Int
}

extension Simulator {
  private static let reviewMilliseconds: UInt64 = 50
  /// Within this time without faults every node must serve.
  private static let serveMillisecondsMax: UInt64 = 30_000
  /// Clients go on for this long after the last fault, and until the last late message has arrived.
  static let settleMilliseconds: UInt64 = 1500

  func begin() {
    for machine in machines {
      schedule(.boot(machine: machine.index), after: generator.duration(milliseconds: 0...500))
    }
    if options.faults.duringBootstrap { beginFaults() }
    scheduleReview()
  }

  func scheduleReview() { schedule(.review, after: Simulator.reviewMilliseconds * 1_000_000) }

  func review() {
    checkHeld()
    checkRegressions()
    switch phase {
    case .bootstrap: reviewBootstrap()
    case .faults(let end):
      noteServing()
      if now >= end {
        note(.phase, nil, 2, "=== no more faults")
        phase = .settling(since: now)
        endFaults()
      }
    case .settling(let since): reviewSettling(since: since)
    case .converging: reviewConvergence()
    case .comparing:
      checkConvergence()
      phase = .over
    case .proving, .over: return
    }
    scheduleReview()
  }

  private func noteServing() {
    for machine in machines where machine.state == .up && !machine.hasServed {
      machine.hasServed = machine.node?.isServing == true
    }
  }

  private func reviewBootstrap() {
    noteServing()
    let deadline = Instant(nanoseconds: Simulator.serveMillisecondsMax * 1_000_000)
    guard allServe || options.faults.duringBootstrap else {
      if now > deadline { report(.unavailable, "the cluster was not founded: \(obstacles)") }
      return
    }
    note(.phase, nil, 1, "=== faults begin")
    phase = .faults(until: now.adding(milliseconds: UInt64(options.faults.phaseMilliseconds)))
    beginClients()
    scheduleListing()
    diskPace = options.disk
    if !options.faults.duringBootstrap { beginFaults() }
  }

  /// Whether clients go on while the last messages arrive.
  func settles(since: Instant) -> Bool {
    // What arrives late makes its sender look alive, whom the core must have given up.
    let silence = core.count < machines.count ? options.suspectAfterMilliseconds + 500 : 0
    return now
      < max(lastLateArrival.adding(milliseconds: silence), since.adding(milliseconds: Simulator.settleMilliseconds))
  }

  private func reviewSettling(since: Instant) {
    // Nobody need serve before that, and to ask every node how it is takes its time.
    if settles(since: since) { return }
    if !allServe {
      // What is asked for again and again waits between two times.
      if !awaitsOutsiders { awaitsOutsiders = waitsForOutsiders }
      // A late message makes its sender look alive for a while.
      let patience = Simulator.serveMillisecondsMax + handoffPauseMilliseconds
      if now > max(since, lastLateArrival, lastDiscard).adding(milliseconds: patience) {
        // To fill a store takes every other owner: the core alone need not come to that.
        if awaitsOutsiders, healRest() { return }
        report(.unavailable, "all is calm and not all serve: \(obstacles)")
      }
      return
    }
    guard clients.isIdle, openListings.isEmpty else { return }
    if core.count == machines.count, !overdue.isEmpty { return awaitOverdue() }
    checkDeliveries()
    guard core.count == machines.count else { return beginProofs() }
    history.hintsAreDelivered { wiretap.isDismissed($0) }
    beginConvergence()
  }

  /// A store in the core is to be filled, or a hint to be settled, and that waits for a machine that is not there.
  private var waitsForOutsiders: Bool {
    let outside = machines.filter { !core.contains($0.index) }.map { $0.member.name + " " }
    guard !outside.isEmpty else { return false }
    return core.contains { index in
      guard let status = machines[index].node?.status(at: machines[index].clock.moment(at: now)) else { return false }
      // Nor need a hint be settled about which every other owner is to be asked.
      let asksAll = status.hints.contains { hint in
        if case .waiting(let reason) = hint.state { reason.contains("every other owner") } else { false }
      }
      return asksAll
        || status.antiEntropy.refills.contains { refill in outside.contains { refill.waiting?.contains($0) ?? false } }
    }
  }

  func beginProofs() {
    note(.phase, nil, 3, "=== proofs")
    phase = .proving
    planProofs()
    prove()
  }

  /// The longest that a node leaves hints alone which were refused.
  private var handoffPauseMilliseconds: UInt64 { 32 * options.hintRetryMilliseconds }

  var allServe: Bool { core.allSatisfy { obstacle(machines[$0]) == nil } }

  private var obstacles: String {
    core.compactMap { index in obstacle(machines[index]).map { "n\(index + 1): \($0)" } }.joined(separator: "; ")
  }

  /// Why this node does not serve with all its peers in the core, and without the others; nil when it does.
  private func obstacle(_ machine: Machine) -> String? {
    guard machine.state == .up, !machine.isStopping else { return "\(machine.state)" }
    guard let status = machine.node?.status(at: machine.clock.moment(at: now)) else { return "no process" }
    guard status.state == .serving else { return "\(status.state)" }
    if status.clockInDoubt { return "doubts its clock" }
    // For a while after the last refusal, though there is room again.
    if status.space?.isShort == true { return "has no room" }
    let wrong = status.peers.first { ($0.link == .up) != core.contains(Int($0.member.id.rawValue) - 1) }
    if let wrong { return "\(wrong.member.name) is \(wrong.link)" }
    // No hint is left after quiescence, and no store that is not whole.
    let kept = status.hints.first { hint in
      hint.count > 0 && core.contains(Int(hint.member.id.rawValue) - 1)
    }
    if let kept, let target = machines.first(where: { $0.member.id == kept.member.id }) { tidyQuarantine(of: target) }
    if let kept { return "keeps \(kept.count) hints for \(kept.member.name), \(kept.state)" }
    guard let unfilled = status.stores.first(where: { $0.role != .active }) else { return unvalidated(machine, status) }
    let refill = status.antiEntropy.refills.first { $0.store == unfilled.id }
    return "store \(unfilled.id) is \(unfilled.role), \(refill?.waiting ?? "nobody says why")"
  }

  /// A store that the other owners have not found whole yet: it takes part in no round.
  private func unvalidated(_ machine: Machine, _ status: NodeStatus) -> String? {
    guard core.count == machines.count else {
      let count = status.storesUnvalidated
      return count == 0 ? nil : "\(count) stores are not validated by those that are up"
    }
    let store = status.stores.first { store in
      (machine.node?.validatedWith(store.id).nonzeroBitCount ?? 0) < options.replicas
    }
    return store.map { "store \($0.id) is not validated by all" }
  }

  // MARK: - Proofs

  private func planProofs() {
    for key in workload.keys.indices where options.workload.kind != .unique || history.hasAcknowledged(key: key) {
      for machine in core { proofs.append(Proof(kind: .read, key: key, machine: machine)) }
      // Where there are many keys one full read of each must do.
      let readers = options.workload.kind == .unique ? [core[key % core.count]] : core
      for machine in readers { proofs.append(Proof(kind: .fullRead, key: key, machine: machine)) }
    }
    for machine in core { proofs.append(Proof(kind: .listing, key: 0, machine: machine)) }
    for machine in core {
      let key = machine % workload.keys.count
      proofs.append(Proof(kind: .put, key: key, machine: machine))
      proofs.append(Proof(kind: .fullRead, key: key, machine: machine))
      proofs.append(Proof(kind: .listing, key: key, machine: machine))
      proofs.append(Proof(kind: .delete, key: key, machine: machine))
      proofs.append(Proof(kind: .fullRead, key: key, machine: machine))
      proofs.append(Proof(kind: .listing, key: key, machine: machine))
    }
  }

  func prove() {
    guard proofsDone < proofs.count else {
      note(.phase, nil, 4, "=== proved")
      checkWaiting()
      guard !healRest() else { return }
      phase = .comparing
      scheduleReview()
      return
    }
    let proof = proofs[proofsDone]
    if case .listing = proof.kind {
      return beginListing(through: machines[proof.machine], partsWanted: .max, isProof: true)
    }
    let key = workload.keys[proof.key]
    let owners = coreOwners(of: proof.key)
    let operation = workload.operation(proof.key, at: now) { number, _ in
      switch proof.kind {
      case .read: return .get(GetRequest(key: key))
      case .fullRead:
        var get = GetRequest(key: key)
        get.r = .count(owners)
        return .get(get)
      case .put: return .put(PutRequest(key: key, payload: ValueLedger.payload(operation: number, valueBytes: 10)))
      case .delete:
        var delete = DeleteRequest(key: key)
        delete.always = true
        return .delete(delete)
      case .listing: fatalError("invariant: a listing is no operation of one key")
      }
    }
    ask(operation, of: 0, machines[proof.machine])
  }

  /// The operation of the current proof has ended.
  func proved(_ response: ClientResponse?) {
    let proof = proofs[proofsDone]
    let text = "\(proof.kind) of key \(proof.key) through n\(proof.machine + 1)"
    switch response {
    case nil: report(.unavailable, "all is calm, and \(text) was not answered")
    case .failed where findsDamage(): return
    case .failed(let failure)?: report(.unavailable, "all is calm, and \(text) failed: \(failure)")
    case .object(let stamp, _, _)?: agree(proof, on: stamp, text)
    // The tombstone may have been forgotten between two reads.
    case .notFound?: agree(proof, on: .zero, text)
    case .stored?, .deleted?: agreement = nil
    }
    proofsDone += 1
    prove()
  }

  /// Full reads of a key find the same newest version, whoever coordinates them.
  private func agree(_ proof: Proof, on stamp: Stamp, _ text: String) {
    guard case .fullRead = proof.kind else { return }
    // While a value expires its coordinators may see it differently.
    let mayExpire = history.expires(stamp) || agreement.map { history.expires($0.stamp) } ?? false
    if let agreement, agreement.key == proof.key, agreement.stamp != stamp, !mayExpire {
      report(.disagreement, "\(text) found \(stamp), another found \(agreement.stamp)")
    }
    agreement = (proof.key, stamp)
  }
}
