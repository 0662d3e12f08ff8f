import Causality
import Cluster
import Messages
import Primitives
import Storage

// Tombstones of other owners' feeds are applied here, and acknowledged when they, or what is newer, are durable (rules
// FEED and FEED FSYNC, Docs/DeleteProtocol.md): a cursor is a draft until then, goes into the promises file, and is told when
// that is on disk.

extension Node where Disk: ~Copyable {
  // MARK: - Applying

  mutating func applyFeeds(_ line: Int, _ engine: Engine, _ left: inout Int) {
    while let incoming = feeds.lines[line].incoming.first, !feeds.lines[line].isReading {
      guard left > 0 else {
        feeds.isActive = true
        return
      }
      guard let pair = feeds.index(incoming.feed.store, feeds.lines[line].node), isCurrent(incoming, pair, engine)
      else {
        feeds.lines[line].incoming.removeFirst()
        continue
      }
      switch applyEntries(line, pair, incoming, engine, &left) {
      case .finished:
        let done = feeds.lines[line].incoming.removeFirst()
        draft(pair, done.feed.next, done.position)
      case .refused:
        let done = feeds.lines[line].incoming.removeFirst()
        if done.nextEntry > 0 { draft(pair, done.feed.entries[done.nextEntry - 1].tsn, done.position) }
      case .waits: return
      }
    }
  }

  /// Both stores are those that it was asked for, and it begins where we are, or before.
  private func isCurrent(_ incoming: FeedLine.Incoming, _ pair: Int, _ engine: Engine) -> Bool {
    let store = incoming.feed.store
    guard engine.incarnation(store) == incoming.incarnation, engine.role(store) == .active,
      feeds.pairs[pair].incarnation == incoming.feed.incarnation, feeds.pairs[pair].judged?.judgement == .ok,
      isFoundWhole(store, by: feeds.pairs[pair].node)
    else { return false }
    let cursor = engine.cursor(store, on: feeds.pairs[pair].node)
    let applied = cursor?.incarnation == incoming.feed.incarnation ? cursor?.tsn ?? 0 : 0
    let mayBelong = !options.rules.hold(.cursorIncarnation)
    return incoming.feed.after <= max(applied, feeds.pairs[pair].draft?.tsn ?? 0) || mayBelong
  }

  private enum Progress { case finished, refused, waits }

  private mutating func applyEntries(
    _ line: Int, _ pair: Int, _ incoming: FeedLine.Incoming, _ engine: Engine, _ left: inout Int
  ) -> Progress {
    let entries = incoming.feed.entries
    var index = incoming.nextEntry
    while index < entries.count {
      guard left > 0 else {
        feeds.isActive = true
        return .waits
      }
      left -= 1
      let warm = feeds.lines[line].warm
      feeds.lines[line].warm = nil
      identity.clock.observe(entries[index].stamp.time)
      do throws(StorageError) {
        let outcome = try engine.applyFeed(
          key: entries[index].key, hash: hash(entries[index].key), stamp: entries[index].stamp,
          to: incoming.feed.store, warm: warm, on: &disk)
        switch outcome {
        case .applied(let position):
          counters.feedEntriesApplied += 1
          note(position, line)
        case .equal(let position), .newer(_, let position): note(position, line)
        // Without rule storeAbsent: what is not there is acknowledged all the same.
        case .belowFloor: break
        case .cold(let read):
          let isReading = readCold(read, for: .feed(feeds.lines[line].node))
          feeds.lines[line].isReading = isReading
          return isReading ? .waits : .refused
        case .refused(let disk):
          _ = refusal(disk)
          return .refused
        }
      } catch {
        _ = refusal(of: incoming.feed.store, error)
        return .refused
      }
      index += 1
      feeds.lines[line].incoming[0].nextEntry = index
    }
    return .finished
  }

  private mutating func note(_ position: LogPosition, _ line: Int) {
    feeds.lines[line].incoming[0].position = max(feeds.lines[line].incoming[0].position, position)
  }

  /// The disk's answer to `PendingRead.feed`; nil when there is none.
  mutating func feedReadFinished(_ node: NodeID, _ warm: WarmBytes?) {
    guard let line = feeds.line(node), feeds.lines[line].isReading else { return }
    feeds.lines[line].isReading = false
    feeds.lines[line].warm = warm
    // It is asked for again.
    if warm == nil { feeds.lines[line].incoming = [] }
    feeds.isActive = true
  }

  // MARK: - Cursors

  private mutating func draft(_ pair: Int, _ tsn: UInt64, _ position: LogPosition) {
    let known = feeds.pairs[pair].draft
    feeds.pairs[pair].draft = FeedPair.Draft(
      incarnation: feeds.pairs[pair].incarnation, tsn: max(tsn, known?.tsn ?? 0),
      position: max(position, known?.position ?? LogPosition(0)))
    feeds.hasDrafts = true
  }

  /// What they stand for is durable by now, or not yet.
  mutating func settleDrafts(_ engine: Engine) {
    feeds.hasDrafts = false
    for pair in feeds.pairs.indices {
      guard let draft = feeds.pairs[pair].draft else { continue }
      guard engine.isDurable(draft.position) || !options.rules.hold(.durableCursor) else {
        feeds.hasDrafts = true
        continue
      }
      feeds.pairs[pair].draft = nil
      engine.setCursor(
        feeds.pairs[pair].store,
        FeedCursor(peer: feeds.pairs[pair].node, incarnation: draft.incarnation, tsn: draft.tsn))
    }
  }

  // MARK: - The promises file

  /// Begins to write it when something has changed.
  mutating func writePromises(_ engine: Engine, at now: Moment) {
    guard engine.hasPendingPromises, feeds.promises == nil, feeds.promisesNext <= now.instant,
      !jobs.contains(where: \.setsPromises)
    else { return }
    feeds.promisesNext = now.instant.adding(milliseconds: FeedTable.promisesMilliseconds)
    let (bytes, token) = engine.promisesFile()
    feeds.promises = token
    start(.promises, [.replace(path: StorePath.promises(options.directory), bytes: bytes)])
  }

  /// Cursors and promises are durable: the ones may be told, upon the others tombstones may be forgotten.
  mutating func promisesWritten() {
    guard let engine, let token = feeds.promises else { return }
    feeds.promises = nil
    engine.promisesWritten(token)
    feeds.noteChange()
    // Who had more to give than an answer takes is asked again at once.
    for pair in feeds.pairs.indices where feeds.pairs[pair].hasMore && feeds.pairs[pair].draft == nil {
      feeds.pairs[pair].hasMore = false
      if let line = feeds.line(feeds.pairs[pair].node) { feeds.lines[line].next = present }
    }
  }

  /// The disk had no room: it is tried again.
  mutating func promisesFailed(at now: Moment) {
    feeds.promises = nil
    feeds.promisesNext = now.instant.adding(milliseconds: Self.promisesPauseMilliseconds)
  }

  private static var promisesPauseMilliseconds: UInt64 { 1000 }
}
