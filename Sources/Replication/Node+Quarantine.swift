import Causality
import Cluster
import Messages
import Primitives
import Storage

// The quarantine of this node: values that no owner of their key has, at or below the floor (rules VALIDATED PULL and
// REBUILD, Docs/DeleteProtocol.md). They stand in a store of their own, `StoreID.hints(for: own.id)`, durable like any other
// write. It has a bound of its own, as much as all hints: if hints could take its room, two nodes whose quarantines wait
// for room would keep each other's hints for ever, and a store that is filled would wait for that. An operator looks at them, and has them written anew or forgotten: a tombstone
// then takes the value's place there, just above it, so that the same old copy does not come back by another way. When
// no value is left all tombstones are forgotten at once.

/// Values in quarantine that are being written anew.
struct QuarantineTable: Sendable {
  /// By the session under which the put runs inside the node.
  var puts: [UInt64: (entry: QuarantineEntry, session: SessionID)] = [:]
  private var next = UInt64.max

  /// At once; one more is refused.
  static let putsMax = 64

  /// No connection has this number: they count from below.
  mutating func newSession() -> SessionID {
    next -= 1
    return SessionID(next)
  }
}

/// What goes on in the quarantine when the disk has answered.
enum QuarantineWork: Sendable {
  case asked(AdminRequest)
  /// The entry was written anew, or is to be forgotten; then this is answered.
  case forget(QuarantineEntry, AdminOutcome)
}

extension Node where Disk: ~Copyable {
  var quarantine: StoreID { .hints(for: own.id) }

  var quarantineStatus: QuarantineStatus {
    var status = QuarantineStatus()
    guard let engine, engine.contains(quarantine) else { return status }
    let kept = engine.status(quarantine)
    status.count = kept.keysLive
    status.bytes = kept.keysLive == 0 ? 0 : engine.valueBytes(of: quarantine)
    return status
  }

  /// What a store of hints holds, in a word.
  func kept(in store: StoreID) -> String { store == quarantine ? "values in quarantine" : "hints" }

  // MARK: - What comes in

  enum QuarantineOutcome {
    /// It, or something newer, is kept, up to this position.
    case kept(LogPosition)
    case cold(ColdRead)
    case refused(Refusal)
  }

  /// Keeps a value that nobody else has. It is gone from where it came only when the position is durable.
  mutating func quarantine(_ version: StoredVersion, key: [UInt8], hash: UInt64, warm: WarmBytes?) -> QuarantineOutcome
  {
    guard let engine, engine.contains(quarantine) else { return .refused(.notReady) }
    guard engine.role(quarantine) == .active else { return .refused(.damaged) }
    do throws(StorageError) {
      // What is here already needs no room.
      switch try engine.lookup(key: key, hash: hash, in: quarantine, warm: warm, on: &disk) {
      case .cold(let read): return .cold(read)
      case .found(let kept) where kept.stamp >= version.stamp: return .kept(engine.appended)
      case .found, .absent: break
      }
    } catch {
      return .refused(refusal(of: quarantine, error))
    }
    let bytes = RecordHeader.byteCount(keyLength: key.count, version)
    guard engine.status(quarantine).liveBytes + UInt64(bytes) <= options.hintBytesMax else {
      counters.quarantineRefused += 1
      tellQuarantineIsFull()
      return .refused(.hintsFull)
    }
    do throws(StorageError) {
      switch try engine.apply(version, key: key, hash: hash, to: quarantine, warm: warm, on: &disk) {
      case .applied(let position):
        counters.quarantined += 1
        let store = storeID(hash)
        free.append(
          .log(
            .warning,
            "a value of \(objectName(key)), stamp \(version.stamp), in store \(store) goes to quarantine: no owner has "
              + "it, and it is not above what was purged there"))
        return .kept(position)
      case .equal(let position), .newer(_, let position): return .kept(position)
      case .belowFloor: return .refused(.damaged)
      case .cold(let read): return .cold(read)
      case .refused(let disk): return .refused(refusal(disk))
      }
    } catch {
      return .refused(refusal(of: quarantine, error))
    }
  }

  private static var quarantineComplaintMilliseconds: UInt64 { 10_000 }

  private mutating func tellQuarantineIsFull() {
    guard lastHintComplaint.map({ lastTick.milliseconds(since: $0) >= Self.quarantineComplaintMilliseconds }) ?? true
    else { return }
    lastHintComplaint = lastTick
    free.append(
      .log(
        .warning,
        "a value for the quarantine waits where it is: as many bytes are in it as hints_max allows; "
          + "write anew or discard what is in quarantine, or raise it"))
  }

  // MARK: - What operators ask for

  mutating func beginQuarantine(_ request: AdminRequest, session: SessionID, warm: WarmBytes? = nil, at now: Moment) {
    guard let engine, engine.contains(quarantine) else {
      return free.append(.adminDone(.refused("node \(own.name) does not serve"), session: session))
    }
    do throws(StorageError) {
      switch request {
      case .quarantine(let from):
        switch try engine.keys(in: quarantine, from: from, matching: KeyPattern([]), warm: warm, on: &disk) {
        case .page(let page):
          let page = QuarantinePage(page, quarantineStatus, node: own.name)
          free.append(.adminDone(.quarantine(page), session: session))
        case .cold(let read): readForQuarantine(read, .asked(request), session)
        }
      case .quarantineRead(let key): try withEntry(key, request, session, engine, warm) { .quarantineRead($0) }
      case .quarantinePut(let key, let stamp):
        var found: StoredVersion?
        try withEntry(key, request, session, engine, warm) { version in
          guard version.stamp == stamp else { return .quarantineAbsent }
          found = version
          return nil
        }
        if let found { putAnew(key, found, session: session, at: now) }
      case .quarantineDiscard(let key, let stamp):
        var isThere = false
        try withEntry(key, request, session, engine, warm) { version in
          isThere = version.stamp == stamp
          return isThere ? nil : .quarantineAbsent
        }
        if isThere { forget(QuarantineEntry(key: key, stamp: stamp), then: .quarantineDiscarded, session, warm: nil) }
      default: break
      }
    } catch {
      let refused = refusal(of: quarantine, error)
      free.append(.adminDone(.refused("\(own.name): \(refused)"), session: session))
    }
  }

  /// Answers with what `outcome` makes of the value, unless that is nil.
  private mutating func withEntry(
    _ key: ObjectKey, _ request: AdminRequest, _ session: SessionID, _ engine: Engine, _ warm: WarmBytes?,
    _ outcome: (StoredVersion) -> AdminOutcome?
  ) throws(StorageError) {
    switch try engine.lookup(key: key.encoded, hash: hash(key.encoded), in: quarantine, warm: warm, on: &disk) {
    case .cold(let read): readForQuarantine(read, .asked(request), session)
    case .found(let version) where !version.isTombstone:
      if let outcome = outcome(version) { free.append(.adminDone(outcome, session: session)) }
    case .found, .absent: free.append(.adminDone(.quarantineAbsent, session: session))
    }
  }

  private mutating func readForQuarantine(_ read: ColdRead, _ work: QuarantineWork, _ session: SessionID) {
    if readCold(read, for: .quarantine(work, session)) { return }
    free.append(.adminDone(.refused("\(Self.coldReadsMax) reads are waiting for the disk"), session: session))
  }

  mutating func quarantineReadFinished(_ work: QuarantineWork, _ session: SessionID, _ warm: WarmBytes, at now: Moment)
  {
    switch work {
    case .asked(let request): beginQuarantine(request, session: session, warm: warm, at: now)
    case .forget(let entry, let outcome): forget(entry, then: outcome, session, warm: warm)
    }
  }

  /// A client's put like any other, with a stamp of now (path P74: nothing comes back under an old stamp).
  private mutating func putAnew(_ key: ObjectKey, _ version: StoredVersion, session: SessionID, at now: Moment) {
    guard quarantined.puts.count < QuarantineTable.putsMax else {
      return free.append(
        .adminDone(.refused("\(quarantined.puts.count) values are being written anew already"), session: session))
    }
    let inner = quarantined.newSession()
    quarantined.puts[inner.rawValue] = (QuarantineEntry(key: key, stamp: version.stamp), session)
    var put = PutRequest(key: key, payload: version.value)
    put.lifetime = version.expiry == .never ? .unlimited : .until(version.expiry)
    receive(.put(put), session: inner, at: now)
  }

  /// Takes the answer to a put of this file's. - Returns: False when the answer is for somebody else.
  mutating func takePutAnew(_ response: ClientResponse, _ session: SessionID) -> Bool {
    guard let put = quarantined.puts.removeValue(forKey: session.rawValue) else { return false }
    switch response {
    case .stored(let stamp): forget(put.entry, then: .quarantinePut(stamp), put.session, warm: nil)
    case .failed(let failure):
      free.append(.adminDone(.refused("it may not have been written: \(failure)"), session: put.session))
    case .object, .notFound, .deleted: break
    }
    return true
  }

  // MARK: - What goes

  /// Puts a tombstone in the entry's place, and answers when that is durable.
  private mutating func forget(
    _ entry: QuarantineEntry, then outcome: AdminOutcome, _ session: SessionID, warm: WarmBytes?
  ) {
    guard let engine else { return }
    let grave = StoredVersion(stamp: entry.stamp.next, isTombstone: true, value: [])
    let key = entry.key.encoded
    do throws(StorageError) {
      switch try engine.apply(grave, key: key, hash: hash(key), to: quarantine, warm: warm, on: &disk) {
      case .applied(let position), .equal(let position), .newer(_, let position):
        answerWhenDurable(outcome, session, position)
      case .cold(let read): readForQuarantine(read, .forget(entry, outcome), session)
      case .belowFloor: free.append(.adminDone(outcome, session: session))
      case .refused(let disk):
        let refused = refusal(disk)
        free.append(.adminDone(.refused("it is still in quarantine: \(refused)"), session: session))
      }
    } catch {
      let refused = refusal(of: quarantine, error)
      free.append(.adminDone(.refused("it is still in quarantine: \(refused)"), session: session))
    }
  }

  private mutating func answerWhenDurable(_ outcome: AdminOutcome, _ session: SessionID, _ position: LogPosition) {
    if let engine, position > engine.durable {
      held.append((position, quarantine, .adminDone(outcome, session: session)))
    } else {
      free.append(.adminDone(outcome, session: session))
    }
  }

  /// Without a value the tombstones have nothing to keep away.
  mutating func reviewQuarantine(_ engine: Engine) {
    guard engine.contains(quarantine), engine.role(quarantine) == .active else { return }
    let kept = engine.status(quarantine)
    if kept.keysLive == 0, kept.tombstones > 0 { engine.forgetTombstones(of: quarantine) }
  }
}

extension QuarantinePage {
  fileprivate init(_ page: KeyPage, _ status: QuarantineStatus, node: String) {
    self.init(entries: [], next: page.next, status: status, node: node)
    var offset = 0
    while let entry = page.entry(at: offset) {
      offset = entry.key.upperBound
      guard !entry.isTombstone, let key = ObjectKey(encoded: Array(page.bytes[entry.key])) else { continue }
      entries.append(QuarantineEntry(key: key, stamp: entry.stamp))
    }
  }
}

extension Stamp {
  /// The lowest above this one.
  fileprivate var next: Stamp {
    actor.rawValue < .max
      ? Stamp(time: time, actor: ActorID(actor.rawValue + 1))
      : Stamp(time: HybridTime(time.rawValue + 1), actor: ActorID(0))
  }
}
