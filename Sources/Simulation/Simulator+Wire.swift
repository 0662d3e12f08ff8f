import Causality
import Cluster
import Messages
import Primitives
import Replication
import Storage

// Between the nodes: connections that are made, broken and made again, and messages that travel as the bytes of the
// real codec. A message reaches only the process that accepted its connection; the answer to an earlier process of a
// node may still reach the later one, because it travels on a connection of its own.

extension Simulator {
  private func path(_ from: Int, _ to: Int) -> SimulatedNetwork.Path { SimulatedNetwork.Path(from: from, to: to) }

  // MARK: - Messages

  func send(_ message: PeerMessage, from machine: Machine, to peer: Machine) {
    if case .hello(let hello) = message.body { checkActor(hello.actor, of: machine) }
    if let seen = wiretap.listen(message, from: machine.index, to: peer.index) {
      history.saw(seen.version, key: seen.key, at: now)
      carried(seen.version, by: message, machine, peer)
    }
    for record in wiretap.pulled(message) {
      history.saw(record.version, key: record.key, at: now)
      carried(record.version, by: message, machine, peer)
    }
    if case .storeStates(let states) = message.body { checkPromises(states, from: machine, to: peer) }
    checkRole(message, from: machine, to: peer)
    checkSettled(message, from: machine, to: peer)
    if let kept = wiretap.takeKept() { checkKept(by: kept.keeper, for: kept.owner, key: kept.key) }
    let path = path(machine.index, peer.index)
    let connection = network[path]
    guard connection.isUp else { return }
    if machine.chaos.strikes(.messageDropped) {
      note(.drop, machine, UInt64(peer.number), "-> n\(peer.number) dropped, its queue is full: \(describe(message))")
      return
    }
    var bytes: [UInt8] = []
    message.encode(into: &bytes)
    let fate = network.send(bytes, on: path)
    note(
      .send, machine, UInt64(crc32c(bytes)),
      "-> n\(peer.number) \(describe(message))\(fate.first == nil ? ", lost" : fate.second == nil ? "" : ", twice")")
    let late = lateness(of: message)
    for delay in [fate.first, fate.second] {
      guard let delay = delay.map({ $0 + late }) else { continue }
      travel(bytes, on: path, generation: connection.generation, toLife: connection.peerLife, delay: delay)
    }
    if connection.peerLife != peer.lives, peer.state == .up, !network.isCut(path) {
      // The addressee is another process by now, and says so.
      let delay = 2 * network.signalDelay(path)
      schedule(.disconnected(machine.life, from: peer.index, generation: connection.generation), after: delay)
    }
  }

  /// How much later than others a message comes that brings a version, or says how far a store is.
  private func lateness(of message: PeerMessage) -> UInt64 {
    guard isFaulty, options.deletes.latePerThousand > 0, !omissions.contains(.lateness) else { return 0 }
    guard let kind = LateMessage(message.body), options.deletes.late.contains(kind),
      latecomers.chance(options.deletes.latePerThousand, in: 1000)
    else { return 0 }
    return latecomers.duration(milliseconds: options.deletes.lateMilliseconds)
  }

  private func carried(_ version: StoredVersion, by message: PeerMessage, _ from: Machine, _ to: Machine) {
    let kind =
      switch message.body {
      case .push(let push): describe(push.kind)
      case .pullReply: "an answer to a pull"
      case .readReply: "an answer to a read"
      default: "an entry of its feed"
      }
    history.carried(version.stamp, Carrier(kind: kind, from: from.index, to: to.index, time: now))
  }

  /// A process that follows one which did not stop cleanly goes by another name: nobody knows which stamps were issued
  /// under the old one.
  private func checkActor(_ actor: ActorID, of machine: Machine) {
    if let last = machine.actor, last.id == actor, last.life != machine.lives {
      report(.oneStamp, "n\(machine.number) is \(actor) again, in life \(machine.lives) as in life \(last.life)")
    }
    machine.actor = (actor, machine.lives)
  }

  private func travel(
    _ bytes: [UInt8], on path: SimulatedNetwork.Path, generation: Int, toLife: Int, delay: UInt64
  ) {
    let arrival = now.adding(nanoseconds: delay)
    if delay > Simulator.overdueNanoseconds {
      if overdue.count < Simulator.overdueMax {
        overdue.append(Overdue(arrival: arrival, path: path, generation: generation, toLife: toLife, bytes: bytes))
      }
      return
    }
    if isFaulty { lastLateArrival = max(lastLateArrival, arrival) }
    queue.schedule(.arrival(path, generation: generation, toLife: toLife, bytes: bytes), at: arrival)
  }

  func arrive(_ bytes: [UInt8], on path: SimulatedNetwork.Path, generation: Int, toLife: Int) {
    let machine = machines[path.to]
    guard machine.lives == toLife, machine.state != .down, generation >= network[path].lostBelow else { return }
    var reader = ByteReader(bytes)
    do throws(CodecError) {
      let message = try PeerMessage(decoding: &reader)
      note(.deliver, machine, UInt64(crc32c(bytes)), "<- n\(path.from + 1) \(describe(message))")
      deliver(
        .peer(message, from: machines[path.from].member.id),
        of: Life(machine: path.from, number: network.maker(of: generation, on: path)), to: machine)
    } catch {
      report(.wrongAnswer, "n\(path.from + 1) sent n\(machine.number) what does not decode: \(error)")
    }
  }

  // MARK: - Connections

  /// As a node's own door does it: a process is heard once it has said a hello that the node accepts. The node hears of one
  /// that it does not, and the connection is closed.
  func admits(_ heard: Heard, _ machine: Machine) -> Bool {
    guard let sender = heard.sender, case .peer(let message, _) = heard.event else { return true }
    if machine.introduced[sender.machine].contains(sender.number) { return true }
    guard case .hello(let hello) = message.body else {
      note(
        .drop, machine, UInt64(sender.machine + 1),
        "does not hear n\(sender.machine + 1), whose hello it has not accepted")
      return false
    }
    if machine.node?.accepts(hello) == true {
      machine.introduced[sender.machine].insert(sender.number)
    } else {
      let connection = network[path(sender.machine, machine.index)]
      let delay = network.signalDelay(path(machine.index, sender.machine))
      schedule(.disconnected(sender, from: machine.index, generation: connection.generation), after: delay)
    }
    return true
  }

  func connect(_ life: Life, to peer: Int) {
    guard let machine = machine(life), !network[path(machine.index, peer)].isUp else { return }
    let isOpen = !network.isCut(path(machine.index, peer)) && !network.isCut(path(peer, machine.index))
    guard isOpen, machines[peer].state != .down else {
      schedule(.connect(life, to: peer), after: machine.generator.duration(milliseconds: 20...500))
      return
    }
    let delay = 2 * network.signalDelay(path(machine.index, peer))
    schedule(.connected(life, to: peer, toLife: machines[peer].lives), after: delay)
  }

  func connected(_ life: Life, to peer: Int, peerLife: Int) {
    guard let machine = machine(life), !network[path(machine.index, peer)].isUp else { return }
    guard machines[peer].lives == peerLife, machines[peer].state != .down else {
      connect(life, to: peer)
      return
    }
    let generation = network.connect(path(machine.index, peer), life: machine.lives, peerLife: peerLife)
    note(.link, machine, UInt64(generation), "connected to n\(peer + 1)")
    deliver(.link(machines[peer].member.id, up: true), to: machine)
  }

  /// The maker of a connection learns that it is broken.
  func disconnected(_ life: Life, from peer: Int, generation: Int) {
    guard let machine = machine(life), network[path(machine.index, peer)].generation == generation else { return }
    drop(machine, to: peer)
  }

  /// Ends the machine's own connection to the peer, and makes another after a while.
  func drop(_ machine: Machine, to peer: Int) {
    guard network[path(machine.index, peer)].isUp else { return }
    network.disconnect(path(machine.index, peer))
    note(.link, machine, 0, "lost its connection to n\(peer + 1)")
    deliver(.link(machines[peer].member.id, up: false), to: machine)
    schedule(.connect(machine.life, to: peer), after: machine.generator.duration(milliseconds: 10...300))
  }

  /// The machine's process is gone. Its peers are told by its kernel, unless that is gone as well: then they find out
  /// when they have waited long enough.
  func breakConnections(of machine: Machine, with peer: Machine, isSilent: Bool) {
    if network[path(machine.index, peer.index)].isUp { network.disconnect(path(machine.index, peer.index)) }
    let connection = network[path(peer.index, machine.index)]
    guard connection.isUp, peer.state != .down else { return }
    let isUnheard = isSilent || network.isCut(path(machine.index, peer.index))
    let path = path(peer.index, machine.index)
    let delay = isUnheard ? peer.generator.duration(milliseconds: 5000...15_000) : network.signalDelay(path)
    schedule(.disconnected(peer.life, from: machine.index, generation: connection.generation), after: delay)
  }

  func heal(_ paths: [SimulatedNetwork.Path]) {
    for path in paths where network.isCut(path) && !machines[path.from].isOut && !machines[path.to].isOut {
      note(.fault, machines[path.from], UInt64(path.to), "reaches n\(path.to + 1) again")
      for held in network.heal(path) {
        travel(held.bytes, on: path, generation: held.generation, toLife: held.peerLife, delay: held.delay)
      }
    }
  }

  private func describe(_ message: PeerMessage) -> String {
    switch message.body {
    case .hello(let hello): "hello, boot \(hexadecimal(hello.bootID)), actor \(hello.actor)"
    case .helloReply(let reply): "hello reply, \(reply.refusal.map { "refused: \($0)" } ?? "welcome")"
    case .ping(let ping):
      "ping \(ping.sequence)\(ping.suspects.isEmpty ? "" : ", suspects \(describe(ping.suspects))")"
    case .pingReply(let reply): "ping reply \(reply.sequence)"
    case .pingRequest(let request): "ping request \(request.sequence) for \(describe([request.target]))"
    case .pingRelayed(let relayed): "ping relayed \(relayed.sequence) of \(describe([relayed.target]))"
    case .storeStates(let states): "states: \(states.states.map { describe($0) }.joined(separator: ", "))"
    case .storeStatesReply(let reply): "states reply \(reply.answers): \(describe(reply))"
    case .push(let push): "\(describe(push.kind)) \(push.operation) of \(name(push.key)) \(describe(push.version))"
    case .pushReply(let reply): "push reply \(reply.operation): \(reply.outcome)"
    case .read(let read): "read \(read.operation) of \(name(read.key)), \(read.subject)"
    case .readReply(let reply):
      switch reply.outcome {
      case .found(let version): "read reply \(reply.operation): \(describe(version))"
      case .digest(let stamp, let isTombstone, _):
        "read reply \(reply.operation): \(isTombstone ? "tombstone" : "value") at \(stamp)"
      case .absent: "read reply \(reply.operation): absent"
      case .refused(let refusal): "read reply \(reply.operation): refused, \(refusal)"
      }
    case .forward(let forward): "forward \(forward.operation), stamp \(forward.stamp.map { "\($0)" } ?? "none")"
    case .forwardReply(let reply): "forward reply \(reply.operation): \(reply.outcome)"
    case .list(let list): "list \(list.operation)/\(list.sequence) of \(list.store)"
    case .listReply(let reply):
      switch reply.outcome {
      case .page(let page): "list reply \(reply.operation)/\(reply.sequence): \(page.bytes.count) bytes"
      case .refused(let refusal): "list reply \(reply.operation)/\(reply.sequence): refused, \(refusal)"
      }
    case .compare(let compare): "compare \(compare.operation): \(describe(compare.subject))"
    case .compareReply(let reply): "compare reply \(reply.operation): \(describe(reply.outcome))"
    case .pull(let pull): "pull \(pull.operation) of \(pull.store): \(describe(pull.subject))"
    case .pullReply(let reply): "pull reply \(reply.operation): \(describe(reply.outcome))"
    }
  }

  private func describe(_ kind: PushKind) -> String {
    switch kind {
    case .write: "push"
    case .repair: "repair"
    case .handoff: "handoff"
    case .hint(let owner): "hint for n\(owner.rawValue)"
    }
  }

  private func describe(_ subject: CompareSubject) -> String {
    switch subject {
    case .roots(let roots, let beginsRound): "\(roots.count) roots\(beginsRound ? ", a round" : "")"
    case .segments(let store, _, _): "segments of \(store)"
    case .slots(let store, _, let question):
      "segment \(question.segment) of \(store), \(question.leaves.count) leaves"
    }
  }

  private func describe(_ outcome: CompareOutcome) -> String {
    switch outcome {
    case .roots(let answers): "\(answers.count { $0.verdict != .equal }) of \(answers.count) roots are not equal"
    case .segments(let answer): "\(answer.differing.nonzeroBitCount) segments differ, \(answer.keys) keys"
    case .slots(let page): "\(page.slots.count) slots\(page.isHidden ? ", hidden" : "")"
    case .refused(let refusal): "refused, \(refusal)"
    }
  }

  private func describe(_ subject: PullSubject) -> String {
    switch subject {
    case .items(let items): "\(items.count) hashes"
    case .range(let segment, _): "segment \(segment)"
    }
  }

  private func describe(_ answer: PullAnswer) -> String {
    switch answer {
    case .page(let page): "\(page.records.count) records\(page.next == nil ? "" : ", more to come")"
    case .refused(let refusal): "refused, \(refusal)"
    }
  }

  private func describe(_ nodes: [NodeID]) -> String {
    nodes.map { "n\($0.rawValue)" }.joined(separator: " ")
  }

  private func describe(_ state: StoreState) -> String {
    "\(state.store) \(state.role)\(state.isNew ? ", new" : "")\(state.recognizes == .none ? "" : ", knows you"), "
      + "to \(state.tsnHead), followed to \(state.cursor.tsn)"
  }

  private func describe(_ reply: StoreStatesReply) -> String {
    let verdicts = reply.verdicts.map { "\($0.store) \($0.judgement)" }
    let feeds = reply.feeds.map { "\($0.entries.count) tombstones of \($0.store) to \($0.next) of \($0.head)" }
    return (verdicts + feeds).joined(separator: ", ")
  }

  private func name(_ key: ObjectKey) -> String { String(decoding: key.key, as: UTF8.self) }

  private func describe(_ version: StoredVersion) -> String {
    "\(version.isTombstone ? "tombstone" : "\(version.value.count) bytes") at \(version.stamp)"
  }
}
