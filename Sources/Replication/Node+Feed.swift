import Causality
import Cluster
import Messages
import Primitives
import Storage

// Owners of a store tell each other how far they are, and give each other their tombstones (rules STATE ORDER and FEED,
// Docs/Delete.md): one message per peer and `feed_interval` that names the stores about which there is something to say,
// and its answer. Where nothing has changed nothing is said.

extension Node where Disk: ~Copyable {
  // MARK: - Saying

  /// Every store with every other owner of it.
  private mutating func listFeeds(_ engine: Engine) {
    guard feeds.pairs.isEmpty else { return }
    for store in engine.storeIDs {
      for node in owners(store).sorted() where node != own.id {
        feeds.pairs.append(FeedPair(store: store, node: node))
      }
    }
    feeds.lines = peers.peers.map { FeedLine(node: $0.member.id, next: present) }
  }

  /// What this node says of its store to another owner of it.
  private func state(of store: StoreID, to node: NodeID, _ engine: Engine) -> StoreState {
    let status = engine.status(store)
    return StoreState(
      store: store, incarnation: engine.incarnation(store), configID: engine.configID(store),
      role: engine.role(store), isNew: isNew(store, engine),
      recognizes: engine.promises(store).first { $0.peer == node }?.incarnation ?? .none, tsnHead: status.tsnHead,
      floor: status.floor)
  }

  /// Says everything that there is to say of the stores that are shared with this peer, at once.
  mutating func sendStoreStates(to node: NodeID) {
    guard let engine else { return }
    listFeeds(engine)
    say(feeds.pairs.indices.filter { feeds.pairs[$0].node == node }, to: node, engine)
  }

  private mutating func say(_ pairs: [Int], to node: NodeID, _ engine: Engine) {
    guard !pairs.isEmpty, let index = peers.index(node), let hello = peers[index].hello,
      let line = feeds.line(node)
    else { return }
    feeds.sequence += 1
    let said = pairs.map { ($0, state(of: feeds.pairs[$0].store, to: node, engine)) }
    feeds.lines[line].question = FeedLine.Question(sequence: feeds.sequence, asked: present, said: said)
    feeds.lines[line].next = present.adding(milliseconds: options.feedMilliseconds)
    let announced = StoreStates(
      bootID: bootID, yourBootID: hello.bootID, sequence: feeds.sequence, states: said.map { $0.1 })
    send(.storeStates(announced), to: node)
  }

  // MARK: - Answering

  mutating func receiveStoreStates(_ announced: StoreStates, from node: NodeID, index: Int, at now: Moment) {
    guard announced.yourBootID == bootID, announced.bootID == peers[index].hello?.bootID,
      announced.sequence > peers[index].lastStatesSequence
    else { return }
    peers[index].lastStatesSequence = announced.sequence
    guard let engine else { return }
    listFeeds(engine)
    let states = announced.states.filter { engine.contains($0.store) && feeds.index($0.store, node) != nil }
    var verdicts: [StoreVerdict] = []
    for state in states {
      guard let pair = feeds.index(state.store, node) else { continue }
      let verdict = StoreVerdict(
        store: state.store, incarnation: state.incarnation, judgement: judge(state, of: node, engine))
      feeds.pairs[pair].judged = verdict
      verdicts.append(verdict)
    }
    send(
      .storeStatesReply(
        StoreStatesReply(
          bootID: bootID, yourBootID: announced.bootID, answers: announced.sequence, verdicts: verdicts, feeds: [])),
      to: node)
    noteStates(states, from: node, index: index, at: now)
  }

  // MARK: - Being answered

  mutating func receiveStoreStatesReply(_ reply: StoreStatesReply, from node: NodeID, index: Int, at now: Moment) {
    guard reply.yourBootID == bootID, reply.bootID == peers[index].hello?.bootID, let line = feeds.line(node),
      let question = feeds.lines[line].question, question.sequence == reply.answers
    else { return }
    feeds.lines[line].question = nil
    take(reply.verdicts, of: node)
  }

  // MARK: - Time

  /// Says again what was not answered.
  mutating func reviewFeeds(at now: Moment) {
    guard phase == .opening || phase == .serving, let engine else { return }
    for line in feeds.lines.indices {
      guard let question = feeds.lines[line].question, peers.isUp(feeds.lines[line].node),
        now.instant.milliseconds(since: question.asked) >= FeedTable.patienceMilliseconds
      else { continue }
      say(question.said.map(\.pair), to: feeds.lines[line].node, engine)
    }
  }
}
