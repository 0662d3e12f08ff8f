import Causality
import Cluster
import Messages
import Primitives
import Storage

// Repairs and hints that are not above the floor of a store that lacks their key (rules FLOOR and VALIDATED PULL,
// Docs/DeleteProtocol.md). Such a version may be an old copy of what was deleted and purged, or a write that this owner has
// missed: the other owners know. They are asked for everything of that hash. What they hold is applied as any pulled
// record, and then the push is judged like any other. When all of them lack the key the version is in nobody's hands: a
// hint's value goes to quarantine, and its sender may forget it. When one of them cannot say, it may not yet.

struct StalePushTable: Sendable {
  struct Entry: Sendable {
    /// Names it to the disk.
    let number: UInt64
    var push: Push
    /// Who sent it; this node itself where a read of its own found its copy behind.
    let node: NodeID
    let hash: UInt64
    var pull: UInt64?
    var answers: ValidatedPull?
    /// What the others hold is applied.
    var isPulled = false
    var tries = 0
    var isReading = false
    var warm: WarmBytes?

    var byteCount: Int { push.key.encoded.count + push.version.value.count }
  }

  /// In order of arrival.
  var entries: [Entry] = []
  var next: UInt64 = 0

  /// Waiting at once, and bytes of keys and values; one more is put off. A single one may be longer.
  static let entriesMax = 1024
  static let bytesMax = 8 << 20
  /// Asked at once: fewer than there may be validated pulls, because damage needs them too.
  static let asksMax = 12

  var bytes: Int { entries.reduce(0) { $0 + $1.byteCount } }

  func index(_ number: UInt64) -> Int? { entries.firstIndex { $0.number == number } }
}

extension Node where Disk: ~Copyable {
  /// Takes a push that this node's store has found below its floor.
  mutating func settleStale(_ push: Push, from node: NodeID, at now: Instant) {
    if let index = stalePushes.entries.firstIndex(where: {
      $0.node == node && $0.push.kind == push.kind && $0.push.version.stamp == push.version.stamp
        && $0.push.key == push.key
    }) {
      // Sent once more: the answer goes to the later question.
      stalePushes.entries[index].push.operation = push.operation
      return
    }
    let bytes = push.key.encoded.count + push.version.value.count
    guard stalePushes.entries.count < StalePushTable.entriesMax,
      stalePushes.entries.isEmpty || stalePushes.bytes + bytes <= StalePushTable.bytesMax
    else { return putOff(push, from: node) }
    counters.stalePushesPulled += 1
    stalePushes.next += 1
    stalePushes.entries.append(
      StalePushTable.Entry(number: stalePushes.next, push: push, node: node, hash: hash(push.key.encoded)))
  }

  private mutating func putOff(_ push: Push, from node: NodeID) {
    counters.stalePushesPutOff += 1
    replyToPush(push, to: node, .retry)
  }

  /// Asks for what waits, and settles what is answered. - Returns: Whether there is more to do at once.
  mutating func continueStalePushes(at now: Moment) -> Bool {
    guard !stalePushes.entries.isEmpty, let engine else { return false }
    for number in stalePushes.entries.map(\.number) {
      guard let index = stalePushes.index(number), !stalePushes.entries[index].isReading else { continue }
      if let pull = stalePushes.entries[index].pull, let answers = takeValidated(pull) {
        stalePushes.entries[index].pull = nil
        stalePushes.entries[index].answers = answers
      }
      if let answers = stalePushes.entries[index].answers { settle(index, answers, engine, at: now) }
    }
    var asking = stalePushes.entries.count { $0.pull != nil }
    var hasAnswer = false
    for index in stalePushes.entries.indices where asking < StalePushTable.asksMax {
      let entry = stalePushes.entries[index]
      guard entry.pull == nil, entry.answers == nil,
        let pull = validatedPull(ofHash: entry.hash, in: entry.push.store, at: now)
      else { continue }
      stalePushes.entries[index].pull = pull
      asking += 1
      // Where there is nobody to ask the answer is there already.
      if exchanges.validated.contains(where: { $0.number == pull }) { hasAnswer = true }
    }
    return hasAnswer
  }

  // MARK: - Answered

  private enum Move {
    /// It is durable at this position, or need not be.
    case handled(LogPosition?)
    case retry
    /// Purges came between: the others are asked once more.
    case again
    case read(ColdRead)
    case refused(Refusal)
  }

  private mutating func settle(_ index: Int, _ answers: ValidatedPull, _ engine: Engine, at now: Moment) {
    let push = stalePushes.entries[index].push
    let node = stalePushes.entries[index].node
    let move: Move
    if let refusal = refusal(push.store, configID: push.configID, hash: stalePushes.entries[index].hash) {
      move = .refused(refusal)
    } else {
      do throws(StorageError) {
        move = try judge(index, answers, engine, at: now)
      } catch {
        move = .refused(refusal(of: push.store, error))
      }
    }
    switch move {
    case .handled(let position):
      stalePushes.entries.remove(at: index)
      guard push.wantsApplied || push.wantsSynced else { return }
      let reply = PushReply(operation: push.operation, stamp: push.version.stamp, outcome: .handled)
      sendWhenDurable(.pushReply(reply), of: push.store, to: node, position: position ?? engine.durable)
    case .retry:
      stalePushes.entries.remove(at: index)
      putOff(push, from: node)
    case .again:
      stalePushes.entries[index].answers = nil
      stalePushes.entries[index].isPulled = false
      stalePushes.entries[index].tries += 1
      guard stalePushes.entries[index].tries >= Self.guardTriesMax else { return }
      stalePushes.entries.remove(at: index)
      putOff(push, from: node)
    case .read(let read):
      stalePushes.entries[index].isReading = readCold(read, for: .stalePush(stalePushes.entries[index].number))
    case .refused(let refusal):
      stalePushes.entries.remove(at: index)
      replyToPush(push, to: node, .refused(refusal))
    }
  }

  private mutating func judge(
    _ index: Int, _ answers: ValidatedPull, _ engine: Engine, at now: Moment
  ) throws(StorageError) -> Move {
    let entry = stalePushes.entries[index]
    let push = entry.push
    let key = push.key.encoded
    // For whichever of these has asked for it.
    let warm = takeWarm(index)
    let newest = answers.newest.first { $0.key == key }
    if let newest, !entry.isPulled {
      // A tombstone above it comes by the feed: brought back here it would have to be acknowledged all over again.
      if newest.version.isTombstone, newest.version.stamp >= push.version.stamp {
        return answers.isValid ? .handled(nil) : .retry
      }
      identity.clock.observe(newest.version.stamp.time)
      switch try engine.applyPulled(
        newest.version, key: key, hash: entry.hash, to: push.store, since: answers.generation, warm: warm, on: &disk)
      {
      case .applied, .equal, .newer: stalePushes.entries[index].isPulled = true
      case .guarded: return .again
      case .cold(let read): return .read(read)
      case .refused(let disk): return .refused(refusal(disk))
      }
    }
    // With the key there it is a push like any other; and what came meanwhile counts too.
    let outcome = try engine.apply(
      push.version, key: key, hash: entry.hash, to: push.store, warm: warm, on: &disk)
    switch outcome {
    case .applied, .equal, .newer: return .handled(engine.appended)
    case .cold(let read): return .read(read)
    case .refused(let disk): return .refused(refusal(disk))
    case .belowFloor:
      if newest != nil { return .again }
      guard answers.isValid || !options.rules.hold(.validatedPull) else { return .retry }
      return drop(index, warm, at: now)
    }
  }

  /// Every owner has said that it lacks the key: what was pushed was deleted and purged, or all who held it lost it.
  private mutating func drop(_ index: Int, _ warm: WarmBytes?, at now: Moment) -> Move {
    let entry = stalePushes.entries[index]
    if entry.push.kind == .handoff, !isBuriable(entry.push.version, at: now) {
      switch quarantine(
        entry.push.version, key: entry.push.key.encoded, hash: entry.hash, warm: warm)
      {
      case .kept(let position):
        counters.stalePushesDropped += 1
        return .handled(position)
      case .cold(let read): return .read(read)
      case .refused: return .retry
      }
    }
    counters.stalePushesDropped += 1
    return .handled(nil)
  }

  private mutating func takeWarm(_ index: Int) -> WarmBytes? {
    defer { stalePushes.entries[index].warm = nil }
    return stalePushes.entries[index].warm
  }

  // MARK: - The disk's answers

  mutating func stalePushRead(_ number: UInt64, _ warm: WarmBytes) {
    guard let index = stalePushes.index(number) else { return }
    stalePushes.entries[index].isReading = false
    stalePushes.entries[index].warm = warm
  }

  mutating func stalePushRefused(_ number: UInt64) {
    guard let index = stalePushes.index(number) else { return }
    let entry = stalePushes.entries.remove(at: index)
    putOff(entry.push, from: entry.node)
  }
}
