import Causality
import Cluster
import Messages
import Primitives
import Storage

// What a store held that was made anew (rule REBUILD, Docs/DeleteProtocol.md). When every other owner has given what it has, and
// before the new store serves, the directory that was set aside is gone through. A record that the new store has, or has
// newer, says nothing. What is above the floor, or newer than what is there, is kept: nobody can have purged it. What is
// absent and not above the floor was deleted and purged, or everybody else has lost it: its value goes to quarantine.
// The directory is found by the incarnation that the store's marker names, so that a crash at any point only means that
// it is gone through once more.
//
// When no owner's store serves, and all of them are up, there is nobody to be filled from. Then the owner with the
// highest floor goes on with everything that it has: what it has purged it knows. The others are filled from it, and
// bring along what they have beyond it by the same rules.

/// The directory that is being gone through; one at a time.
struct SalvageWork: Sendable {
  let store: StoreID
  /// Of the new store.
  let incarnation: Identity128
  /// Of the store there, by its marker.
  let lost: Identity128
  let directory: String
  /// Markers whose directories follow.
  var rest: [Identity128]
  /// Whatever is in it is kept, below the floor too.
  let keepsAll: Bool
  /// One gone through before had something, or was whole and had nothing.
  let hadAny: Bool
  var foundAny = false
  var position: SalvagePosition? = .start
  var records: [PulledRecord] = []
  var nextRecord = 0
  var isReading = false
  var isReadingPage = false
  var warm: WarmBytes?
  var pausedUntil: Instant?
  var kept = 0
  var quarantined = 0
  var unreadable = 0
  /// What went to quarantine is durable when this is.
  var quarantineEnd: LogPosition?
}

extension Node where Disk: ~Copyable {
  /// Bytes of a page, and records that a turn compares.
  private static var salvageBytes: Int { 16 << 10 }
  private static var salvagedPerTurn: Int { 128 }
  private static var salvagePauseMilliseconds: UInt64 { 1000 }
  private static var lossesPerTick: Int { 8 }

  // MARK: - Nobody serves

  /// True when no owner serves, all are up, and this one is to go on with what it has: of those that have something the
  /// one with the highest floor. With nothing nobody goes on: whoever has more may come back.
  func goesOnAlone(_ store: StoreID, _ engine: Engine) -> Bool {
    guard engine.role(store) == .fenced || !markers(of: store, engine).isEmpty, holds(store, engine) else {
      return false
    }
    let ours = rank(holds: true, floor: toldFloor(store, engine), node: own.id)
    for node in owners(store) where node != own.id {
      guard peers.isUp(node), let state = genesis.state(of: store, at: node), state.role != .active,
        rank(holds: state.holds, floor: state.floor, node: node) < ours
      else { return false }
    }
    return true
  }

  /// The same before and after the store is made anew. Of equals the lowest id.
  private func rank(holds: Bool, floor: Stamp, node: NodeID) -> (Int, Stamp, UInt32) {
    (holds ? 1 : 0, floor, UInt32.max - node.rawValue)
  }

  /// True when the store has something of what it held: its files, a directory that was set aside, or what was filled in.
  func holds(_ store: StoreID, _ engine: Engine) -> Bool {
    switch engine.role(store) {
    case .fenced, .active: true
    default: engine.holdsRecords(store) || rebuilds.losses[store].map { $0.isHere } ?? false
    }
  }

  /// Looks once for what stores that are being filled held before; for a few of them at a time, because the disk is
  /// waited for.
  mutating func lookForLosses(_ engine: Engine) {
    var left = Self.lossesPerTick
    for store in engine.storeIDs where left > 0 && engine.role(store) == .loading {
      let incarnation = engine.incarnation(store)
      let lost = markers(of: store, engine)
      guard rebuilds.losses[store]?.incarnation != incarnation, !lost.isEmpty else { continue }
      left -= 1
      var isHere = false
      for marker in lost where !isHere {
        // One that cannot be looked for now may be there.
        do throws(StorageError) {
          isHere = try engine.setAsideDirectory(of: store, incarnation: marker.incarnation, on: &disk) != nil
        } catch { isHere = true }
      }
      rebuilds.losses[store] = (incarnation, isHere)
      feeds.noteChange()
    }
  }

  /// The floor that other owners are told: a store that was made anew keeps what the one before it had purged.
  func toldFloor(_ store: StoreID, _ engine: Engine) -> Stamp {
    markers(of: store, engine).reduce(engine.durableFloor(store)) { max($0, $1.floor) }
  }

  /// What says that a store has lost something, and which one it was.
  private func markers(of store: StoreID, _ engine: Engine) -> [PeerPromise] {
    engine.promises(store).filter { $0.peer == own.id }
  }

  // MARK: - Beginning

  /// The store is filled: what it held before is gone through next, if it is still here.
  mutating func beginSalvage(_ refill: Int, _ engine: Engine, at now: Moment) {
    let store = exchanges.refills[refill].store
    if let current = salvage {
      let isOwn = current.store == store && current.incarnation == engine.incarnation(store)
      if !isOwn { exchanges.refills[refill].waiting = "what \(current.store) held before is gone through first" }
      return
    }
    let lost = markers(of: store, engine)
    for marker in lost { engine.raiseFloor(store, to: marker.floor) }
    exchanges.refills[refill].waiting = nil
    beginSalvage(
      of: store, lost.map(\.incarnation), keepsAll: exchanges.refills[refill].isAlone, hadAny: false, engine,
      at: now)
  }

  private mutating func beginSalvage(
    of store: StoreID, _ lost: [Identity128], keepsAll: Bool, hadAny: Bool, _ engine: Engine, at now: Moment
  ) {
    var rest = lost
    while !rest.isEmpty {
      let incarnation = rest.removeFirst()
      do throws(StorageError) {
        guard let directory = try engine.setAsideDirectory(of: store, incarnation: incarnation, on: &disk) else {
          continue
        }
        salvage = SalvageWork(
          store: store, incarnation: engine.incarnation(store), lost: incarnation, directory: directory, rest: rest,
          keepsAll: keepsAll, hadAny: hadAny)
        free.append(
          .log(.info, "store \(store) is filled: what is in \(directory) and nobody else has is looked for"))
        return
      } catch {
        if error.isRefusal { return waitForSalvage(store, "the disk refuses", at: now) }
        free.append(.log(.error, "store \(store): what was set aside is not gone through, and stays there: \(error)"))
      }
    }
    endSalvage(of: store, keepsAll: keepsAll, hadAny: hadAny, engine)
  }

  private mutating func waitForSalvage(_ store: StoreID, _ reason: String, at now: Moment) {
    salvage?.pausedUntil = now.instant.adding(milliseconds: Self.salvagePauseMilliseconds)
    guard let refill = exchanges.refills.firstIndex(where: { $0.store == store }) else { return }
    exchanges.refills[refill].waiting = reason
    exchanges.refills[refill].pausedUntil = now.instant.adding(milliseconds: Self.salvagePauseMilliseconds)
  }

  /// The store may serve. One that goes on alone has gone through something of it, or knows that nothing was in it.
  private mutating func endSalvage(of store: StoreID, keepsAll: Bool, hadAny: Bool, _ engine: Engine) {
    guard let refill = exchanges.refills.firstIndex(where: { $0.store == store }) else { return }
    guard hadAny || !keepsAll || engine.holdsRecords(store) else {
      exchanges.refills[refill].waiting = "no other owner's store serves, and nothing of what it held is left here"
      rebuilds.losses[store] = (engine.incarnation(store), false)
      feeds.noteChange()
      return
    }
    exchanges.refills[refill].isSalvaged = true
    exchanges.refills[refill].waiting = nil
  }

  // MARK: - A turn

  /// Goes on with a page. - Returns: Whether there is more to do at once.
  mutating func continueSalvage(at now: Moment) -> Bool {
    guard let work = salvage, let engine, phase == .opening || phase == .serving else { return false }
    // Another life of the store has nothing to do with this, nor has one that is not filled any more.
    guard engine.role(work.store) == .loading, engine.incarnation(work.store) == work.incarnation else {
      engine.endSetAside(on: &disk)
      salvage = nil
      return false
    }
    guard !work.isReading, work.pausedUntil.map({ $0 <= now.instant }) ?? true else { return false }
    salvage?.pausedUntil = nil
    var left = Self.salvagedPerTurn
    do throws(StorageError) {
      while left > 0, let work = salvage, work.nextRecord < work.records.count {
        guard try take(work.records[work.nextRecord], engine, at: now) else { return false }
        salvage?.nextRecord += 1
        left -= 1
      }
      guard left > 0 else { return true }
      return try readPage(engine, at: now)
    } catch {
      if error.isRefusal {
        waitForSalvage(work.store, "the disk refuses: \(error)", at: now)
        return false
      }
      // Whatever could not be read stays where it is, for the operator.
      free.append(
        .log(
          .error,
          "store \(work.store): the rest of \(work.directory) is not gone through, and stays there: \(error)"))
      salvage?.unreadable += 1
      salvage?.position = nil
      salvage?.records = []
      salvage?.nextRecord = 0
      return true
    }
  }

  private mutating func readPage(_ engine: Engine, at now: Moment) throws(StorageError) -> Bool {
    guard let work = salvage else { return false }
    guard let position = work.position else { return finish(work, engine, at: now) }
    salvage?.warm = nil
    let page = try engine.setAsidePage(
      work.directory, from: position, bytesMax: Self.salvageBytes, warm: work.warm, on: &disk)
    switch page {
    case .page(let records, let next, let unreadable):
      salvage?.records = records
      salvage?.nextRecord = 0
      salvage?.position = next
      salvage?.unreadable += unreadable
      return true
    case .cold(let read):
      let isReading = readCold(read, for: .salvage)
      salvage?.isReading = isReading
      salvage?.isReadingPage = true
      return !isReading
    }
  }

  /// - Returns: Whether it is done with; otherwise the disk, or room, is waited for.
  private mutating func take(
    _ record: PulledRecord, _ engine: Engine, at now: Moment
  ) throws(StorageError) -> Bool {
    guard let work = salvage else { return false }
    let hash = hash(record.key)
    guard storeID(hash) == work.store else { return true }
    salvage?.foundAny = true
    let warm = work.warm
    salvage?.warm = nil
    identity.clock.observe(record.version.stamp.time)
    let outcome = try offer(record, hash, work, engine, warm)
    switch outcome {
    case .applied:
      counters.salvaged += 1
      salvage?.kept += 1
    case .equal, .newer: break
    case .cold(let read): return readForSalvage(read)
    case .refused(let disk):
      waitForSalvage(work.store, describe(.refused(refusal(disk)), of: own.id), at: now)
      return false
    // Purged here while it was filled, or by the others: a tombstone says nothing any more, nor does what would be one.
    case .belowFloor where isBuriable(record.version, at: now): break
    case .belowFloor: return putAside(record, hash, work, warm, at: now)
    }
    return true
  }

  private mutating func offer(
    _ record: PulledRecord, _ hash: UInt64, _ work: SalvageWork, _ engine: Engine, _ warm: WarmBytes?
  ) throws(StorageError) -> ApplyOutcome {
    guard work.keepsAll || !options.rules.hold(.quarantine) else {
      return try engine.apply(record.version, key: record.key, hash: hash, to: work.store, warm: warm, on: &disk)
    }
    let outcome = try engine.applyPulled(
      record.version, key: record.key, hash: hash, to: work.store, since: engine.pullGeneration(work.store), warm: warm,
      on: &disk)
    switch outcome {
    case .applied(let position): return .applied(position)
    case .equal: return .equal(engine.appended)
    case .newer: return .newer(record.version.stamp, engine.appended)
    case .guarded: return .belowFloor(engine.floor(work.store))
    case .cold(let read): return .cold(read)
    case .refused(let disk): return .refused(disk)
    }
  }

  private mutating func putAside(
    _ record: PulledRecord, _ hash: UInt64, _ work: SalvageWork, _ warm: WarmBytes?, at now: Moment
  ) -> Bool {
    switch quarantine(record.version, key: record.key, hash: hash, warm: warm) {
    case .kept(let position):
      salvage?.quarantined += 1
      salvage?.quarantineEnd = position
      return true
    case .cold(let read): return readForSalvage(read)
    case .refused(let refusal):
      waitForSalvage(work.store, "a value for the quarantine: \(describe(.refused(refusal), of: own.id))", at: now)
      return false
    }
  }

  private mutating func readForSalvage(_ read: ColdRead) -> Bool {
    let isReading = readCold(read, for: .salvage)
    salvage?.isReadingPage = false
    salvage?.isReading = isReading
    return false
  }

  // MARK: - The end

  /// Goes on with the next directory, or ends, when what went to quarantine is durable.
  private mutating func finish(_ work: SalvageWork, _ engine: Engine, at now: Moment) -> Bool {
    if let end = work.quarantineEnd, end > engine.durable {
      // Told when it is durable, in every mode of sync.
      if !held.contains(where: { $0.store == quarantine && $0.position >= end }) {
        held.append(
          (engine.appended, quarantine, .log(.info, "store \(work.store): what went to quarantine is durable")))
      }
      return false
    }
    engine.endSetAside(on: &disk)
    salvage = nil
    let lost = work.unreadable == 0 ? "" : "; \(work.unreadable) stretches of it do not read back"
    free.append(
      .log(
        work.unreadable == 0 && work.quarantined == 0 ? .info : .warning,
        "store \(work.store): of what is in \(work.directory) \(work.kept) records were kept, and \(work.quarantined) "
          + "values went to quarantine\(lost)"))
    // Of what it held one life after the other the first that has something is what it goes on with.
    beginSalvage(
      of: work.store, work.rest, keepsAll: work.keepsAll && !work.foundAny,
      hadAny: work.hadAny || work.foundAny || work.unreadable == 0, engine, at: now)
    return salvage != nil
  }

  // MARK: - The disk's answers

  mutating func salvageRead(_ warm: WarmBytes) {
    salvage?.isReading = false
    salvage?.warm = warm
  }

  /// What lies there is stepped over; a record of the new store is looked at again.
  mutating func salvageReadFailed(_ read: ColdRead, at now: Moment) {
    guard let work = salvage else { return }
    salvage?.isReading = false
    if work.isReadingPage {
      salvage?.position = work.position?.skipping(read)
      salvage?.unreadable += 1
    } else {
      waitForSalvage(work.store, "the disk refuses", at: now)
    }
  }
}
