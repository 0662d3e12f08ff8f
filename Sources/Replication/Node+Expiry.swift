import Causality
import Cluster
import Messages
import Primitives
import Storage

// Values that have expired (rules TTL and EXPIRY, Docs/DeleteProtocol.md). Whoever answers a client judges by its own clock whether
// the newest version is one; owners send each other records, and never what they think of them. Each owner buries its own
// in the background, so many in a turn, as long as its clock is to be trusted: then the feed tells the others, as of any
// tombstone.

struct BurialTable: Sendable {
  /// A store of which values are to be buried now.
  struct Line: Sendable {
    let store: StoreID
    /// Records that the disk was asked for and has not brought.
    var reading = 0
    /// One of them could not be read.
    var hasFailed = false
    var warm: [WarmBytes] = []
  }

  var lines: [Line] = []
  /// When the stores are looked through again.
  var next: Instant?
  /// The disk refuses: not before then.
  var pausedUntil: Instant?

  func index(_ store: StoreID) -> Int? { lines.firstIndex { $0.store == store } }
}

extension Node where Disk: ~Copyable {
  /// Values that a turn buries.
  static var burialsPerTurn: Int { 64 }
  private static var burialReviewMilliseconds: UInt64 { 1000 }

  // MARK: - Judging

  /// Rule TTL: it reads as a tombstone of its own stamp.
  func isPast(_ expiry: Expiry, at now: Moment) -> Bool {
    expiry != .never && expiry.isPast(peers.judgingMilliseconds(at: now))
  }

  /// A tombstone, or a value that may be made one: of neither anything is to be kept.
  func isBuriable(_ version: StoredVersion, at now: Moment) -> Bool {
    if version.isTombstone || version.expiry == .never { return version.isTombstone }
    return Expiry.buriable(leaves: version.expiry.leaves) <= now.wallMilliseconds && peers.clockIsTrusted(at: now)
  }

  /// What this node's rounds leave out (`Expiry.leaves`).
  func minute(at now: Moment) -> UInt64 { peers.judgingMilliseconds(at: now) / 60_000 }

  /// A store that is filled wants everything: what has expired may be all that keeps an older version down.
  func minute(of exchange: Exchange, at now: Moment) -> UInt64 { exchange.isRefill ? 0 : minute(at: now) }

  // MARK: - Burying

  /// Finds the stores of which values may be buried.
  mutating func reviewExpiries(at now: Moment) {
    guard phase == .serving, let engine, burials.next.map({ $0 <= now.instant }) ?? true,
      burials.pausedUntil.map({ $0 <= now.instant }) ?? true
    else { return }
    burials.next = now.instant.adding(milliseconds: Self.burialReviewMilliseconds)
    guard peers.clockIsTrusted(at: now) else { return }
    for store in engine.storeIDs where engine.role(store) == .active && isValidated(store) {
      if engine.mayBury(store, at: now.wallMilliseconds), burials.index(store) == nil {
        burials.lines.append(BurialTable.Line(store: store))
      }
    }
  }

  /// - Returns: Whether there is more to do at once.
  mutating func continueBurials(at now: Moment) -> Bool {
    guard !burials.lines.isEmpty, phase == .serving, let engine else { return false }
    var left = Self.burialsPerTurn
    for store in burials.lines.map(\.store) {
      guard left > 0 else { return true }
      guard let index = burials.index(store), burials.lines[index].reading == 0 else { continue }
      if !bury(index, engine, &left, at: now) { burials.lines.removeAll { $0.store == store } }
    }
    return left <= 0
  }

  /// - Returns: Whether the store has more.
  private mutating func bury(_ index: Int, _ engine: Engine, _ left: inout Int, at now: Moment) -> Bool {
    let store = burials.lines[index].store
    let warm = burials.lines[index].warm
    burials.lines[index].warm = []
    guard engine.contains(store), engine.role(store) == .active, peers.clockIsTrusted(at: now) else { return false }
    do throws(StorageError) {
      switch try engine.bury(in: store, at: now.wallMilliseconds, max: left, warm: warm, on: &disk) {
      case .buried(let count, let more):
        noteBuried(count, &left)
        return more
      case .cold(let reads, let count):
        noteBuried(count, &left)
        // Those that too many others wait before are asked for again.
        for read in reads {
          if readCold(read, for: .burial(store)) { burials.lines[index].reading += 1 }
        }
        return burials.lines[index].reading > 0
      case .refused(let disk):
        _ = refusal(disk)
        burials.pausedUntil = now.instant.adding(milliseconds: Self.burialReviewMilliseconds)
        return false
      }
    } catch {
      _ = refusal(of: store, error)
      return false
    }
  }

  private mutating func noteBuried(_ count: Int, _ left: inout Int) {
    left -= count
    counters.buried += UInt64(count)
    if count > 0 { feeds.noteChange() }
  }

  /// The disk's answer to `PendingRead.burial`; nil when there is none.
  mutating func burialReadFinished(_ store: StoreID, _ warm: WarmBytes?) {
    guard let index = burials.index(store) else { return }
    burials.lines[index].reading -= 1
    if let warm { burials.lines[index].warm.append(warm) } else { burials.lines[index].hasFailed = true }
    if burials.lines[index].reading == 0, burials.lines[index].hasFailed { burials.lines.remove(at: index) }
  }
}
