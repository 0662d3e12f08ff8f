import Causality
import Cluster
import Messages
import Primitives
import Storage

// What this node answers to what other owners say of their stores: whether it fits to what is remembered of them, and the
// tombstones that they lack.

extension Node where Disk: ~Copyable {
  mutating func receiveStoreStates(_ announced: StoreStates, from node: NodeID, index: Int, at now: Moment) {
    guard announced.yourBootID == bootID, announced.bootID == peers[index].hello?.bootID,
      isNews(announced.sequence, of: announced.bootID, index) || !options.rules.hold(.stateOrder), let engine
    else { return }
    peers[index].lastStates = (announced.bootID, announced.sequence)
    listFeeds(engine)
    guard let line = feeds.line(node) else { return }
    let states = announced.states.filter { feeds.index($0.store, node) != nil }
    var verdicts: [StoreVerdict] = []
    var wanted: [(store: StoreID, after: UInt64)] = []
    for state in states {
      let verdict = receive(state, from: node, engine)
      verdicts.append(verdict)
      guard verdict.judgement == .ok, state.role == .active, engine.role(state.store) == .active else { continue }
      let after = acknowledged(by: state, engine)
      if after < engine.durableHead(state.store) { wanted.append((state.store, after)) }
    }
    feeds.lines[line].answer = FeedAnswer(
      bootID: announced.bootID, sequence: announced.sequence, verdicts: verdicts, wanted: wanted)
    feeds.lines[line].isDirty = true
    feeds.isDirty = true
    feeds.isActive = true
    noteStates(states, from: node, index: index, at: now)
  }

  /// Rule STATE ORDER: the numbers go on as long as the boot lives, however often it greets.
  func isNews(_ sequence: UInt64, of bootID: UInt64, _ index: Int) -> Bool {
    peers[index].lastStates.bootID != bootID || sequence > peers[index].lastStates.sequence
  }

  /// - Returns: What this node thinks of it; when it is whole it is remembered.
  private mutating func receive(_ state: StoreState, from node: NodeID, _ engine: Engine) -> StoreVerdict {
    noteFirst(state, of: node, engine)
    let verdict = StoreVerdict(
      store: state.store, incarnation: state.incarnation, judgement: judge(state, of: node, engine))
    guard let pair = feeds.index(state.store, node) else { return verdict }
    if feeds.pairs[pair].incarnation != state.incarnation { feeds.pairs[pair].begin(incarnation: state.incarnation) }
    feeds.pairs[pair].judged = verdict
    guard verdict.judgement == .ok else {
      if verdict.judgement.isRegressed, genesis.state(of: state.store, at: node)?.role != .fenced {
        let text = "store \(state.store) of \(name(node)) has gone back to an earlier state: \(verdict.judgement.text)"
        free.append(.log(.warning, text))
      }
      return verdict
    }
    feeds.pairs[pair].head = state.tsnHead
    remember(state, of: node, engine)
    return verdict
  }

  /// How much of our feed the peer holds durably (rule FEED: of this incarnation of our store).
  func acknowledged(by state: StoreState, _ engine: Engine) -> UInt64 {
    let isOurs =
      state.cursor.incarnation == engine.incarnation(state.store) || !options.rules.hold(.cursorIncarnation)
    return isOurs ? state.cursor.tsn : 0
  }

  // MARK: - Tombstones for the peer

  /// Goes on with the answer to this peer by a page of one store. - Returns: Whether there is more.
  mutating func continueFeedAnswer(_ line: Int, _ engine: Engine, _ budget: inout Int) -> Bool {
    guard var answer = feeds.lines[line].answer, !answer.isReading else { return false }
    let entriesMax = min(options.feedEntriesMax, FeedLimits.entriesMax)
    let left = (entries: entriesMax - answer.entries, bytes: FeedLimits.pageBytes - answer.bytes)
    guard answer.nextWanted < answer.wanted.count, left.entries > 0, left.bytes > 0 else {
      sendFeedAnswer(line)
      return false
    }
    let (store, after) = answer.wanted[answer.nextWanted]
    let warm = answer.warm
    answer.warm = nil
    answer.nextWanted += 1
    feeds.lines[line].answer = answer
    guard engine.role(store) == .active else { return true }
    do throws(StorageError) {
      let outcome = try engine.feedPage(
        of: store, after: after, entriesMax: left.entries, bytesMax: left.bytes,
        warm: warm, on: &disk)
      switch outcome {
      case .page(let entries, let next):
        budget -= entries.count
        add(entries, of: store, after: after, next: next, to: line, engine)
      case .cold(let read):
        feeds.lines[line].answer?.nextWanted -= 1
        let isReading = readCold(read, for: .feedAnswer(feeds.lines[line].node))
        feeds.lines[line].answer?.isReading = isReading
        if !isReading { sendFeedAnswer(line) }
        return false
      }
    } catch { _ = refusal(of: store, error) }
    feeds.isActive = true
    return true
  }

  /// A page that ends early has met a record that is not in memory, or that damage fences: it is gone on with as long as
  /// that brings more.
  private mutating func add(
    _ entries: [FeedEntry], of store: StoreID, after: UInt64, next: UInt64, to line: Int, _ engine: Engine
  ) {
    guard var answer = feeds.lines[line].answer else { return }
    let head = max(next, engine.durableHead(store))
    if let last = answer.feeds.last, last.store == store, last.next == after {
      answer.feeds[answer.feeds.count - 1].entries += entries
      answer.feeds[answer.feeds.count - 1].next = next
      answer.feeds[answer.feeds.count - 1].head = head
    } else {
      answer.feeds.append(
        StoreFeed(
          store: store, incarnation: engine.incarnation(store), after: after, next: next, head: head, entries: entries))
    }
    answer.entries += entries.count
    answer.bytes += entries.reduce(0) { $0 + $1.byteCount }
    if next > after, next < head {
      answer.nextWanted -= 1
      answer.wanted[answer.nextWanted].after = next
    }
    feeds.lines[line].answer = answer
    counters.feedEntriesSent += UInt64(entries.count)
  }

  private mutating func sendFeedAnswer(_ line: Int) {
    guard let answer = feeds.lines[line].answer else { return }
    feeds.lines[line].answer = nil
    counters.feedMessages += 1
    let reply = StoreStatesReply(
      bootID: bootID, yourBootID: answer.bootID, answers: answer.sequence, follows: feeds.sequence,
      verdicts: answer.verdicts, feeds: answer.feeds)
    send(.storeStatesReply(reply), to: feeds.lines[line].node)
  }

  /// The disk's answer to `PendingRead.feedAnswer`; nil when there is none.
  mutating func feedAnswerReadFinished(_ node: NodeID, _ warm: WarmBytes?) {
    guard let line = feeds.line(node) else { return }
    guard feeds.lines[line].answer?.isReading == true else { return }
    feeds.lines[line].answer?.isReading = false
    feeds.lines[line].answer?.warm = warm
    // What could not be read is left out this time.
    if warm == nil { feeds.lines[line].answer?.nextWanted += 1 }
    feeds.isActive = true
  }
}
