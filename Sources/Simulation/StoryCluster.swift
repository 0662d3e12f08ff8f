import Cluster
package import Messages
import Primitives
import Replication
package import Storage

// A few nodes without chance, for a story that is told step by step: every message arrives at once and in order, every
// sync finishes at once, and time passes only when it is told to. One rule of the delete protocol may be left out. Where
// chance belongs, the simulator is the tool.

package final class StoryCluster {
  /// What is shown of one node.
  package struct Look: Equatable, Sendable {
    package var isUp = true
    package var values = 0
    package var tombstones = 0
    /// What the tombstones that have waited longest wait for.
    package var reason = ""
    package var hints = 0
    package var turnedAway = 0
    package var quarantined = 0
  }

  /// What all nodes keep to, besides the rules.
  package struct Settings: Sendable {
    package var partitions: UInt16 = 4
    package var handoffBytesPerSecond: UInt64 = 16 << 20
    package var hintRetryMilliseconds: UInt64 = 1000
    package var tombstoneHoldMilliseconds: UInt64 = 60_000
    package var feedMilliseconds: UInt64 = 1000
    package var antiEntropyMilliseconds: UInt64 = 300_000
    package init() {}
  }

  private final class Machine {
    let options: NodeOptions
    let platter: Platter
    /// Nil while the process does not run.
    var node: Node<MountedDisk>?
    var lives: UInt64 = 0

    init(_ options: NodeOptions) {
      self.options = options
      platter = Platter(SimulatedDisk(seed: options.seed, root: StoryCluster.directory))
    }
  }

  private struct Letter {
    let from: NodeID
    let to: NodeID
    let message: PeerMessage
  }

  private static let directory = "data"
  private static let tickMilliseconds: UInt64 = 10
  /// A request is answered within this time.
  private static let patienceMilliseconds: UInt64 = 10_000

  private var machines: [Machine] = []
  private var queue: [Letter] = []
  /// Nodes whose next turn must not wait.
  private var unfinished: Set<UInt32> = []
  private var answers: [UInt64: ClientResponse] = [:]
  private var sessions: UInt64 = 0
  /// Since the cluster began.
  package private(set) var milliseconds: UInt64 = 0
  /// What went wrong with a process: it is over for good then.
  package private(set) var stops: [String] = []

  /// - Parameter rule: Not kept by any node; nil: all are.
  package init(nodes count: Int, _ settings: Settings, without rule: Rule?) {
    let members = (1...count).map { Member(id: NodeID(UInt32($0)), name: "n\($0)", address: "n\($0):1") }
    for member in members {
      var options = NodeOptions(
        name: member.name, members: members, directory: StoryCluster.directory,
        seed: UInt64(member.id.rawValue) * 7919)
      options.partitions = settings.partitions
      options.handoffBytesPerSecond = settings.handoffBytesPerSecond
      options.hintRetryMilliseconds = settings.hintRetryMilliseconds
      options.tombstoneHoldMilliseconds = settings.tombstoneHoldMilliseconds
      options.feedMilliseconds = settings.feedMilliseconds
      options.antiEntropyMilliseconds = settings.antiEntropyMilliseconds
      if let rule { options.rules = Rules.all.without(rule) }
      machines.append(Machine(options))
    }
    for number in 1...count { start(number) }
  }

  private subscript(_ id: NodeID) -> Machine { machines[Int(id.rawValue) - 1] }
  private func id(_ number: Int) -> NodeID { NodeID(UInt32(number)) }

  private var moment: Moment {
    Moment(
      instant: Instant(nanoseconds: (milliseconds + 1_000_000) * 1_000_000),
      wallMilliseconds: 1_700_000_000_000 + milliseconds)
  }

  // MARK: - What happens

  /// Starts a node on what its disk holds.
  package func start(_ number: Int) {
    let machine = machines[number - 1]
    guard machine.node == nil else { return }
    var options = machine.options
    options.seed += machine.lives
    machine.lives += 1
    do throws(NodeStartError) {
      machine.node = try Node(options: options, disk: MountedDisk(platter: machine.platter), at: moment)
    } catch {
      return stops.append("n\(number) does not start: \(error)")
    }
    finishTurn(id(number))
    for other in 1...machines.count where other != number && machines[other - 1].node != nil {
      step(id(number), .link(id(other), up: true))
      step(id(other), .link(id(number), up: true))
    }
    run()
  }

  /// kill -9: what was written stays.
  package func kill(_ number: Int) {
    let machine = machines[number - 1]
    guard machine.node != nil else { return }
    machine.node = nil
    machine.platter.disk.killProcess()
    queue.removeAll { $0.from == id(number) || $0.to == id(number) }
    unfinished.remove(UInt32(number))
    for other in 1...machines.count { step(id(other), .link(id(number), up: false)) }
    run()
  }

  /// Lets time pass.
  package func advance(milliseconds passing: UInt64) {
    let end = milliseconds + passing
    while milliseconds < end {
      milliseconds += StoryCluster.tickMilliseconds
      for number in 1...machines.count { step(id(number), .tick) }
      run()
    }
  }

  /// What a client is answered by this node; nil when nothing came for a while.
  package func ask(_ number: Int, _ request: ClientRequest) -> ClientResponse? {
    sessions += 1
    let session = sessions
    step(id(number), .client(request, session: SessionID(session)))
    run()
    let deadline = milliseconds + StoryCluster.patienceMilliseconds
    while answers[session] == nil, milliseconds < deadline { advance(milliseconds: StoryCluster.tickMilliseconds) }
    return answers.removeValue(forKey: session)
  }

  // MARK: - What there is

  package func look(at number: Int) -> Look {
    var look = Look()
    let machine = machines[number - 1]
    guard let status = machine.node?.status(at: moment) else {
      look.isUp = false
      return look
    }
    let tombstones = machine.node?.tombstoneStatus(at: moment)
    look.values = status.keysLive
    look.tombstones = status.tombstones
    look.reason = tombstones?.blockedBy.first?.blocker.text ?? ""
    look.hints = status.hints.reduce(0) { $0 + $1.count }
    look.turnedAway = Int(status.counters.stalePushesDropped)
    look.quarantined = status.quarantine.count
    return look
  }

  /// The node serves with all of its stores, and sees all others up.
  package func isWhole(_ number: Int) -> Bool {
    guard let status = machines[number - 1].node?.status(at: moment) else { return false }
    return status.state == .serving && status.peers.allSatisfy { $0.link == .up }
      && status.stores.allSatisfy { $0.role == .active }
  }

  // MARK: - Turns

  private func step(_ id: NodeID, _ event: Event) {
    guard self[id].node != nil else { return }
    self[id].node?.step(event, at: moment)
    finishTurn(id)
  }

  private func run() {
    while true {
      if !queue.isEmpty {
        let letter = queue.removeFirst()
        step(letter.to, .peer(letter.message, from: letter.from))
      } else if let next = unfinished.min() {
        unfinished.remove(next)
        finishTurn(NodeID(next))
      } else {
        return
      }
    }
  }

  private func finishTurn(_ id: NodeID) {
    guard let batch = self[id].node?.flush(at: moment) else { return }
    for effect in batch.free { perform(effect, of: id) }
    if batch.wantsTurn { unfinished.insert(id.rawValue) }
    guard let request = batch.sync else { return }
    do throws(StorageError) {
      for file in request.files { try self[id].platter.disk.sync(file) }
    } catch { return step(id, .syncFailed(request.ticket, error)) }
    for effect in batch.afterSync { perform(effect, of: id) }
    step(id, .synced(request.ticket))
  }

  private func perform(_ effect: Effect, of id: NodeID) {
    switch effect {
    case .respond(let response, let session): answers[session.rawValue] = response
    // Nobody lists, no operator asks, and what nodes log is not part of a story.
    case .listing, .adminDone, .log: break
    case .send(let message, let node):
      if self[node].node != nil { queue.append(Letter(from: id, to: node, message: message)) }
    case .job(let job):
      do throws(StorageError) {
        for step in job.steps { try step.perform(on: &self[id].platter.disk) }
      } catch { return step(id, .jobFailed(job.id, error)) }
      step(id, .jobDone(job.id))
    case .read(let ticket, let read): finish(read, ticket, of: id)
    case .stop(let reason): stops.append("n\(id.rawValue) stops: \(reason)")
    case .disconnect(let node):
      step(id, .link(node, up: false))
      step(id, .link(node, up: true))
    }
  }

  private func finish(_ read: ColdRead, _ ticket: ReadTicket, of id: NodeID) {
    do throws(StorageError) {
      let answer = try self[id].platter.disk.read(read.file, at: read.offset, count: read.count, mayBlock: true)
      if case .bytes(let bytes) = answer { step(id, .read(ticket, bytes: bytes)) }
    } catch { step(id, .readFailed(ticket, error)) }
  }
}
