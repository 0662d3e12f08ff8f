import Causality
import Cluster
import Messages
import Primitives
import Storage

// When the disk refuses. A full disk: puts are refused before they have a stamp, and what was appended and found no room
// is acknowledged to nobody until it has found some. A file that cannot be opened, bytes that cannot be read: whoever
// asked is told that this node's disk is not available, which is neither "not found" nor "damaged". A store whose role
// finds no room does not take part until it has found some. A failed write or sync ends the node.

extension Node where Disk: ~Copyable {
  /// A job that found no room or no file is not begun again before this time, milliseconds.
  static var jobPauseMilliseconds: UInt64 { 1000 }
  /// How often at most the operator is told that something was refused and will be tried again.
  private static var complaintMilliseconds: UInt64 { 10_000 }

  // MARK: - Room

  /// Looks after the room on the disk, and says when puts begin or cease to be refused for want of it.
  mutating func reviewDisk(at now: Moment) {
    guard let engine else { return }
    engine.reviewSpace(at: now.instant, on: &disk)
    let space = engine.spaceStatus
    guard space.isShort != diskWasFull else { return }
    diskWasFull = space.isShort
    let room = space.freeBytes.map { "\(mebibytes($0)) are free" } ?? "a write found no room"
    if space.isShort {
      let text =
        "the disk is full: \(room) in \(options.directory), and \(mebibytes(space.reserveBytes)) are kept for deletes "
        + "and merging: puts are refused here until \(mebibytes(space.resumeBytes)) are free; reads and deletes go on"
      free.append(.log(.warning, text))
    } else {
      free.append(.log(.info, "the disk has room again: \(room): puts are taken"))
    }
  }

  private func mebibytes(_ bytes: UInt64) -> String { "\(bytes >> 20) MiB" }

  // MARK: - Appended, and not in a file yet

  /// Effects and operations whose writes have found their place in a file.
  mutating func releaseFlushed() {
    guard let flushed = engine?.flushed else { return }
    if let first = unflushed.first, first.position <= flushed {
      let count = unflushed.firstIndex { $0.position > flushed } ?? unflushed.count
      for entry in unflushed[..<count] { free.append(entry.effect) }
      unflushed.removeFirst(count)
    }
    guard let first = flushWaiters.first, first.position <= flushed else { return }
    let count = flushWaiters.firstIndex { $0.position > flushed } ?? flushWaiters.count
    for index in 0..<count { ownCopyFlushed(flushWaiters[index].operation, stamp: flushWaiters[index].stamp) }
    if count == flushWaiters.count {
      flushWaiters.removeAll(keepingCapacity: true)
    } else {
      flushWaiters.removeFirst(count)
    }
  }

  /// Says it at the end of the turn, if the write is in a file then, else as soon as it is.
  mutating func sendWhenFlushed(_ body: PeerBody, of store: StoreID, to node: NodeID, position: LogPosition) {
    if let engine, position <= engine.flushed {
      send(body, to: node)
    } else {
      unflushed.append((position, store, .send(PeerMessage(time: identity.clock.last, body: body), to: node)))
    }
  }

  // MARK: - Refusals

  /// What a store's failure means for whoever asked. Damage fences the store (the engine has done so), and so do bytes
  /// that cannot be read; a device that refuses a write ends the node.
  mutating func refusal(of store: StoreID, _ error: StorageError) -> Refusal {
    switch error {
    case .damaged, .missing, .incompatible, .regressed:
      // Where a record alone is fenced, that is told when it is noted, once.
      if engine?.role(store) == .fenced {
        free.append(.log(.error, "store \(store) is fenced: \(error.text(naming: objectName))"))
      }
      return .damaged
    case .io, .locked:
      if error.isRefusal {
        complain(error)
      } else if engine?.hasFailed ?? true {
        stopReason = .failed(error)
      } else {
        let text = error.text(naming: objectName)
        let rest =
          store.isHints
          ? "what it holds is lost to the node, and a new one is made"
          : "a new one is made, and filled from the other owners, when one of them serves"
        free.append(.log(.error, "store \(store) is fenced: \(text): \(rest)"))
      }
      return .unavailable
    }
  }

  /// What the disk's refusal of a record means for whoever brought it.
  mutating func refusal(_ refusal: DiskRefusal) -> Refusal {
    switch refusal {
    case .full: return .full
    case .tombstonesFull:
      counters.tombstonesRefused += 1
      return .tombstonesFull
    case .unavailable(let error):
      complain(error)
      return .unavailable
    }
  }

  /// Says, now and then, what was refused and will be tried again.
  private mutating func complain(_ error: StorageError) {
    let isDue = lastDiskComplaint.map { lastTick.milliseconds(since: $0) >= Self.complaintMilliseconds } ?? true
    guard isDue else { return }
    lastDiskComplaint = lastTick
    free.append(.log(.warning, "the disk refuses, and is asked again: \(error)"))
  }

  /// What this node's own client is told of a refusal here.
  func failure(_ refusal: Refusal, detail: String) -> ClientFailure {
    switch refusal {
    case .full: .full(detail: "\(own.name): \(refusal); \(Self.roomAdvice)")
    case .damaged: .damaged(detail: detail)
    default: .unavailable(detail: "\(own.name): \(detail.isEmpty ? refusal.description : detail)")
    }
  }

  static var roomAdvice: String { "free or add space there; reads and deletes go on" }

  // MARK: - What comes back from the disk's threads

  /// A job came to nothing. For want of room or of files the engine's work, the lease and roles are tried again; a node
  /// that cannot make its stores, or cannot finish its stop, ends, as it does after any other failure.
  mutating func jobFailed(_ id: JobID, _ error: StorageError, at now: Moment) {
    let purpose = jobs.finish(id)
    if case .engine = purpose, let engine, engine.failWork(error) { return answerSnapshot() }
    guard error.isRefusal, let purpose else {
      stopReason = .failed(error)
      return
    }
    switch purpose {
    case .engine:
      engine?.abandonWork(error, at: now.instant)
      answerSnapshot()
    case .identity:
      identity.renewalFailed()
      renewalPausedUntil = now.instant.adding(milliseconds: Self.jobPauseMilliseconds)
    case .load(let store, _): loadFailed(store, at: now)
    case .rebuild: rebuildFailed(at: now)
    case .lineage:
      leavingLineageFailed()
      renewalPausedUntil = now.instant.adding(milliseconds: Self.jobPauseMilliseconds)
    case .promises: promisesFailed(at: now)
    case .activate(let stores): rolesFailed(stores.keys.sorted(), at: now)
    case .mark(let stores): rolesFailed(stores, at: now)
    case .fence(let store):
      roles.unfenced.append(store)
      rolesFailed([store], at: now)
    case .join, .createStores, .shutdown:
      stopReason = .failed(error)
      return
    }
    complain(error)
  }

  /// Bytes could not be read. The store that they belong to is fenced, and this node does not count for it; whoever
  /// waited is told so.
  mutating func coldReadFailed(_ waiting: WaitingRead, _ error: StorageError, at now: Moment) {
    var refused = Refusal.unavailable
    if let store = engine?.readFailed(waiting.read, error) {
      refused = refusal(of: store, error)
    } else {
      complain(error)
    }
    switch waiting.waiter {
    case .write(let operation): refuseWrite(operation, refused, detail: error.description, at: now)
    case .get(let operation): ownCopyRefused(operation, refused, at: now)
    case .push(let push, let node): replyToPush(push, to: node, .refused(refused))
    case .peerRead(let read, let node): replyToRead(read, to: node, .refused(refused))
    case .list(let question): ownPageRefused(question, refused, at: now)
    case .peerList(let question, let node): refusePage(question, to: node, refused)
    // Of a fenced store no more is merged; of another one the slice is tried again.
    case .merge: merges.isReading = false
    case .hint(let offer): hintRefused(offer, refused)
    case .handoff(let target): handoffReadFinished(target, nil)
    case .repair: break
    case .scrub: scrubReadFailed()
    case .exchange(let number): exchangeReadFailed(number, refused)
    case .pullAnswer(let work): refusePull(work.pull, to: work.node, refused)
    case .stalePush(let number): stalePushRefused(number)
    case .salvage: salvageReadFailed(waiting.read, at: now)
    case .quarantine(_, let session): free.append(.adminDone(.refused("\(own.name): \(refused)"), session: session))
    case .feed(let node): feedReadFinished(node, nil)
    case .feedAnswer(let node): feedAnswerReadFinished(node, nil)
    case .purge(let store): purgeReadFinished(store, nil)
    case .burial(let store): burialReadFinished(store, nil)
    }
  }
}
