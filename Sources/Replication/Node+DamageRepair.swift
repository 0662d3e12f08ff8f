import Causality
import Cluster
import Messages
import Primitives
import Storage

// A damaged record comes back from the other owners of its store, whoever came by it: a read, a merge or the scrub. Until
// then this node refuses its hash and nothing else. What somebody holds with the noted stamp, or a higher one, takes its
// place at once; anything less, or nothing, only when every other owner has answered (rule VALIDATED PULL,
// Docs/DeleteProtocol.md), because then something is lost, and that is said aloud. The answers are not of one moment: an owner
// may have told a value before it had the tombstone, and another one that it lacks the key when the tombstone was purged.
// So less than what was noted, at or below the floor of an owner, is asked for once more, as in a read (rule READ).

extension Node where Disk: ~Copyable {
  /// Takes note of what was found, takes the answers of those that were asked, and asks for the next.
  mutating func reviewDamage(at now: Moment) {
    guard let engine else { return }
    guard engine.hasDamages || !damages.known.isEmpty else { return }
    for index in damages.repairs.indices {
      guard let number = damages.repairs[index].pull, let pull = takeValidated(number) else { continue }
      repairDamage(index, from: pull, engine, at: now)
    }
    noteDamages(engine)
    guard phase == .serving else { return }
    var asking = damages.repairs.count { $0.pull != nil }
    for index in damages.repairs.indices where asking < DamageTable.asksMax {
      let repair = damages.repairs[index]
      guard repair.pull == nil, repair.due.map({ $0 <= now.instant }) ?? true, let record = repair.note.record else {
        continue
      }
      // Two damaged records of one hash: one after the other.
      guard !damages.isAsking(repair.note.store, record.hash) else { continue }
      guard owners(repair.note.store).contains(where: { $0 != own.id }) else { continue }
      guard let pull = validatedPull(ofHash: record.hash, in: repair.note.store, at: now) else { return }
      damages.repairs[index].pull = pull
      asking += 1
    }
  }

  /// Says what is new, and forgets what is gone.
  private mutating func noteDamages(_ engine: Engine) {
    var known: Set<DamageTable.Place> = []
    var repairs: [DamageTable.Repair] = []
    for store in engine.storeIDs {
      for (note, state) in engine.damages(store) {
        known.insert(DamageTable.Place(note))
        if !damages.known.contains(DamageTable.Place(note)) { tellDamage(note, state) }
        guard state == .fencing else { continue }
        repairs.append(damages.repairs.first { $0.note == note } ?? DamageTable.Repair(note: note))
      }
    }
    for repair in damages.repairs {
      if let pull = repair.pull, !repairs.contains(where: { $0.pull == pull }) { abandonValidation(pull) }
    }
    damages.known = known
    damages.repairs = repairs
  }

  private mutating func tellDamage(_ note: DamageNote, _ state: DamageState) {
    counters.antiEntropy.damages += 1
    let what =
      state == .fencing
      ? "this record alone is refused here, until the other owners have brought it back"
      : "nothing in it counts; the file is merged away"
    free.append(.log(.error, "store \(note.store): \(note.error.text(naming: objectName)): \(what)"))
  }

  /// Every other owner has answered, or cannot.
  private mutating func repairDamage(_ index: Int, from pull: ValidatedPull, _ engine: Engine, at now: Moment) {
    let note = damages.repairs[index].note
    let newest = pull.newest
    let isFinal = pull.saysAll
    if isFinal, !damages.repairs[index].isDoubted, isDoubtful(newest, of: pull, for: note) {
      damages.repairs[index].isDoubted = true
      damages.repairs[index].pull = nil
      return
    }
    do throws(StorageError) {
      let versions = newest.map { (key: $0.key, version: $0.version) }
      for record in newest { identity.clock.observe(record.version.stamp.time) }
      let outcome = try engine.repair(note, with: versions, isFinal: isFinal, on: &disk)
      switch outcome {
      case .repaired, .lost:
        engine.raiseFloor(note.store, to: pull.floor)
        tellRepair(note, outcome)
        damages.repairs[index].pull = nil
        try takeOthers(newest, of: pull, engine)
      case .settled: damages.repairs[index].pull = nil
      case .insufficient: damages.postpone(index, at: now.instant)
      case .refused(let disk):
        _ = refusal(disk)
        damages.postpone(index, at: now.instant)
      }
    } catch {
      _ = refusal(of: note.store, error)
      damages.postpone(index, at: now.instant)
    }
  }

  /// Whether what would take the place may be from before a purge of which another owner's floor tells. The second
  /// answer is from after it: no owner forgets a newer tombstone than the noted record while this one cannot have it.
  private func isDoubtful(_ newest: [PulledRecord], of pull: ValidatedPull, for note: DamageNote) -> Bool {
    guard options.rules.hold(.reAsk), let best = newest.map(\.version.stamp).max() else { return false }
    return best <= pull.floor && note.record.map { best < $0.stamp } ?? true
  }

  /// Keys with the same hash that this store lacks, or has older.
  private mutating func takeOthers(
    _ records: [PulledRecord], of pull: ValidatedPull, _ engine: Engine
  ) throws(StorageError) {
    guard records.count > 1 else { return }
    for record in records {
      _ = try engine.applyPulled(
        record.version, key: record.key, hash: pull.hash, to: pull.store, since: pull.generation, warm: nil, on: &disk)
    }
  }

  private mutating func tellRepair(_ note: DamageNote, _ outcome: DamageRepair) {
    let key = note.probableKey.map { "probably \(objectName($0))" } ?? "whose key does not read back"
    if case .lost = outcome {
      counters.antiEntropy.losses += 1
      let stamp = note.record.map { "\($0.stamp)" } ?? ""
      free.append(
        .log(
          .error,
          "store \(note.store): a record is lost, \(key), of stamp \(stamp): no other owner has it, and what they have "
            + "of it, if anything, stands now"))
    } else {
      counters.antiEntropy.repairs += 1
      free.append(
        .log(.info, "store \(note.store): a damaged record, \(key), is back from another owner"))
    }
  }
}

extension ValidatedPull {
  /// Nothing more than was answered can come from anybody: every owner has answered, or its own copy is damaged as well.
  /// One whose store is being filled, or set aside, may have it or get it, and is asked again when it serves.
  var saysAll: Bool {
    var knows = false
    for owner in owners {
      switch owner.answer {
      case .answered, .refused(.damaged): knows = true
      case .waiting, .refused, .unreachable: return false
      }
    }
    return knows
  }
}
