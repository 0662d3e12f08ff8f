import Causality
import Cluster
import Messages
import Primitives
import Storage

// Coordinating a put: stamp it, apply it here, and leave the rest to `Node+Write.swift`. The stamp is the put's for life
// (rule ONE STAMP, Docs/DeleteProtocol.md): nothing below ever gives a put that may have been applied anywhere another one.

extension Node where Disk: ~Copyable {
  mutating func beginPut(
    _ request: PutRequest, hash: UInt64, quorum: ResolvedWrite, origin: Origin, stamp: Stamp?, mayBeStampedAnew: Bool,
    deadline: Instant, at now: Moment
  ) {
    let store = storeID(hash)
    var progress = WriteProgress(owners: owners(store), quorum: quorum)
    plan(&progress, store: store, valueBytes: request.payload.count)
    counters.puts += 1
    // Refused before anything was applied: a put that cannot succeed leaves no trace.
    guard progress.verdict != .impossible else { return answer(origin, .failed(failure(of: progress, in: store))) }
    let operation = newOperation(.write)
    let movesOnAt = movesOnAt(deadline: deadline, at: now)
    writes[operation] = WriteOperation(
      origin: origin, key: request.key, hash: hash, store: store, configID: configID(store),
      deadline: deadline, movesOnAt: movesOnAt, intent: .put(mayBeStampedAnew: mayBeStampedAnew),
      version: StoredVersion(
        stamp: stamp ?? .zero, isTombstone: false, value: request.payload, expiry: request.lifetime.expiry),
      isStamped: stamp != nil, progress: progress)
    valueBytes += request.payload.count
    wheel.schedule(operation, at: movesOnAt)
    coordinatePut(operation, warm: nil, at: now)
  }

  /// Stamps the put if need be, applies it to this node's store and sends it to the others.
  mutating func coordinatePut(_ operation: UInt64, warm: WarmBytes?, at now: Moment) {
    guard let put = writes[operation], case .put(let mayBeStampedAnew) = put.intent, let engine else { return }
    if !put.isStamped {
      guard let stamp = issueStamp(at: now) else { return waitForLease(operation, at: now) }
      put.version.stamp = stamp
      put.isStamped = true
    }
    identity.clock.observe(put.version.stamp.time)
    do throws(StorageError) {
      let outcome = try engine.apply(
        put.version, key: put.key.encoded, hash: put.hash, to: put.store, warm: warm, on: &disk)
      switch outcome {
      case .applied(let position), .equal(let position): putApplied(operation, put, position)
      case .newer(let stamp, let position):
        if mayBeStampedAnew || !options.rules.hold(.oneStamp) {
          return stampAnew(operation, above: stamp.time, at: now)
        }
        // Some owner may hold this put already, and a later write has replaced it here: the put lost, and is done.
        putApplied(operation, put, position)
      case .belowFloor(let floor):
        if mayBeStampedAnew { return stampAnew(operation, above: floor.time, at: now) }
        failWrite(operation, .unsatisfied(.w, wanted: put.quorum.w, got: 0, detail: "an old write of a purged key"))
      case .cold(let read):
        if !readCold(read, for: .write(operation)) {
          failWrite(operation, .overloaded(detail: "\(Self.coldReadsMax) reads are waiting for the disk"))
        }
      case .refused(let disk): refuseWrite(operation, refusal(disk), detail: "", at: now)
      }
    } catch {
      refuseWrite(operation, refusal(of: put.store, error), detail: error.text(naming: objectName), at: now)
    }
  }

  /// The stamp did not win here and nobody has applied it: another one, chosen where the first was.
  mutating func stampAnew(_ operation: UInt64, above time: HybridTime, at now: Moment) {
    guard let put = writes[operation] else { return }
    identity.clock.observe(time)
    if case .forwarder(let node, let number, let bootID) = put.origin {
      endWrite(operation)
      answerForwarder(node, operation: number, bootID: bootID, .restamp(identity.clock.last))
    } else {
      put.isStamped = false
      coordinatePut(operation, warm: nil, at: now)
    }
  }

  private mutating func putApplied(_ operation: UInt64, _ put: WriteOperation, _ position: LogPosition) {
    put.intent = .put(mayBeStampedAnew: false)
    ownCopyApplied(operation, put, position)
  }

  /// This node's own store does not take the write, and no other has seen it under this stamp: where another node handed
  /// it over, that one offers it to the next owner. Where damage is the reason, and another owner is there, this node
  /// hands its own client's write over: as a new write, because nobody has applied this one.
  mutating func refuseWrite(_ operation: UInt64, _ refusal: Refusal, detail: String, at now: Moment) {
    guard let write = endWrite(operation), !write.isAnswered else { return }
    switch write.origin {
    case .forwarder(let node, let number, let bootID):
      answerForwarder(node, operation: number, bootID: bootID, .refused(refusal))
    case .client(let session):
      let others = owners(write.store).filter { $0 != own.id }
      guard refusal == .damaged, others.contains(where: { replicaObstacle(to: $0, store: write.store) == nil }) else {
        return answer(write.origin, .failed(failure(refusal, detail: detail)))
      }
      beginForward(
        write.request, key: write.key, hash: write.hash, session: session, deadline: write.deadline, at: now)
    }
  }
}
