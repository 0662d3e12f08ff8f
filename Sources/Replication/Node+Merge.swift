import Cluster
import Primitives
import Storage

// Merging beside everything else: a slice at the end of a turn, and no more in a second than the operator allows, so
// that requests wait for a slice at most. The engine decides what is merged (`MergePolicy`) and how.

/// How far merging is, and who waits for it.
struct MergeProgress: Sendable {
  /// There may be more to do at once.
  var isActive = false
  /// A slice waits for the disk.
  var isReading = false
  /// What the disk brought.
  var warm: WarmBytes?
  /// Bytes that may be merged now, and since when that was reckoned.
  var allowance: UInt64 = 0
  var reckoned: Instant?
  /// Who asked for a round, with what merges had done then. One that came while a round was under way waits for the next:
  /// a round that began anew for everybody who asks would never end.
  var waiters: [(session: SessionID, totals: MergeTotals, merges: Int, isForNext: Bool)] = []
}

extension Node where Disk: ~Copyable {
  /// Bytes of input that a turn merges: a tenth of a millisecond or so, which is what a request may wait longer.
  static var mergeSliceBytes: Int { 32 << 10 }
  /// Slices that may follow each other without a pause, after one.
  private static var mergeBurst: UInt64 { 8 }
  /// Of the day, UTC.
  static func hour(of now: Moment) -> Int { Int(now.wallMilliseconds / 3_600_000 % 24) }
  /// Requests for a round that wait at once; one more is refused.
  package static var mergeWaitersMax: Int { 64 }

  /// Merges a slice if there is something to merge and the pace allows it. - Returns: Whether the next turn should not
  /// wait.
  mutating func continueMerge(at now: Moment) -> Bool {
    guard let engine, phase == .serving, !(merges.isReading && merges.warm == nil) else { return false }
    allowMerging(at: now.instant)
    let slice = chaos.strikes(.mergeSliceTiny) ? 1 : Self.mergeSliceBytes
    guard merges.allowance >= slice else { return false }
    let warm = merges.warm
    merges.warm = nil
    merges.isReading = false
    do throws(StorageError) {
      let before = engine.mergeStatus
      let step = try engine.continueMerge(
        at: now.instant, hour: Self.hour(of: now), budget: slice, warm: warm, on: &disk)
      tellMerge(before, engine.mergeStatus)
      merges.isActive = step != .idle
      answerMergeWaiters()
      switch step {
      case .idle, .waiting: return false
      case .cold(let read):
        // Refused when too many reads wait: the next turn tries again.
        merges.isReading = readCold(read, for: .merge)
        return false
      case .worked:
        merges.allowance -= UInt64(slice)
        return merges.allowance >= slice
      }
    } catch {
      stopReason = .failed(error)
      return false
    }
  }

  private mutating func allowMerging(at now: Instant) {
    let most = Self.mergeBurst * UInt64(Self.mergeSliceBytes)
    let since = merges.reckoned ?? now
    let earned = now.milliseconds(since: since) * (options.merge.bytesPerSecond / 1000)
    // Fractions of a millisecond add up in the time that is not reckoned yet.
    guard earned > 0 || merges.reckoned == nil else { return }
    merges.reckoned = now
    merges.allowance = min(most, merges.allowance + earned)
  }

  private mutating func tellMerge(_ before: MergeStatus, _ after: MergeStatus) {
    if let reason = after.postponement, before.store != nil, after.store == nil, before.merges == after.merges {
      let store = before.store.map { "\($0)" } ?? ""
      free.append(.log(.warning, "the merge of store \(store) was broken off: \(reason)"))
    }
  }

  // MARK: - Asked for

  mutating func requestMerge(_ engine: Engine, session: SessionID) {
    guard merges.waiters.count < Self.mergeWaitersMax else {
      return free.append(.adminDone(.refused("\(merges.waiters.count) requests wait already"), session: session))
    }
    let isUnderWay = engine.isMergeRequested
    if !isUnderWay { engine.requestMerge() }
    let status = engine.mergeStatus
    merges.waiters.append((session, status.totals, status.merges, isForNext: isUnderWay))
    merges.isActive = true
  }

  mutating func answerMergeWaiters() {
    guard !merges.waiters.isEmpty, let engine, !engine.isMergeRequested else { return }
    let status = engine.mergeStatus
    for waiter in merges.waiters where !waiter.isForNext {
      let totals = status.totals.since(waiter.totals)
      free.append(.adminDone(.merged(totals, merges: status.merges - waiter.merges), session: waiter.session))
    }
    merges.waiters.removeAll { !$0.isForNext }
    guard !merges.waiters.isEmpty else { return }
    for index in merges.waiters.indices { merges.waiters[index].isForNext = false }
    engine.requestMerge()
    merges.isActive = true
  }

  /// Merging ends with the node: what it has moved stays moved.
  mutating func endMerges() {
    engine?.cancelMerge(on: &disk)
    merges.isActive = false
    for waiter in merges.waiters {
      free.append(.adminDone(.refused("node \(own.name) is stopping"), session: waiter.session))
    }
    merges.waiters.removeAll()
  }
}
