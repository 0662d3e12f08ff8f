import Causality
import Messages
import Primitives
import Replication

// Clients: they think, ask a node, wait, and think again. A client whose node dies never learns what became of its
// operation. One whose node lives is owed exactly one answer, soon after the operation's own deadline at the latest.

extension Simulator {
  /// How long after its deadline an operation may be answered: a slow disk, a turn, the way back.
  private static let patienceMilliseconds: UInt64 = 4000

  func beginClients() {
    for client in 0..<clients.count { schedule(.think(client: client), after: workload.thinkTime(of: client)) }
  }

  func think(_ client: Int) {
    guard clients.isIdle(client), phase != .converging, phase != .proving, phase != .comparing, phase != .over else {
      return
    }
    if case .settling(let since) = phase, !settles(since: since) { return }
    if let (machine, key) = followUp(of: client) {
      return ask(workload.read(key, for: client, at: now), of: client, machine)
    }
    let machine = machines[workload.node(for: client, of: core)]
    guard machine.state != .down else {
      schedule(.think(client: client), after: workload.thinkTime(of: client))
      return
    }
    if let key = justDeleted.removeValue(forKey: client) {
      return ask(workload.read(key, for: client, at: now), of: client, machine)
    }
    ask(workload.next(for: client, at: now), of: client, machine)
  }

  /// Where this client reads what it has just written, if it does: only the same process is of interest.
  private func followUp(of client: Int) -> (Machine, key: Int)? {
    guard let written = justWritten.removeValue(forKey: client), let machine = machine(written.life),
      core.contains(machine.index), workload.follows(client)
    else { return nil }
    return (machine, written.key)
  }

  func ask(_ operation: Operation, of client: Int, _ machine: Machine) {
    var operation = operation
    operation.asker = Operation.Asker(client: client, machine: machine.index, life: machine.lives)
    history.invoke(operation, held: heldForGood(operation))
    note(
      .request, machine, UInt64(operation.number),
      "client \(client) asks \(operation.number): \(describe(operation))")
    clients.begin(operation.number, of: client, at: machine.life)
    schedule(.request(machine.life, operation), after: workload.delay(of: client))
    let timeout = UInt64(operation.timeoutMilliseconds ?? UInt32(options.requestTimeoutMilliseconds))
    schedule(
      .patienceEnds(operation: operation.number, life: machine.life, pauses: machine.pauses),
      after: (timeout + Simulator.patienceMilliseconds) * 1_000_000)
  }

  /// What a delete must not overlook, in one of four: "nothing to delete" speaks for every owner.
  private func heldForGood(_ operation: Operation) -> Stamp {
    guard operation.kind == .delete, operators.chance(1, in: 4) else { return .zero }
    let key = workload.keys[operation.key]
    return reliableOwners(of: key).map {
      DurabilityProbe.stamps(of: [key], on: machines[$0].platter.disk, losesPower: true)[0]
    }.max() ?? .zero
  }

  func request(_ life: Life, _ operation: Operation) {
    guard let machine = machine(life) else { return }
    deliver(.client(operation.request, session: SessionID(UInt64(operation.number))), to: machine)
  }

  func respond(_ operation: Int, _ response: ClientResponse) {
    if clients.wait(of: operation) == .abandoned { return }
    note(.response, nil, UInt64(operation), "operation \(operation) is answered")
    let asked = history.operation(operation)
    history.answer(
      operation, response, standIns: response.stamp.map { wiretap.standIns(of: $0) } ?? 0,
      isSloppy: sloppyReads.remove(operation) != nil, at: now)
    guard let client = clients.finish(operation) else { return }
    if case .stored = response, let asked, let asker = asked.asker {
      justWritten[client] = (Life(machine: asker.machine, number: asker.life), asked.key)
    }
    if case .deleted = response, let asked, workload.looksAfter(client) { justDeleted[client] = asked.key }
    answered(response, client: client)
  }

  /// The connection to the node is lost.
  func hangUp(_ operation: Int) {
    guard let client = clients.abandon(operation) else { return }
    note(.response, nil, UInt64(operation), "operation \(operation) is never answered: its node is gone")
    history.abandon(operation)
    answered(nil, client: client)
  }

  func patienceEnds(_ operation: Int, _ life: Life, _ pauses: Int) {
    guard case .waiting(_, life)? = clients.wait(of: operation) else { return }
    if let machine = machine(life), machine.state == .up, machine.pauses == pauses {
      report(.wrongAnswer, "n\(machine.number) has not answered operation \(operation)")
    }
    hangUp(operation)
  }

  private func answered(_ response: ClientResponse?, client: Int) {
    if phase == .proving {
      proved(response)
    } else {
      // Who looks after a delete does so at once.
      let pause = justDeleted[client] == nil ? workload.thinkTime(of: client) * pace : 0
      schedule(.think(client: client), after: pause)
    }
  }

  /// While nothing but late messages is waited for, clients are in no hurry.
  private var pace: UInt64 {
    guard case .settling(let since) = phase, now > since.adding(milliseconds: Simulator.settleMilliseconds) else {
      return 1
    }
    return 20
  }

  private func describe(_ operation: Operation) -> String {
    switch operation.request {
    case .get(let get): "get k\(operation.key), r \(get.r)"
    case .put(let put): "put k\(operation.key), \(describe(put.quorum))"
    case .delete(let delete): "delete k\(operation.key), \(describe(delete.quorum))\(delete.always ? ", always" : "")"
    }
  }

  private func describe(_ quorum: WriteQuorum) -> String { "w \(quorum.w), dw \(quorum.dw)" }
}
