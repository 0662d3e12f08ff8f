import Causality
import Cluster
import Messages
import Primitives
import Storage

// What this node does as a replica: apply what is pushed to it, answer reads, and go on with whatever waited for bytes
// from the disk. A push is acknowledged as applied when it stands in a file, and as synced when it is durable.

extension Node where Disk: ~Copyable {
  enum StoreAnswer {
    case done(ReadOutcome)
    case cold(ColdRead)
  }

  /// Why this node takes no part in an operation on a store, or nil.
  /// - Parameter hash: Of the key, which must belong to the store.
  func refusal(_ store: StoreID, configID: UInt64, hash: UInt64?) -> Refusal? {
    guard let engine, phase == .opening || phase == .serving else { return .notReady }
    guard engine.contains(store), !store.isHints, hash.map({ storeID($0) == store }) ?? true else { return .notOwner }
    guard configID == self.configID(store) else { return .wrongConfig }
    switch engine.role(store) {
    // Rule IDENT: what it has forgotten is not known yet.
    case .active: return isValidated(store) ? nil : .unvalidated
    case .loading: return .loading
    case .fenced: return .fenced
    case .retired: return .notOwner
    }
  }

  // MARK: - Writes

  mutating func receivePush(_ push: Push, from node: NodeID, warm: WarmBytes?) {
    if case .hint(let owner) = push.kind { return receiveHint(push, for: owner, from: node, warm: warm) }
    let hash = hash(push.key.encoded)
    if let refusal = refusal(push.store, configID: push.configID, hash: hash) {
      return replyToPush(push, to: node, .refused(refusal))
    }
    guard isFoundWhole(push.store, by: node) else { return replyToPush(push, to: node, .refused(.unvalidated)) }
    guard let engine else { return }
    guard held.count + unflushed.count < Self.heldMax, !chaos.strikes(.heldFull) else {
      return replyToPush(push, to: node, .refused(.overloaded))
    }
    identity.clock.observe(push.version.stamp.time)
    do throws(StorageError) {
      let outcome = try engine.apply(
        push.version, key: push.key.encoded, hash: hash, to: push.store, warm: warm, on: &disk)
      switch outcome {
      case .applied(let position), .equal(let position):
        counters.vnodePuts += 1
        acknowledge(push, in: push.store, to: node, position) { .applied(synced: $0) }
      case .newer(let stamp, let position):
        acknowledge(push, in: push.store, to: node, position) { .haveNewer(stamp, synced: $0) }
      case .belowFloor where push.kind != .write: settleStale(push, from: node, at: present)
      case .belowFloor:
        counters.stalePushesRefused += 1
        replyToPush(push, to: node, .stale(identity.clock.last))
      case .cold(let read):
        if !readCold(read, for: .push(push, from: node)) { replyToPush(push, to: node, .refused(.overloaded)) }
      case .refused(let disk): replyToPush(push, to: node, .refused(refusal(disk)))
      }
    } catch {
      replyToPush(push, to: node, .refused(refusal(of: push.store, error)))
    }
  }

  /// Says "applied" and "synced" when it is, as far as the coordinator wants to hear it.
  /// - Parameter store: Where the write stands: a hint, not in the push's own store.
  mutating func acknowledge(
    _ push: Push, in store: StoreID, to node: NodeID, _ position: LogPosition,
    _ outcome: (_ synced: Bool) -> PushOutcome
  ) {
    let isDurable = engine.map { position <= $0.durable } ?? false
    if push.wantsApplied, !(isDurable && push.wantsSynced) {
      let reply = PushReply(operation: push.operation, stamp: push.version.stamp, outcome: outcome(isDurable))
      sendWhenFlushed(.pushReply(reply), of: store, to: node, position: position)
    }
    if push.wantsSynced {
      let reply = PushReply(operation: push.operation, stamp: push.version.stamp, outcome: outcome(true))
      sendWhenDurable(.pushReply(reply), of: store, to: node, position: position)
    }
  }

  mutating func replyToPush(_ push: Push, to node: NodeID, _ outcome: PushOutcome) {
    guard push.wantsApplied || push.wantsSynced else { return }
    send(
      .pushReply(PushReply(operation: push.operation, stamp: push.version.stamp, outcome: outcome)), to: node)
  }

  // MARK: - Reads

  mutating func receiveRead(_ read: PeerRead, from node: NodeID, warm: WarmBytes?) {
    switch answer(to: read, warm: warm) {
    case .done(let outcome): replyToRead(read, to: node, outcome)
    case .cold(let cold):
      if !readCold(cold, for: .peerRead(read, from: node)) { replyToRead(read, to: node, .refused(.overloaded)) }
    }
  }

  private mutating func answer(to read: PeerRead, warm: WarmBytes?) -> StoreAnswer {
    let hash = hash(read.key.encoded)
    if read.subject == .hint {
      guard phase == .opening || phase == .serving else { return .done(.refused(.notReady)) }
      guard read.store == storeID(hash), read.configID == configID(read.store) else {
        return .done(.refused(.wrongConfig))
      }
      return readHint(read.key, hash: hash, store: read.store, warm: warm)
    }
    if let refusal = refusal(read.store, configID: read.configID, hash: hash) { return .done(.refused(refusal)) }
    let answer = readStore(read.key, hash: hash, store: read.store, warm: warm)
    guard read.subject == .digest, case .done(.found(let version)) = answer else { return answer }
    return .done(.digest(version.stamp, isTombstone: version.isTombstone, expiry: version.expiry))
  }

  mutating func replyToRead(_ read: PeerRead, to node: NodeID, _ outcome: ReadOutcome) {
    let validated = read.subject == .hint ? 0 : validatedWith(read.store)
    send(
      .readReply(PeerReadReply(operation: read.operation, outcome: outcome, validatedWith: validated)), to: node)
  }

  /// What this node's store holds; damage is a refusal, never "absent".
  mutating func readStore(_ key: ObjectKey, hash: UInt64, store: StoreID, warm: WarmBytes?) -> StoreAnswer {
    guard let engine, engine.contains(store), engine.role(store) == .active else { return .done(.refused(.loading)) }
    guard isValidated(store) else { return .done(.refused(.unvalidated)) }
    counters.vnodeGets += 1
    do throws(StorageError) {
      switch try engine.lookup(key: key.encoded, hash: hash, in: store, warm: warm, on: &disk) {
      case .absent: return .done(.absent(floor: engine.floor(store)))
      case .found(let version): return .done(.found(version))
      case .cold(let read): return .cold(read)
      }
    } catch {
      return .done(.refused(refusal(of: store, error)))
    }
  }

  // MARK: - The disk's answers

  mutating func coldReadFinished(_ ticket: ReadTicket, _ result: Result<[UInt8], StorageError>, at now: Moment) {
    guard let waiting = pendingReads.removeValue(forKey: ticket.rawValue) else { return }
    let bytes: [UInt8]
    switch result {
    case .success(let read): bytes = read
    case .failure(let error): return coldReadFailed(waiting, error, at: now)
    }
    let warm = WarmBytes(read: waiting.read, bytes: bytes)
    switch waiting.waiter {
    case .write(let operation): coordinateWrite(operation, warm: warm, at: now)
    case .get(let operation): readOwnCopy(operation, warm: warm, at: now)
    case .push(let push, let node): receivePush(push, from: node, warm: warm)
    case .peerRead(let read, let node): receiveRead(read, from: node, warm: warm)
    case .list(let question): continueOwnPage(question, warm: warm, at: now)
    case .peerList(let question, let node): servePage(question, to: node, warm: warm)
    case .hint(let offer): keep(offer, warm: warm)
    case .handoff(let target): handoffReadFinished(target, warm)
    case .repair(let repair): repairOwn(repair, warm: warm)
    case .scrub: scrubbed(bytes)
    case .merge: merges.warm = warm
    case .exchange(let number): exchangeReadFinished(number, warm)
    case .pullAnswer(let work): continuePull(work, warm: warm)
    case .stalePush(let number): stalePushRead(number, warm)
    case .salvage: salvageRead(warm)
    case .quarantine(let work, let session): quarantineReadFinished(work, session, warm, at: now)
    case .feed(let node): feedReadFinished(node, warm)
    case .feedAnswer(let node): feedAnswerReadFinished(node, warm)
    case .purge(let store): purgeReadFinished(store, warm)
    case .burial(let store): burialReadFinished(store, warm)
    }
  }
}
