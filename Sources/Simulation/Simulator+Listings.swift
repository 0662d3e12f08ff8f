import Causality
import Messages
import Primitives
import Replication

// Listings beside the clients' operations: somebody lists all keys through a node now and then, takes the parts as they
// come, and sometimes goes away in the middle. A listing that ends must be right; one that fails or whose node dies
// says nothing. Once all is calm, a listing through every node must succeed.

/// A listing that has not ended.
struct OpenListing {
  let life: Life
  let pauses: Int
  /// What it must meet of each key.
  let floors: [Stamp]
  /// How often each key was told.
  var listed: [Int]
  /// Parts after which its client goes away.
  var partsWanted: Int
  /// Whether this is one of the last phase.
  let isProof: Bool
  /// When the last part that was sent arrives: parts travel on one connection, in order.
  var lastArrival: Instant
}

extension Simulator {
  /// Sessions of listings are told from those of operations by their numbers.
  private static let firstListing: UInt64 = 1 << 40
  /// How long a listing may take, in time-outs of a request: each page may cost one.
  private static let patience = 40

  func scheduleListing() {
    schedule(.list, after: generator.duration(milliseconds: 100...1500))
  }

  /// Somebody lists the keys through a node drawn at random.
  func list() {
    scheduleListing()
    guard phase != .converging, phase != .proving, phase != .comparing else { return }
    let machine = machines[core[generator.below(core.count)]]
    guard machine.state != .down else { return }
    let partsWanted = generator.chance(1, in: 6) ? generator.number(in: 0...2) : Int.max
    beginListing(through: machine, partsWanted: partsWanted, isProof: false)
  }

  func beginListing(through machine: Machine, partsWanted: Int, isProof: Bool) {
    listingsBegun += 1
    let session = Simulator.firstListing + listingsBegun
    openListings[session] = OpenListing(
      life: machine.life, pauses: machine.pauses, floors: history.listingFloors(),
      listed: Array(repeating: 0, count: workload.keys.count), partsWanted: partsWanted, isProof: isProof,
      lastArrival: now)
    note(.request, machine, session, "listing \(listingsBegun) is asked for")
    deliver(.list(workload.listing, session: SessionID(session)), to: machine)
    let patience = options.requestTimeoutMilliseconds * Simulator.patience
    schedule(.listingPatienceEnds(session), after: UInt64(patience) * 1_000_000)
  }

  /// The node sends a part on its way to the client.
  func send(_ part: ListingPart, of session: UInt64) {
    guard let listing = openListings[session] else { return }
    let arrival = max(listing.lastArrival, now.adding(nanoseconds: generator.clientDelay()))
    openListings[session]?.lastArrival = arrival
    queue.schedule(.listingPart(session, part), at: arrival)
  }

  func take(_ part: ListingPart, of session: UInt64) {
    guard let listing = openListings[session] else { return }
    note(.response, nil, session, "listing \(session - Simulator.firstListing): \(describe(part))")
    switch part {
    case .names(let names):
      count(names, of: session)
      guard listing.partsWanted > 0, let machine = machine(listing.life) else { return giveUp(session) }
      openListings[session]?.partsWanted -= 1
      deliver(.listContinues(SessionID(session)), to: machine)
    case .end:
      openListings[session] = nil
      for violation in history.check(listed: listing.listed, floors: listing.floors, at: now) {
        history.report(violation)
      }
      if listing.isProof {
        proofsDone += 1
        prove()
      }
    case .failed(let failure):
      openListings[session] = nil
      if case .damaged = failure, !history.rules.expectsDamage {
        report(.wrongAnswer, "a listing met damage: \(failure)")
      }
      if listing.isProof, !findsDamage() { report(.unavailable, "all is calm, and a listing failed: \(failure)") }
    }
  }

  private func count(_ names: ListedNames, of session: UInt64) {
    for index in 0..<names.count {
      let name = Array(names.bytes[names.place(index)])
      if let key = workload.keys.firstIndex(where: { $0.key == name }) {
        openListings[session]?.listed[key] += 1
      } else {
        report(.inventedValue, "a listing tells key \(name), which nobody wrote")
      }
    }
  }

  private func giveUp(_ session: UInt64) {
    guard let listing = openListings.removeValue(forKey: session), let machine = machine(listing.life) else { return }
    deliver(.listAbandoned(SessionID(session)), to: machine)
  }

  /// Whoever lists through this machine goes away.
  func giveUpListings(through machine: Machine) {
    for session in openListings.keys.sorted() where openListings[session]?.life.machine == machine.index {
      giveUp(session)
    }
  }

  /// The process is gone: its listings are cut off, which their clients see.
  func loseListings(of life: Life) {
    let proofsLost = openListings.values.contains { $0.life == life && $0.isProof }
    openListings = openListings.filter { $0.value.life != life }
    if proofsLost { report(.unavailable, "all is calm, and a listing was cut off") }
  }

  func listingPatienceEnds(_ session: UInt64) {
    guard let listing = openListings[session] else { return }
    if let machine = machine(listing.life), machine.state == .up, machine.pauses == listing.pauses {
      report(.wrongAnswer, "n\(machine.number) has not ended listing \(session - Simulator.firstListing)")
    }
    openListings[session] = nil
  }

  private func describe(_ part: ListingPart) -> String {
    switch part {
    case .names(let names): "\(names.count) keys"
    case .end: "end"
    case .failed(let failure): "\(failure)"
    }
  }
}
