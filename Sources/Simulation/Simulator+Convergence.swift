import Causality
import Cluster
import Messages
import Primitives
import Replication
import Storage

// Before anything is proved nobody asks for anything, and the owners of every partition must come to hold the same: in
// some runs by themselves within three intervals of calm, in the others when an operator has asked every node for one
// round, or for a second one where the first still waited for an answer that was lost before the calm. Then a further
// round by every node compares roots and nothing more. A machine whose bits were flipped reads its files over once
// before all that, in the runs that have a scrub.

struct Convergence {
  enum Step {
    /// The machine with damage reads its files until it has done so many passes.
    case scrubbing(passes: UInt64)
    /// Nobody asks; the owners are compared after every interval.
    case alone(next: Instant)
    case firstRound
    /// The round is asked for once more: every question whose answer was lost before the calm has been asked again.
    case repeating(at: Instant)
    /// All are equal; the tombstones go.
    case collecting
    /// Every node has been asked to merge once.
    case merging
    /// Who was looked at by a peer in that round looks back.
    case pausing(until: Instant)
    /// Nobody has anything to say.
    case resting(before: ExchangeTally, until: Instant)
    case secondRound(before: ExchangeTally)
  }

  /// Whoever asks for these rounds.
  static let session = SessionID(.max - 1)
  /// And for these merges.
  static let mergeSession = SessionID(.max - 2)
  static let pauseMilliseconds: UInt64 = 1000
  /// Intervals of calm within which all must be equal.
  static let intervals: UInt64 = 3
  /// And this, to find out and to pull at the slowest rate, milliseconds.
  static let graceMilliseconds: UInt64 = 30_000

  var step: Step
  let since: Instant
  /// Nodes that have not answered yet.
  var waiting = 0
  /// The files of the damaged machine have been read over.
  var isScrubbed = false
  /// A question that was lost before the calm has failed since, or a round ended with what still differed before it was
  /// asked again: the round is asked for once more, and no more.
  var isUnfinished = false
  var isRepeated = false
}

extension Simulator {
  static let asideDirectory = StorePath.damaged(Simulator.directory)

  func beginConvergence() {
    note(.phase, nil, 9, "=== all is calm: the owners come to hold the same")
    phase = .converging
    antiEntropyTally.diverged += storesThatDiffer.count
    guard forgetful.isDamaged, options.antiEntropy.scrubMilliseconds > 0 else { return beginAgreement() }
    convergence = Convergence(step: .scrubbing(passes: (scrub?.passesDone ?? 0) + 2), since: now)
  }

  /// Of the machine whose bits were flipped.
  private var scrub: ScrubStatus? {
    let machine = forgetful
    return machine.node?.status(at: machine.clock.moment(at: now)).antiEntropy.scrub
  }

  private func beginAgreement() {
    let isScrubbed = convergence?.isScrubbed ?? false
    guard options.antiEntropy.convergesAlone else { return askAll(.firstRound, isScrubbed) }
    let next = now.adding(milliseconds: options.antiEntropy.intervalMilliseconds)
    convergence = Convergence(step: .alone(next: next), since: now, isScrubbed: isScrubbed)
  }

  func askAll(_ step: Convergence.Step, _ isScrubbed: Bool) {
    convergence = Convergence(step: step, since: now, waiting: machines.count, isScrubbed: isScrubbed)
    for machine in machines { deliver(.admin(.antiEntropy, session: Convergence.session), to: machine) }
  }

  func reviewConvergence() {
    guard let convergence else { return }
    let waited = now.milliseconds(since: convergence.since)
    switch convergence.step {
    case .scrubbing(let passes):
      guard let scrub else { return }
      if scrub.passesDone >= passes || scrub.bytesTotal == 0, allServe {
        self.convergence?.isScrubbed = true
        return beginAgreement()
      }
      let reading = scrub.bytesTotal * 1000 / options.antiEntropy.scrubBytesPerSecond
      if waited > 3 * (options.antiEntropy.scrubMilliseconds + reading) + 2 * Convergence.graceMilliseconds {
        report(.notConverged, "n\(forgetful.number) has not read its files over: \(scrub), \(passes) passes wanted")
      }
    case .alone(let next):
      guard now >= next else { return }
      guard let difference = differenceOfOwners() else {
        return askAll(.firstRound, convergence.isScrubbed)
      }
      let interval = options.antiEntropy.intervalMilliseconds
      if waited > Convergence.intervals * interval + Convergence.graceMilliseconds {
        report(.notConverged, "all was calm for \(waited) ms, and \(difference)")
      }
      self.convergence?.step = .alone(next: now.adding(milliseconds: max(1000, interval)))
    case .collecting: reviewCollection()
    case .merging:
      guard waited > 2 * Convergence.graceMilliseconds else { return }
      report(.notCollected, "\(convergence.waiting) nodes have not merged what they were asked to merge")
    case .pausing(let until):
      if now >= until { beginResting() }
    case .resting(let before, let until):
      if now >= until { reviewRest(since: before, waited) }
    case .firstRound, .secondRound:
      guard waited > 2 * Convergence.graceMilliseconds else { return }
      report(.notConverged, "\(convergence.waiting) nodes have not answered who asked for a round")
    case .repeating(let next):
      guard now >= next else { return }
      askAll(.firstRound, convergence.isScrubbed)
      self.convergence?.isRepeated = true
    }
  }

  func roundAnswered(by machine: Machine, _ outcome: AdminOutcome) {
    guard phase == .converging, let asked = convergence else { return }
    guard case .antiEntropy(let told) = outcome, told.isFinished || mayRepeat(asked) else {
      return report(.notConverged, "n\(machine.number) was asked for a round, and answered \(outcome)")
    }
    if !told.isFinished { convergence?.isUnfinished = true }
    convergence?.waiting -= 1
    if case .secondRound = asked.step, told.differing > 0 || told.keysPulled > 0 {
      report(.roundMovesData, "all was equal, and n\(machine.number) tells of its next round \(told)")
    }
    guard asked.waiting == 1 else { return }
    switch asked.step {
    case .firstRound where convergence?.isUnfinished == true:
      let asksAgain = ExchangeQuestion.patienceMilliseconds + Convergence.pauseMilliseconds
      convergence?.step = .repeating(at: max(now, asked.since.adding(milliseconds: asksAgain)))
    case .firstRound:
      if let difference = differenceOfOwners() {
        return report(.notConverged, "every node has made a round, and \(difference)")
      }
      convergence = Convergence(step: .collecting, since: now, isScrubbed: asked.isScrubbed)
    case .secondRound(let before):
      let deeper = wiretap.exchanges.deeper - before.deeper
      if deeper > 0 {
        report(.roundMovesData, "all was equal, and the next rounds asked \(deeper) times for more than roots")
      }
      beginProofs()
    case .scrubbing, .alone, .repeating, .collecting, .merging, .pausing, .resting: break
    }
  }

  private func mayRepeat(_ asked: Convergence) -> Bool {
    if case .firstRound = asked.step { !asked.isRepeated } else { false }
  }

  // MARK: - What the owners hold

  /// The first difference between two owners of a partition, on their disks or in their trees; nil when there is none.
  private func differenceOfOwners() -> String? {
    let minute = minute
    let held = machines.map { DiskContents(of: workload.keys, on: $0.platter.disk, losesPower: false) }
    for machine in machines {
      if let text = unfoundDamage(held[machine.index], machine) ?? treeDefect(held[machine.index], machine) {
        return text
      }
    }
    for (key, name) in workload.keys.enumerated() {
      let owners = machines.filter { $0.node?.role(of: name) != nil && !isHidden(held[$0.index], key, $0) }
      guard let first = owners.first else { continue }
      for other in owners
      where !held[other.index].found[key].isSameValue(as: held[first.index].found[key], leftBy: minute) {
        return "n\(first.number) has key \(key): \(describe(held[first.index].found[key])), "
          + "n\(other.number): \(describe(held[other.index].found[key]))"
      }
    }
    return storesThatDiffer.first.map { "the trees of \($0) differ" }
  }

  /// Damage that nobody has met yet, where nothing looks for it.
  func isHidden(_ found: DiskContents.Found, _ machine: Machine) -> Bool {
    guard machine.isDamaged else { return false }
    switch found {
    case .damaged, .noStore: return true
    case .version, .nothing: return false
    }
  }

  /// The same, and what a restart would cut because a flipped bit has made it look like the torn end of a file.
  func isHidden(_ held: DiskContents, _ key: Int, _ machine: Machine) -> Bool {
    if isHidden(held.found[key], machine) { return true }
    guard machine.isDamaged, let store = machine.node?.store(of: workload.keys[key]) else { return false }
    return held.stores.first { $0.id == store }?.root.values != machine.node?.treeRoot(store)?.values
  }

  /// A scrub has read every sealed file: what is still damaged stands in the last file of its store.
  private func unfoundDamage(_ held: DiskContents, _ machine: Machine) -> String? {
    guard convergence?.isScrubbed == true else { return nil }
    let directory = { (path: String) in SimulatedDisk.parent(of: path) }
    let files = machine.platter.disk.paths.filter { $0.hasSuffix(".data") }
    let path = held.damagedPaths.first { path in
      path.hasSuffix(".data") && files.last { directory($0) == directory(path) } != path
    }
    return path.map { "n\(machine.number) has read its files over, and \($0) is damaged" }
  }

  /// The trees are those of the records, as a restart would make them anew.
  private func treeDefect(_ held: DiskContents, _ machine: Machine) -> String? {
    // A restart may cut what a flipped bit has made of the end of a file.
    guard !machine.isDamaged else { return nil }
    for store in held.stores {
      // Tombstones that were forgotten may be on the disk still.
      let root = machine.node?.treeRoot(store.id)?.values
      guard root != store.root.values else { continue }
      return "the tree of \(store.id) on n\(machine.number) is not that of its records"
    }
    return nil
  }

  /// The latest by which any node compares itself.
  private var minute: UInt64 { machines.map { $0.clock.moment(at: now).wallMilliseconds / 60_000 }.max() ?? 0 }

  private var storesThatDiffer: [StoreID] {
    let minute = minute
    let stores = (0..<options.partitions).map {
      StoreID(partition: UInt16($0), replicas: UInt8(options.replicas))
    }
    return stores.filter { store in
      let roots = machines.compactMap { $0.node?.treeRoot(store, leftBy: minute)?.values }
      return roots.contains { $0 != roots.first }
    }
  }

  private func describe(_ found: DiskContents.Found) -> String {
    switch found {
    case .version(let version):
      "\(version.isTombstone ? "tombstone" : "\(version.value.count) bytes") at \(version.stamp)"
    case .nothing: "nothing"
    case .damaged(let path): "damage in \(path)"
    case .noStore: "no store that can be read"
    }
  }

  // MARK: - Damage that a proof finds

  /// An operation failed in the calm that met flipped bits which nobody had read since: the machine is to heal, and all
  /// is proved anew. True at most once for each flip.
  func findsDamage() -> Bool {
    guard forgetful.isDamaged, damageFoundLate < flips else { return false }
    damageFoundLate += 1
    note(.phase, nil, 10, "=== a proof has met damage: once more")
    beginSettling()
    scheduleReview()
    return true
  }
}

extension AntiEntropyReport {
  /// Every store was compared with every other owner's, and they hold the same.
  fileprivate var isFinished: Bool { stillDiffering == 0 && obstacles.isEmpty }
}
