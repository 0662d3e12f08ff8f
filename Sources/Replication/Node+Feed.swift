import Causality
import Cluster
import Messages
import Primitives
import Storage

// Owners of a store tell each other how far they are, and give each other their tombstones (rules STATE ORDER and FEED,
// Docs/DeleteProtocol.md): one message per peer and `feed_interval` that names the stores about which there is something to say,
// and its answer. Where nothing has changed nothing is said, and nothing is looked at.

extension Node where Disk: ~Copyable {
  /// Tombstones that a turn applies, and forgets: half a millisecond or so each.
  static var feedEntriesPerTurn: Int { 512 }

  /// The stores are looked through so often, while something changes.
  private var feedReviewMilliseconds: UInt64 { min(100, max(Self.tickMilliseconds, options.feedMilliseconds / 4)) }

  // MARK: - Saying

  /// Every store with every other owner of it.
  mutating func listFeeds(_ engine: Engine) {
    // One that was missing at the start is made later.
    guard feeds.stores.count != engine.storeIDs.count else { return }
    let (stores, pairs) = (feeds.stores, feeds.pairs)
    feeds.stores.removeAll()
    feeds.pairs.removeAll()
    for store in engine.storeIDs {
      let others = owners(store).sorted().filter { $0 != own.id }
      let places = feeds.pairs.count..<feeds.pairs.count + others.count
      var listed =
        stores.first { $0.store == store }
        ?? FeedStore(store: store, pairs: places, incarnation: engine.incarnation(store))
      listed.pairs = places
      feeds.stores.append(listed)
      for node in others {
        feeds.pairs.append(
          pairs.first { $0.store == store && $0.node == node } ?? FeedPair(store: store, node: node))
      }
    }
    feeds.notePlaces()
    // What was said names pairs by their places.
    feeds.lines = peers.peers.map { FeedLine(node: $0.member.id, next: present) }
  }

  /// What this node says of its store to another owner of it. All of it is durable (rule TSN HEAD).
  private func state(of store: StoreID, to node: NodeID, _ engine: Engine) -> StoreState {
    let cursor =
      options.rules.hold(.durableCursor) ? engine.durableCursor(store, on: node) : engine.cursor(store, on: node)
    return StoreState(
      store: store, incarnation: engine.incarnation(store), configID: engine.configID(store),
      role: engine.role(store), isNew: isNew(store, engine), holds: holds(store, engine),
      recognizes: engine.durablePromise(store, of: node)?.incarnation ?? .none, tsnHead: engine.durableHead(store),
      floor: toldFloor(store, engine),
      cursor: cursor.map { StoreState.Cursor(incarnation: $0.incarnation, tsn: $0.tsn) } ?? .none)
  }

  /// Says everything that there is to say of the stores that are shared with this peer, at once.
  mutating func sendStoreStates(to node: NodeID) {
    guard let engine else { return }
    listFeeds(engine)
    let said = feeds.pairs.indices.filter { feeds.pairs[$0].node == node }
      .map { ($0, state(of: feeds.pairs[$0].store, to: node, engine)) }
    say(said, to: node)
  }

  /// Says it once more, for whoever has missed it; not while an answer may be on its way, which would then come to nothing.
  mutating func repeatStoreStates(to node: NodeID) {
    if let line = feeds.line(node), let question = feeds.lines[line].question,
      present.milliseconds(since: question.asked) < feeds.lines[line].patience
    {
      return
    }
    sendStoreStates(to: node)
  }

  private mutating func say(_ said: [(pair: Int, state: StoreState)], to node: NodeID) {
    guard !said.isEmpty, let index = peers.index(node), let hello = peers[index].hello, let line = feeds.line(node)
    else { return }
    feeds.sequence += 1
    feeds.lines[line].question = FeedLine.Question(sequence: feeds.sequence, asked: present, said: said)
    feeds.lines[line].next = present.adding(milliseconds: options.feedMilliseconds)
    counters.feedMessages += 1
    let announced = StoreStates(
      bootID: bootID, yourBootID: hello.bootID, sequence: feeds.sequence, states: said.map(\.state))
    send(.storeStates(announced), to: node)
  }

  /// What the peer has not heard yet, and where it has told of more than is here.
  private func wanted(_ line: Int, _ engine: Engine) -> [(pair: Int, state: StoreState)] {
    let node = feeds.lines[line].node
    var wanted: [(pair: Int, state: StoreState)] = []
    for pair in feeds.pairs.indices where feeds.pairs[pair].node == node {
      let state = state(of: feeds.pairs[pair].store, to: node, engine)
      if state != feeds.pairs[pair].answered || lacks(line, pair, state) { wanted.append((pair, state)) }
    }
    return wanted
  }

  /// The peer's feed goes on behind what is here, and both take part.
  private func lacks(_ line: Int, _ pair: Int, _ state: StoreState) -> Bool {
    let known = feeds.pairs[pair]
    // What has come is applied first, however long the disk takes.
    guard known.draft == nil, !feeds.lines[line].incoming.contains(where: { $0.feed.store == known.store }),
      known.judged?.judgement == .ok, known.verdict?.judgement == .ok, state.role == .active,
      genesis.state(of: known.store, at: known.node)?.role == .active
    else { return false }
    return known.head > (state.cursor.incarnation == known.incarnation ? state.cursor.tsn : 0)
  }

  // MARK: - Being answered

  mutating func receiveStoreStatesReply(_ reply: StoreStatesReply, from node: NodeID, index: Int, at now: Moment) {
    guard reply.yourBootID == bootID, reply.bootID == peers[index].hello?.bootID, let line = feeds.line(node),
      reply.answers <= feeds.sequence, let engine
    else { return }
    let isNews = feeds.lines[line].noteAnswer(to: reply.answers, at: present)
    guard isNews, let question = feeds.lines[line].question, question.sequence == reply.answers else { return }
    feeds.lines[line].question = nil
    feeds.lines[line].isDirty = true
    feeds.isDirty = true
    if options.rules.hold(.stateOrder), self.isNews(reply.follows, of: reply.bootID, index) {
      peers[index].lastStates = (reply.bootID, reply.follows)
    }
    let verdicts = reply.verdicts.filter { engine.contains($0.store) }
    for said in question.said {
      // What cannot be judged yet is said again.
      let isJudged = verdicts.contains {
        $0.store == said.state.store && $0.incarnation == said.state.incarnation && $0.judgement != .undecided
      }
      if isJudged { feeds.pairs[said.pair].answered = said.state }
    }
    take(verdicts, of: node)
    for feed in reply.feeds { take(feed, line, question, engine) }
  }

  private mutating func take(_ feed: StoreFeed, _ line: Int, _ question: FeedLine.Question, _ engine: Engine) {
    guard let said = question.said.first(where: { $0.state.store == feed.store })?.state,
      let pair = feeds.index(feed.store, feeds.lines[line].node), feed.incarnation == feeds.pairs[pair].incarnation,
      said.incarnation == engine.incarnation(feed.store), engine.role(feed.store) == .active,
      feed.entries.allSatisfy({ storeID(hash($0.key)) == feed.store })
    else { return }
    feeds.pairs[pair].head = max(feeds.pairs[pair].head, feed.head)
    feeds.pairs[pair].hasMore = feed.next < feed.head
    feeds.lines[line].incoming.append(FeedLine.Incoming(feed: feed, incarnation: said.incarnation))
    feeds.isActive = true
  }

  // MARK: - Time

  /// Looks through the stores when something has changed, and says what there is to say.
  mutating func reviewFeeds(at now: Moment) {
    guard phase == .opening || phase == .serving, let engine,
      now.instant.milliseconds(since: feeds.reviewed) >= feedReviewMilliseconds
    else { return }
    feeds.reviewed = now.instant
    listFeeds(engine)
    let seen = (appended: engine.appended, durable: engine.durable)
    if seen != feeds.seen { feeds.noteChange() }
    feeds.seen = seen
    if feeds.isDirty || feeds.pending > 0 {
      feeds.isDirty = false
      reviewTombstones(engine, at: now)
    }
    for line in feeds.lines.indices {
      if peers.isUp(feeds.lines[line].node) {
        reviewFeed(line, engine, at: now)
      } else {
        feeds.lines[line].question = nil
        feeds.lines[line].isDirty = true
      }
    }
  }

  private mutating func reviewFeed(_ line: Int, _ engine: Engine, at now: Moment) {
    if let question = feeds.lines[line].question {
      guard now.instant.milliseconds(since: question.asked) >= feeds.lines[line].patience else { return }
      feeds.lines[line].question = nil
      feeds.lines[line].isDirty = true
    }
    guard feeds.lines[line].isDirty, feeds.lines[line].next <= now.instant else { return }
    feeds.lines[line].isDirty = false
    say(wanted(line, engine), to: feeds.lines[line].node)
  }

  // MARK: - A turn

  /// Applies, answers and forgets. - Returns: Whether the next turn should not wait.
  mutating func continueFeeds(at now: Moment) -> Bool {
    guard let engine, phase == .opening || phase == .serving else { return false }
    if feeds.hasDrafts { settleDrafts(engine) }
    writePromises(engine, at: now)
    guard feeds.isActive else { return false }
    feeds.isActive = false
    var isHungry = false
    var left = Self.feedEntriesPerTurn
    for line in feeds.lines.indices {
      while continueFeedAnswer(line, engine, &left) {
        guard left > 0 else {
          isHungry = true
          break
        }
      }
    }
    left = Self.feedEntriesPerTurn
    for line in feeds.lines.indices { applyFeeds(line, engine, &left) }
    if feeds.hasDrafts { settleDrafts(engine) }
    left = Self.feedEntriesPerTurn
    for store in feeds.stores.indices where feeds.stores[store].limit != nil { purge(store, engine, &left) }
    if feeds.isActive { isHungry = true }
    return isHungry
  }

  /// Tombstones, or acknowledgements of others, wait for the disk. They do so together: where no write waits for a sync,
  /// one for the feeds alone costs as many files as there are stores.
  func feedsWantSync(at now: Moment) -> Bool {
    (feeds.hasDrafts || feeds.wantsSync) && feeds.syncNext <= now.instant
  }

  mutating func noteFeedSync(at now: Moment) {
    feeds.wantsSync = false
    feeds.syncNext = now.instant.adding(milliseconds: options.feedMilliseconds / 2)
  }

  /// Something is under way with a peer, or with the disk.
  var isFeeding: Bool {
    feeds.isActive || feeds.hasDrafts || feeds.lines.contains { $0.question != nil || $0.answer != nil }
  }
}
