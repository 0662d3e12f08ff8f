package import Causality
package import Messages
package import Primitives
package import Storage

// The checker of one run: told what clients ask, what they are answered, and what is seen on the wire; says which
// promise an answer breaks. It knows nothing of how a node works. What a client never hears of may have happened or
// not, then or later: such an operation claims nothing.

package struct History: Sendable {
  /// Violations kept; a broken run repeats itself.
  package static let violationsMax = 20

  private struct Open: Sendable {
    let operation: Operation
    /// What had been acknowledged when it was asked for, as far as the nodes it must meet keep it.
    let floor: Stamp
    /// The same for an answer that speaks for every owner.
    let floorOfAll: Stamp
    /// The same for a delete, by how many of its quorum were no owners: those have met nothing.
    let floorsWithStandIns: [Stamp]
    /// The client's own last write that it must find.
    let ownWrite: Stamp?
    /// What was deleted when it was asked for: no value below this.
    let deleted: Stamp
    /// The newest tombstone that an owner had forgotten then.
    let forgotten: Stamp
  }

  package let rules: QuorumRules
  private let keys: Int
  private var ledger = ValueLedger()
  private var writes: AcknowledgedWrites
  private var ownWrites: OwnWrites
  private var lastInvoked = 0
  /// How far a clock may be from the true one where values expire.
  package var clockErrorMilliseconds: UInt64 {
    get { ledger.clockErrorMilliseconds }
    set { ledger.clockErrorMilliseconds = newValue }
  }
  private var listings: ListingChecker
  package private(set) var deletions: DeletionChecker
  private var outcomes: OutcomeOrder
  private var open: [Int: Open] = [:]
  private var acknowledgedKeys: Set<Int> = []
  /// Acknowledged writes that stand-ins keep as hints, with the owners that will keep them in the end.
  private var handedOver: [(key: Int, stamp: Stamp, nodes: Int)] = []
  /// By stamp, the last message that carried it.
  private var carriers: [Stamp: Carrier] = [:]
  package private(set) var counts = OperationCounts()
  package private(set) var violations: [Violation] = []

  package init(rules: QuorumRules, keys: Int) {
    self.rules = rules
    writes = AcknowledgedWrites(keys: keys, n: rules.n)
    ownWrites = OwnWrites(n: rules.n)
    listings = ListingChecker(keys: keys)
    deletions = DeletionChecker(keys: keys, n: rules.n)
    outcomes = OutcomeOrder(keys: keys)
    self.keys = keys
  }

  package mutating func report(_ violation: Violation) {
    if violations.count < History.violationsMax { violations.append(violation) }
  }

  /// - Parameter held: The newest version of its key that an owner has on its disk for good, where somebody has looked.
  package mutating func invoke(_ operation: Operation, held: Stamp = .zero) {
    counts.invoked += 1
    lastInvoked = operation.number
    if case .put(let put) = operation.request {
      ledger.invoked(
        put: operation.number, key: operation.key, payload: put.payload, lifetime: put.lifetime,
        at: operation.invoked)
    }
    listings.invoked(operation)
    let floor = writes.floor(key: operation.key, nodes: nodesMet(by: operation))
    let floorOfAll = max(held, writes.floor(key: operation.key, nodes: rules.n))
    let met = operation.kind == .delete ? nodesMet(by: operation) : 0
    let floors = (0...max(0, met)).map { writes.floor(key: operation.key, nodes: max(0, met - $0)) }
    let ownWrite = ownWrites.floor(key: operation.key, of: operation.asker, nodes: nodesMet(by: operation))
    let deleted = deletions.floor(
      key: operation.key, nodes: nodesMet(by: operation), thatForget: rules.nodesThatForget)
    open[operation.number] = Open(
      operation: operation, floor: floor, floorOfAll: floorOfAll, floorsWithStandIns: floors,
      ownWrite: ownWrite, deleted: deleted, forgotten: deletions.forgotten(key: operation.key))
  }

  /// An operation that is not answered yet.
  package func operation(_ number: Int) -> Operation? { open[number]?.operation }

  /// Nodes whose state the success of this operation is based on.
  private func nodesMet(by operation: Operation) -> Int {
    switch operation.request {
    case .get(let get): rules.nodesRead(get.r)
    case .put(let put): rules.nodesReached(put.quorum)
    case .delete(let delete): rules.nodesReached(delete.quorum)
    }
  }

  /// A machine has lost what it had not synced, or more.
  package mutating func lost(machine: Int) {
    ownWrites.lost(machine: machine, after: lastInvoked)
    outcomes.lost()
  }

  /// An owner has forgotten a tombstone.
  package mutating func forgot(key: Int, stamp: Stamp) { deletions.forgot(key: key, stamp: stamp) }

  /// A machine has lost tombstones, and its peers cannot tell.
  package mutating func losesDeletesUnnoticed() { deletions.loseAcknowledged() }

  /// Whether a put of this key was acknowledged, to however many nodes.
  package func hasAcknowledged(key: Int) -> Bool { acknowledgedKeys.contains(key) }

  /// The client will never know.
  package mutating func abandon(_ number: Int) {
    if open.removeValue(forKey: number) != nil { counts.unknown += 1 }
  }

  /// - Parameters:
  ///   - standIns: Nodes that count toward the quorums of the write, and are not owners: they keep it as a hint.
  ///   - isSloppy: A node that is no owner counts toward the quorum of the read.
  package mutating func answer(
    _ number: Int, _ response: ClientResponse, standIns: Int = 0, isSloppy: Bool = false, at time: Instant
  ) {
    guard let asked = open.removeValue(forKey: number) else {
      report(Violation(.wrongAnswer, at: time, "a second answer to operation \(number): \(response)"))
      return
    }
    let operation = asked.operation
    note(response, of: operation)
    switch (operation.request, response) {
    case (_, .failed(let failure)):
      counts.failed += 1
      check(failure, of: operation, at: time)
    case (.get, .object(let stamp, let payload, let expiry)):
      note(ledger.see(key: operation.key, stamp: stamp, payload: payload, at: time))
      note(ledger.see(expiry, of: stamp, at: time))
      checkExpired(stamp, asked, at: time)
      checkDeleted(stamp, asked, isSloppy: isSloppy, at: time)
      checkRead(stamp, asked, isSloppy: isSloppy, at: time)
      checkOrder(stamp, asked, isSloppy: isSloppy, at: time)
    case (.get, .notFound(let tombstone)):
      if let tombstone { sawTombstone(of: operation.key, tombstone, at: time) }
      // A newer one may have been forgotten by all: then an older one says the same.
      let newest = tombstone.map { max($0, deletions.forgotten(key: operation.key)) }
      checkRead(newest, asked, isSloppy: isSloppy && tombstone != nil, at: time)
      checkOrder(nil, asked, isSloppy: isSloppy, at: time)
    case (.put(let put), .stored(let stamp)):
      note(ledger.acknowledged(put: number, key: operation.key, stamp: stamp, at: time))
      if let expiry = ledger.expiries(of: stamp)?.lowerBound {
        listings.expires(key: operation.key, stamp: stamp, expiry)
      }
      acknowledge(stamp, put.quorum, operation, standIns: standIns)
    case (.delete(let delete), .deleted(let stamp)):
      note(ledger.see(tombstoneOf: operation.key, stamp: stamp, at: time))
      checkDelete(stamp, asked, standIns: standIns, at: time)
      acknowledge(stamp, delete.quorum, operation, standIns: standIns)
      let owners = rules.ownersNoticed(delete.quorum, standIns: standIns)
      deletions.acknowledge(key: operation.key, stamp: stamp, owners: owners)
    case (.delete, .notFound(let tombstone)):
      checkNothingToDelete(tombstone, asked, at: time)
    case (.get, _), (.put, _), (.delete, _):
      report(Violation(.wrongAnswer, at: time, "\(operation.kind) \(number) was answered \(response)"))
    }
  }

  /// The versions that an answer names, for the checker of listings.
  private mutating func note(_ response: ClientResponse, of operation: Operation) {
    switch response {
    case .object(let stamp, _, _), .stored(let stamp):
      listings.saw(key: operation.key, stamp: stamp, isTombstone: false)
    case .deleted(let stamp), .notFound(let stamp?):
      listings.saw(key: operation.key, stamp: stamp, isTombstone: true)
      deletions.saw(tombstoneOf: operation.key, stamp: stamp)
    case .notFound(tombstone: nil), .failed: break
    }
    switch response {
    case .stored, .deleted, .notFound: listings.settled(operation)
    case .object, .failed: break
    }
  }

  private mutating func sawTombstone(of key: Int, _ stamp: Stamp, at time: Instant) {
    note(ledger.see(tombstoneOf: key, stamp: stamp, at: time))
  }

  /// Whether the value of this stamp expires.
  package func expires(_ stamp: Stamp) -> Bool { ledger.expiries(of: stamp) != nil }

  /// A value that had expired, by every clock, before it was asked for.
  private mutating func checkExpired(_ stamp: Stamp, _ asked: Open, at time: Instant) {
    let (invoked, error) = (ValueLedger.wall(asked.operation.invoked), clockErrorMilliseconds)
    guard let expiry = ledger.expiries(of: stamp)?.upperBound, expiry.isPast(invoked - error) else { return }
    report(
      Violation(
        .resurrected, at: time,
        "get \(asked.operation.number) of key \(asked.operation.key) found \(ledger.describe(stamp)) at \(stamp), which "
          + "expired at \(expiry)\(carrier(of: stamp))"))
  }

  /// Of each key, what a listing that is asked for now must meet.
  package func listingFloors() -> [Stamp] {
    let nodes = rules.nodesRead(.default)
    return (0..<keys).map { writes.floor(key: $0, nodes: nodes) }
  }

  /// What is wrong with a listing that has ended now.
  package func check(listed: [Int], floors: [Stamp], at time: Instant) -> [Violation] {
    listings.check(
      listed: listed, floors: floors, at: time, wallMilliseconds: ValueLedger.wall(time) + clockErrorMilliseconds)
  }

  /// A version of a key passed on the wire between two nodes.
  package mutating func saw(_ version: StoredVersion, key: Int, at time: Instant) {
    listings.saw(key: key, stamp: version.stamp, isTombstone: version.isTombstone)
    if version.isTombstone { deletions.saw(tombstoneOf: key, stamp: version.stamp) }
    guard !version.isTombstone else { return sawTombstone(of: key, version.stamp, at: time) }
    note(ledger.see(key: key, stamp: version.stamp, payload: version.value, at: time))
    note(ledger.see(version.expiry, of: version.stamp, at: time))
    if version.expiry != .never { listings.expires(key: key, stamp: version.stamp, version.expiry) }
  }

  package func isTombstone(_ stamp: Stamp) -> Bool { ledger.isTombstone(stamp) }

  // MARK: - What an answer must satisfy

  private mutating func note(_ violation: Violation?) {
    if let violation { report(violation) }
  }

  private mutating func acknowledge(
    _ stamp: Stamp, _ quorum: WriteQuorum, _ operation: Operation, standIns: Int
  ) {
    counts.succeeded += 1
    acknowledgedKeys.insert(operation.key)
    ownWrites.acknowledge(operation, stamp: stamp, nodes: max(0, rules.nodesReached(quorum) - standIns))
    let owners = rules.ownersKept(quorum, standIns: standIns)
    if owners > 0 { writes.acknowledge(key: operation.key, stamp: stamp, nodes: owners) }
    let nodes = rules.nodesKept(quorum)
    if standIns > 0, nodes > 0 { handedOver.append((operation.key, stamp, nodes)) }
  }

  /// Every hint has reached the owner that it was kept for: what counted as kept by a stand-in is kept by an owner now.
  package mutating func hintsAreDelivered(but dismissed: (Stamp) -> Bool = { _ in false }) {
    for write in handedOver where !dismissed(write.stamp) {
      writes.acknowledge(key: write.key, stamp: write.stamp, nodes: write.nodes)
    }
    handedOver = []
  }

  private mutating func checkRead(_ stamp: Stamp?, _ asked: Open, isSloppy: Bool, at time: Instant) {
    counts.succeeded += 1
    // The stand-in knows what it keeps, and not what its owner held before.
    if isSloppy { return }
    let operation = asked.operation
    if let own = asked.ownWrite, (stamp ?? .zero) < own, stillMet(asked), !mayBeGone(stamp, operation, above: own) {
      let text = "get \(operation.number) of key \(operation.key) found \(stamp.map { "\($0)" } ?? "nothing")"
      report(Violation(.ownWriteUnread, at: time, "\(text), its client wrote \(own) through the same process"))
    }
    guard (stamp ?? .zero) < asked.floor, !mayBeGone(stamp, operation, above: asked.floor) else { return }
    let told = stamp.map { "\($0)" } ?? "nothing"
    report(
      Violation(
        stamp == nil ? .falseNotFound : .acknowledgedWriteLost, at: time,
        "get \(operation.number) of key \(operation.key) found \(told), acknowledged before it was \(asked.floor)"))
  }

  /// Whether the client's own write has still to be found: a machine may have lost its copy during the read.
  private func stillMet(_ asked: Open) -> Bool {
    let operation = asked.operation
    let floor = ownWrites.floor(key: operation.key, of: operation.asker, nodes: nodesMet(by: operation))
    return floor.map { $0 >= asked.ownWrite ?? .zero } ?? false
  }

  /// Whether there is nothing because of a tombstone that every owner has forgotten by now.
  private func mayBeGone(_ found: Stamp?, _ operation: Operation, above floor: Stamp) -> Bool {
    found == nil && deletions.mayBeGone(key: operation.key, above: floor)
  }

  /// A value that was deleted before it was asked for.
  private mutating func checkDeleted(_ stamp: Stamp, _ asked: Open, isSloppy: Bool, at time: Instant) {
    let operation = asked.operation
    // What stands in for an owner has met nothing; one owner at least has been asked as well.
    let sloppy = rules.nodesThatForget == 0 ? asked.forgotten : .zero
    guard stamp < (isSloppy ? sloppy : asked.deleted) else { return }
    report(
      Violation(
        .resurrected, at: time,
        "get \(operation.number) of key \(operation.key) found \(ledger.describe(stamp)) at \(stamp), deleted at "
          + "\(asked.deleted) before it was asked for\(carrier(of: stamp))"))
  }

  private mutating func checkOrder(_ value: Stamp?, _ asked: Open, isSloppy: Bool, at time: Instant) {
    let operation = asked.operation
    guard !isSloppy, nodesMet(by: operation) >= rules.n else { return }
    // Of a value that expires clocks say one thing and the other for a while.
    if let value, expires(value) { return }
    let moment = outcomes.read(key: operation.key, value: value, invoked: operation.invoked, ended: time)
    guard let moment, let value else { return }
    report(
      Violation(
        .flipFlop, at: time,
        "get \(operation.number) of key \(operation.key) found \(ledger.describe(value)) at \(value) again, and at "
          + "\(moment.nanoseconds / 1_000_000) ms a read of all owners found something else"))
  }

  // MARK: - Who brought it

  /// A node sends this version to another one.
  package mutating func carried(_ stamp: Stamp, _ carrier: Carrier) { carriers[stamp] = carrier }

  package func carrier(of stamp: Stamp) -> String {
    guard let carrier = carriers[stamp] else { return "" }
    return "; n\(carrier.from + 1) sent it to n\(carrier.to + 1) last, as \(carrier.kind), at "
      + "\(carrier.time.nanoseconds / 1_000_000) ms"
  }

  private mutating func checkDelete(_ stamp: Stamp, _ asked: Open, standIns: Int, at time: Instant) {
    let floors = asked.floorsWithStandIns
    let floor = floors[min(standIns, floors.count - 1)]
    guard floor > .zero, stamp <= floor else { return }
    report(
      Violation(
        .deleteTooOld, at: time,
        "delete \(asked.operation.number) of key \(asked.operation.key) stands at \(stamp), not above \(floor)"))
  }

  /// "There was nothing to delete" speaks for all owners, and must be as new as anything acknowledged to one of them.
  private mutating func checkNothingToDelete(_ tombstone: Stamp?, _ asked: Open, at time: Instant) {
    counts.succeeded += 1
    guard (tombstone ?? .zero) < asked.floorOfAll,
      !mayBeGone(tombstone, asked.operation, above: asked.floorOfAll)
    else { return }
    report(
      Violation(
        .falseNotFound, at: time,
        "delete \(asked.operation.number) of key \(asked.operation.key) found nothing below \(asked.floorOfAll)"))
  }

  private mutating func check(_ failure: ClientFailure, of operation: Operation, at time: Instant) {
    switch failure {
    case .damaged(let detail):
      if rules.expectsDamage { return }
      report(Violation(.wrongAnswer, at: time, "\(operation.kind) \(operation.number) met damage: \(detail)"))
    case .invalidQuorum(let n):
      if nodesMet(by: operation) <= n {
        report(Violation(.wrongAnswer, at: time, "\(operation.kind) \(operation.number): its quorum was valid"))
      }
    case .invalidContext:
      report(Violation(.wrongAnswer, at: time, "\(operation.kind) \(operation.number): it brought no context"))
    case .unsatisfied, .timeout, .overloaded, .notReady, .full, .unavailable: break
    }
  }
}

/// A message that carried a version from one node to another.
package struct Carrier: Sendable {
  let kind: String
  let from: Int
  let to: Int
  let time: Instant

  package init(kind: String, from: Int, to: Int, time: Instant) {
    self.kind = kind
    self.from = from
    self.to = to
    self.time = time
  }
}

/// How many operations ended how.
package struct OperationCounts: Equatable, Sendable {
  package var invoked = 0
  package var succeeded = 0
  package var failed = 0
  /// The client was gone, or its node, before the answer.
  package var unknown = 0
  package init() {}
}
