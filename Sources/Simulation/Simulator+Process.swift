import Cluster
import Messages
import Primitives
import Replication
import Storage

// A process on its machine: how it starts, takes its turns, and ends. A turn takes everything that is ready, as the
// server's loop does; a paused process takes none, and what arrives for it waits.

extension Simulator {
  static let directory = "data"
  /// No client has it.
  static let operatorSession = SessionID(.max)
  static let mergeOperatorSession = SessionID(.max - 3)
  /// An operator who asked so often waits for an answer before asking again.
  private static let mergesAwaitedMax = 8

  func boot(_ machine: Machine) {
    guard machine.state == .down, !machine.isOut else { return }
    machine.lives += 1
    var nodeOptions = NodeOptions(
      name: machine.member.name, members: machines.map(\.member), directory: Simulator.directory,
      seed: machine.generator.next())
    nodeOptions.partitions = UInt16(options.partitions)
    nodeOptions.replicas = UInt8(options.replicas)
    nodeOptions.sync = options.syncVaries ? machine.generator.pick(SyncMode.allCases) : options.sync
    nodeOptions.fileBytesMax = options.fileBytesMax
    nodeOptions.journalSegmentBytes = options.journalSegmentBytes
    nodeOptions.checkpointBytes = options.checkpointBytes
    nodeOptions.merge = options.merge
    nodeOptions.checkpointSeconds = options.checkpointSeconds
    nodeOptions.requestTimeoutMilliseconds = UInt64(options.requestTimeoutMilliseconds)
    nodeOptions.suspectAfterMilliseconds = options.suspectAfterMilliseconds
    nodeOptions.hintBytesMax = options.hintBytesMax
    nodeOptions.hintRetryMilliseconds = options.hintRetryMilliseconds
    nodeOptions.handoffBytesPerSecond = options.handoffBytesPerSecond
    nodeOptions.antiEntropyMilliseconds = options.antiEntropy.intervalMilliseconds
    nodeOptions.pullBytesPerSecond = options.antiEntropy.pullBytesPerSecond
    nodeOptions.scrubMilliseconds = options.antiEntropy.scrubMilliseconds
    nodeOptions.scrubBytesPerSecond = options.antiEntropy.scrubBytesPerSecond
    nodeOptions.tombstoneHoldMilliseconds = options.deletes.holdMilliseconds
    nodeOptions.feedMilliseconds = options.deletes.feedMilliseconds
    nodeOptions.feedEntriesMax = options.deletes.feedEntriesMax
    nodeOptions.notesPurges = true
    nodeOptions.purgesBeforeRounds = options.deletes.purgesBeforeRounds
    nodeOptions.rules = omissions.rules
    drawChaos(machine, &nodeOptions)
    var draws = SeededGenerator(seed: machine.generator.next())
    if isFaulty, options.faults.crashesDuringStart, draws.chance(1, in: 4), !omissions.contains(.startCrashes) {
      doom(machine, draws.chance(1, in: 2) ? .powerLoss : .kill, within: 40, &draws)
    }
    do throws(NodeStartError) {
      let disk = MountedDisk(platter: machine.platter)
      machine.node = try Node(options: nodeOptions, disk: disk, at: machine.clock.moment(at: now))
    } catch {
      if dies(machine) { return }
      if case .storage(let refusal) = error, refusal.isOutOfSpace, machine.platter.disk.spaceLeft != nil {
        note(.start, machine, 0, "does not start: \(error)")
        die(machine, losingPower: false)
        schedule(.boot(machine: machine.index), after: outage(&machine.generator))
        return
      }
      if case .storage(let refusal) = error, isDamage(refusal, on: machine) {
        note(.start, machine, 0, "does not start: \(error)")
        return replaceDisk(of: machine)
      }
      if machine.platter.disk.hasFailedSync {
        note(.start, machine, 0, "does not start: \(error)")
        return crash(machine, losingPower: true, outage: outage(&machine.generator))
      }
      report(.unavailable, "n\(machine.number) does not start: \(error)")
      return
    }
    machine.state = .up
    note(.start, machine, UInt64(machine.lives), "starts, life \(machine.lives)")
    schedule(.tick(machine.life), after: 0)
    for peer in machines.indices where peer != machine.index {
      schedule(.connect(machine.life, to: peer), after: machine.generator.duration(microseconds: 100...20_000))
    }
  }

  /// Until the faults are over.
  private var mayBeChaotic: Bool {
    switch phase {
    case .bootstrap, .faults: true
    case .settling, .converging, .proving, .comparing, .over: false
    }
  }

  /// Rare branches of this life: the node's own, the driver's, and bounds that are low.
  private func drawChaos(_ machine: Machine, _ nodeOptions: inout NodeOptions) {
    machine.chaos = Chaos()
    var draws = SeededGenerator(seed: machine.generator.next())
    guard mayBeChaotic, options.faults.chaosPerThousand > 0, !omissions.contains(.chaos) else { return }
    let rate = options.faults.chaosPerThousand
    let points = options.faults.chaosPoints
    nodeOptions.chaos = Chaos(seed: draws.next(), perThousand: rate, points: points)
    machine.chaos = Chaos(seed: draws.next(), perThousand: rate, points: points)
    nodeOptions.openFilesMax = draws.pick([4, 16, 512])
    if draws.chance(1, in: 2) { nodeOptions.journalSegmentBytes = UInt64(draws.pick([200, 1000])) }
  }

  // MARK: - Turns

  /// Gives the process an event; it takes it at its next turn.
  func deliver(_ event: Event, of sender: Life? = nil, to machine: Machine) {
    machine.inbox.append(Heard(event: event, sender: sender))
    scheduleTurn(of: machine)
  }

  private func scheduleTurn(of machine: Machine) {
    guard machine.state == .up, !machine.isTurnScheduled else { return }
    machine.isTurnScheduled = true
    schedule(.turn(machine.life), after: machine.generator.duration(microseconds: 5...100))
  }

  func turn(_ life: Life) {
    guard let machine = machine(life) else { return }
    machine.isTurnScheduled = false
    guard machine.state == .up else { return }
    let moment = machine.clock.moment(at: now)
    let heard = machine.inbox
    machine.inbox.removeAll(keepingCapacity: true)
    var events: [Event] = []
    for item in heard where admits(item, machine) {
      machine.node?.step(item.event, at: moment)
      events.append(item.event)
    }
    guard let batch = machine.node?.flush(at: moment) else { return }
    if dies(machine) { return }
    noteForgotten(by: machine)
    if batch.wantsTurn { scheduleTurn(of: machine) }
    noteSloppyReads(machine, batch)
    checkForgotten(machine, events)
    watchRefills(of: machine)
    perform(batch.free, of: machine)
    guard machine.state == .up, machine.life == life, let sync = batch.sync else { return }
    beginSync(sync, afterSync: batch.afterSync, on: machine)
  }

  /// Reads that were answered with the help of a node that is no owner promise less.
  private func noteSloppyReads(_ machine: Machine, _ batch: Batch) {
    let sloppy = machine.node?.counters.sloppyReads ?? 0
    defer { machine.sloppyReads = sloppy }
    guard sloppy > machine.sloppyReads else { return }
    var answers: [ClientResponse] = []
    for effect in batch.free {
      guard case .respond(let response, let session) = effect else { continue }
      sloppyReads.insert(Int(session.rawValue))
      answers.append(response)
    }
    // Who stands in has a hint of the key, or says nothing.
    if answers == [.notFound(tombstone: nil)] {
      report(.falseNotFound, "n\(machine.number) says that nothing is there, on the word of a node that is no owner")
    }
  }

  func tick(_ life: Life) {
    guard let machine = machine(life), let node = machine.node?.operationsInProgress else { return }
    let isBusy = node > 0 || machine.isStopping
    if machine.state == .up {
      deliver(.tick, to: machine)
      reviewFailedSync(machine)
      if machine.generator.chance(options.mergeRequestsPerMillion, in: 1_000_000),
        machine.mergesAwaited < Simulator.mergesAwaitedMax
      {
        machine.mergesAwaited += 1
        deliver(.admin(.merge, session: Simulator.mergeOperatorSession), to: machine)
      }
      if operators.chance(perMillion: options.drainRequestsPerMillion) {
        deliver(.admin(.drainHints, session: Simulator.operatorSession), to: machine)
      }
      if isFaulty, roundOperators.chance(perMillion: options.antiEntropy.requestsPerMillion) {
        deliver(.admin(.antiEntropy, session: Simulator.operatorSession), to: machine)
      }
    }
    let milliseconds = isBusy ? UInt64(Node<MountedDisk>.tickMilliseconds) : 40
    schedule(.tick(life), after: milliseconds * 1_000_000 - machine.generator.duration(microseconds: 0...1000))
  }

  func perform(_ effects: [Effect], of machine: Machine) {
    for effect in effects {
      switch effect {
      case .respond(let response, let session):
        let operation = Int(session.rawValue)
        note(.answer, machine, session.rawValue, "answers \(operation): \(response)")
        checkDisks(operation, response)
        schedule(.response(operation: operation, response), after: machine.generator.clientDelay())
      case .listing(let part, let session):
        send(part, of: session.rawValue)
      case .adminDone(let outcome, let session):
        note(.answer, machine, session.rawValue, "is told \(outcome)")
        if session == Convergence.session { roundAnswered(by: machine, outcome) }
        if session == Simulator.mergeOperatorSession { machine.mergesAwaited -= 1 }
        if session == Convergence.mergeSession { mergeAnswered(by: machine, outcome) }
        if case .quarantine(let page) = outcome { discard(page, of: machine) }
      case .send(let message, let node):
        send(message, from: machine, to: machines[Int(node.rawValue) - 1])
      case .disconnect(let node): drop(machine, to: Int(node.rawValue) - 1)
      case .read(let ticket, let read):
        let delay = machine.generator.duration(microseconds: diskPace.syncMicroseconds)
        // As the reading thread does: the store may close its handle while the read waits.
        guard let file = machine.platter.disk.duplicate(read.file) else {
          report(.unavailable, "n\(machine.number): a read of a file that is not open")
          continue
        }
        let own = ColdRead(file: file, offset: read.offset, count: read.count)
        schedule(.coldRead(machine.life, ticket, own), after: delay)
      case .job(let job): add(job, to: machine)
      case .log(let level, let text):
        note(.log, machine, traceDigest(text.utf8), "says (\(level)) \(text)")
      case .stop(let reason):
        stopped(machine, reason)
        return
      }
    }
  }

  // MARK: - The end of a process

  private func stopped(_ machine: Machine, _ reason: StopReason) {
    note(.stop, machine, 0, "stops: \(reason)")
    if case .failed(let error) = reason, isDamage(error, on: machine) {
      return crash(machine, losingPower: false, outage: outage(&machine.generator))
    }
    if case .failed = reason, machine.platter.disk.hasFailedSync {
      return crash(machine, losingPower: true, outage: outage(&machine.generator))
    }
    if isExcused(machine, reason) {
      let losesPower = machine.generator.chance(1, in: 2) && options.faults.losesUnsyncedWrites
      return crash(machine, losingPower: losesPower, outage: outage(&machine.generator))
    }
    guard reason == .clean, machine.isStopping else {
      report(.unavailable, "n\(machine.number) stops by itself: \(reason)")
      return
    }
    // A clean stop has promised that nothing is left to lose.
    machine.actor = nil
    die(machine, losingPower: machine.generator.chance(1, in: 2))
    schedule(.boot(machine: machine.index), after: outage(&machine.generator))
  }

  /// A node may give up for want of room while it makes its stores, or while it stops; one that serves must go on.
  private func isExcused(_ machine: Machine, _ reason: StopReason) -> Bool {
    guard case .failed(let error) = reason, error.isOutOfSpace else { return false }
    let status = machine.node?.status(at: machine.clock.moment(at: now))
    return status.map { $0.state != .serving } ?? true
  }

  /// Ends the process at once. Without power the disk forgets, wholly or partly, what was not synced.
  func die(_ machine: Machine, losingPower: Bool) {
    tally.add(machine.node?.counters)
    antiEntropyTally.add(machine.node?.counters)
    ruleEvents.add(machine.node?.counters, merge: machine.node?.mergeTotals)
    forgetFences(of: machine)
    machine.forgetProcess()
    if losingPower {
      machine.platter.disk.crash(using: &machine.generator)
      history.lost(machine: machine.index)
    } else {
      machine.platter.disk.killProcess()
    }
    loseListings(of: machine.life)
    for operation in clients.connected(to: machine.life) {
      schedule(.hangUp(operation: operation), after: machine.generator.duration(microseconds: 100...100_000))
    }
    for peer in machines where peer.index != machine.index {
      breakConnections(of: machine, with: peer, isSilent: losingPower)
    }
  }

  func resume(_ life: Life) {
    guard let machine = machine(life), machine.state == .paused, !machine.isOut else { return }
    machine.state = .up
    machine.pauses += 1
    note(.fault, machine, 1, "runs on")
    scheduleTurn(of: machine)
  }
}
