import Causality
import Cluster
import Messages
import Primitives
import Replication
import Storage

// A cluster in a box: the production node under a simulated network, disk and clock, with clients and faults, all from
// one seed. It takes the place of the server's loop and drives each node by the same contract: step what is ready,
// flush, perform what is free, sync, then perform the rest. A run has three phases: the cluster is founded, it works
// under faults, and it must work without failure once they have stopped.
// Invariant: nothing here depends on anything but the seed and the options; no dictionary or set is ever walked.
// Left out: changes of membership.

/// What can happen next.
enum Happening {
  case turn(Life)
  case tick(Life)
  case arrival(SimulatedNetwork.Path, generation: Int, toLife: Int, bytes: [UInt8])
  case connect(Life, to: Int)
  case connected(Life, to: Int, toLife: Int)
  case disconnected(Life, from: Int, generation: Int)
  case syncFinished(Life, SyncRequest, afterSync: [Effect], isPerformed: Bool)
  case jobStep(Life, DiskLane)
  case coldRead(Life, ReadTicket, ColdRead)
  case think(client: Int)
  case request(Life, Operation)
  case response(operation: Int, ClientResponse)
  case patienceEnds(operation: Int, life: Life, pauses: Int)
  case hangUp(operation: Int)
  case list
  case listingPart(UInt64, ListingPart)
  case listingPatienceEnds(UInt64)
  case strike(Strike)
  case boot(machine: Int)
  case resume(Life)
  case heal([SimulatedNetwork.Path])
  case emptyDisk(machine: Int)
  case stopLate(Life, pauses: Int)
  case month
  case review
}

enum Phase: Equatable {
  case bootstrap
  case faults(until: Instant)
  /// No more faults; what was under way arrives.
  case settling(since: Instant)
  /// Nobody asks for anything any more: the owners come to hold the same.
  case converging
  case proving
  /// All is proved: what the last reads have repaired arrives.
  case comparing
  case over
}

final class Simulator {
  let seed: UInt64
  let options: SimulationOptions
  let omissions: Omissions
  /// Whether a store that served may come up without what it held; asked at every turn.
  let losesStores: Bool
  var now = Instant(nanoseconds: 0)
  var queue = EventQueue<Happening>()
  var machines: [Machine] = []
  var network: SimulatedNetwork
  /// How slow the disks are now.
  var diskPace: DiskOptions
  var workload: Workload
  let plan: FaultPlan
  /// For what belongs to no machine, client or path.
  var generator: SeededGenerator
  /// When operators ask for hints to be handed over.
  var operators: SeededGenerator
  /// When they ask for rounds of anti-entropy.
  var roundOperators: SeededGenerator
  var history: History
  var clients: ClientTable
  var wiretap: Wiretap
  /// Of the processes that have ended.
  var tally = HandoffTally()
  var antiEntropyTally = AntiEntropyTally()
  /// Stores of the machine that forgets.
  var refills = RefillWatch()
  /// Whether all owners hold the same in the end.
  var convergence: Convergence?
  /// Proofs that were begun anew because one met damage.
  var damageFoundLate = 0
  var promises = PromiseLedger()
  /// What of the deletes is looked at.
  var deletionProbes: SeededGenerator
  /// Messages that are late.
  var latecomers: SeededGenerator
  /// By machine and key, the newest tombstone that it has forgotten.
  var forgottenBy: [[Stamp]]
  var keysByHash: [UInt64: Int] = [:]
  var reviews: UInt64 = 0
  var ruleEvents = Tally<RuleEvent>()
  /// Answered with a hint's help.
  var sloppyReads: Set<Int> = []
  var probe: DurabilityProbe
  var trace: Trace
  var phase = Phase.bootstrap
  /// Those that took effect.
  var strikes: [StrikeReport] = []
  /// The machines that must serve once the faults are over; during the faults all.
  var core: [Int]
  /// In the calm of the core something was seen to wait for a machine that is out.
  var awaitsOutsiders = false
  /// A copy of the disk of the machine that may be given it back.
  var snapshot: SimulatedDisk?
  /// The last put of each client that succeeded.
  var justWritten: [Int: (life: Life, key: Int)] = [:]
  /// Hints on their way to owners.
  var settledHints = SettledHints()
  /// The key of its last delete that is to be looked at, by client.
  var justDeleted: [Int: Int] = [:]
  /// Messages that are late by hours.
  var overdue: [Overdue] = []
  /// When the last message sent under faults arrives.
  var lastLateArrival = Instant(nanoseconds: 0)
  /// When an operator made room in a quarantine: the hints that wait for it are tried again some time later.
  var lastDiscard = Instant(nanoseconds: 0)
  /// What remains to be asked once all is calm.
  var proofs: [Proof] = []
  var proofsDone = 0
  /// What the last full read found, while nothing has been written since.
  var agreement: (key: Int, stamp: Stamp)?
  /// By session.
  var openListings: [UInt64: OpenListing] = [:]
  var listingsBegun: UInt64 = 0

  init(seed: UInt64, options: SimulationOptions, without omissions: Omissions, trace: ((String) -> Void)?) {
    self.seed = seed
    self.options = options
    self.omissions = omissions
    losesStores = options.faults.nodesThatForget > 0
    core = Array(0..<options.nodes)
    self.trace = Trace(sink: trace)
    diskPace = options.faults.duringBootstrap ? options.disk : DiskOptions()
    network = SimulatedNetwork(nodes: options.nodes, options: options.network, seed: seed, without: omissions)
    workload = Workload(
      options: options.workload, replicas: options.replicas, lifetimeSeconds: options.lifetimeSeconds, seed: seed)
    plan = FaultPlan(options: options.faults, seed: seed)
    generator = SeededGenerator(seed: seed, stream: 5)
    operators = SeededGenerator(seed: seed, stream: 9)
    roundOperators = SeededGenerator(seed: seed, stream: 11)
    deletionProbes = SeededGenerator(seed: seed, stream: 13)
    latecomers = SeededGenerator(seed: seed, stream: 14)
    forgottenBy = Array(
      repeating: Array(repeating: .zero, count: options.workload.keys), count: options.nodes)
    var rules = QuorumRules(
      n: options.replicas, sync: options.syncVaries ? .never : options.sync,
      losesUnsyncedWrites: options.faults.losesUnsyncedWrites, nodesThatForget: options.faults.nodesThatForget)
    rules.expectsDamage = options.faults.mayDamage
    rules.isRefilled = options.faults.mayWipe && !options.faults.mayDamage
    rules.isFenced = options.faults.means[.restore] != nil && !options.faults.mayDamage
    history = History(rules: rules, keys: options.workload.keys)
    history.clockErrorMilliseconds = options.clockErrorMilliseconds
    clients = ClientTable(clients: options.workload.clients)
    probe = DurabilityProbe(seed: seed)
    wiretap = Wiretap(
      keys: workload.keys, nodes: options.nodes, losesUnsyncedWrites: options.faults.losesUnsyncedWrites)
    machines = makeMachines()
  }

  private func makeMachines() -> [Machine] {
    var machines: [Machine] = []
    for index in 0..<options.nodes {
      let bound = options.clocks.offsetMillisecondsMax
      let drift = options.clocks.driftPerMillionMax
      let driftDrawn = generator.number(in: -drift...drift)
      let offsetDrawn = generator.number(in: -bound...bound)
      let clock = SimulatedClock(
        driftPerMillion: omissions.contains(.drift) ? 0 : driftDrawn,
        offsetMilliseconds: omissions.contains(.offsets) ? 0 : offsetDrawn)
      var disk = SimulatedDisk(seed: generator.next(), root: Simulator.directory)
      disk.wouldBlockChance = omissions.contains(.coldReads) ? 0 : options.disk.coldReadsPerThousand
      machines.append(
        Machine(
          index: index, of: options.nodes, member: Simulator.member(index), clock: clock, disk: disk,
          generator: SeededGenerator(seed: generator.next())))
    }
    return machines
  }

  static func member(_ index: Int) -> Member {
    Member(id: NodeID(UInt32(index + 1)), name: "n\(index + 1)", address: "n\(index + 1):1")
  }

  func schedule(_ happening: Happening, after delay: UInt64) {
    queue.schedule(happening, at: now.adding(nanoseconds: delay))
  }

  func note(_ fact: Trace.Fact, _ machine: Machine?, _ detail: UInt64, _ text: @autoclosure () -> String) {
    trace.note(fact, at: now, node: machine?.number ?? 0, detail: detail, text())
  }

  func report(_ promise: Violation.Promise, _ text: String) {
    history.report(Violation(promise, at: now, text))
    note(.phase, nil, traceDigest(text.utf8), "VIOLATION: \(promise.rawValue): \(text)")
  }

  /// Runs to the end.
  func run() -> SimulationResult {
    begin()
    while phase != .over, let next = queue.next() {
      now = next.time
      perform(next.payload)
      if !history.violations.isEmpty { break }
    }
    return result()
  }

  private func perform(_ happening: Happening) {
    switch happening {
    case .turn(let life): turn(life)
    case .tick(let life): tick(life)
    case .arrival(let path, let generation, let toLife, let bytes):
      arrive(bytes, on: path, generation: generation, toLife: toLife)
    case .connect(let life, let peer): connect(life, to: peer)
    case .connected(let life, let peer, let peerLife): connected(life, to: peer, peerLife: peerLife)
    case .disconnected(let life, let peer, let generation): disconnected(life, from: peer, generation: generation)
    case .syncFinished(let life, let request, let afterSync, let isPerformed):
      syncFinished(life, request, afterSync: afterSync, isPerformed: isPerformed)
    case .jobStep(let life, let lane): jobStep(life, lane)
    case .coldRead(let life, let ticket, let read): coldRead(life, ticket, read)
    case .think(let client): think(client)
    case .request(let life, let operation): request(life, operation)
    case .response(let operation, let response): respond(operation, response)
    case .patienceEnds(let operation, let life, let pauses): patienceEnds(operation, life, pauses)
    case .hangUp(let operation): hangUp(operation)
    case .list: list()
    case .listingPart(let session, let part): take(part, of: session)
    case .listingPatienceEnds(let session): listingPatienceEnds(session)
    case .strike(let next): strike(next)
    case .boot(let machine): boot(machines[machine])
    case .resume(let life): resume(life)
    case .heal(let paths): heal(paths)
    case .emptyDisk(let machine): emptyDisk(machines[machine])
    case .stopLate(let life, let pauses): stopLate(life, pauses: pauses)
    case .month: passMonth()
    case .review: review()
    }
  }

  /// The machine on which this life still runs; nil when it is over.
  func machine(_ life: Life) -> Machine? {
    let machine = machines[life.machine]
    return machine.lives == life.number && machine.state != .down ? machine : nil
  }
}
