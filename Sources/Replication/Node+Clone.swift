import Cluster
import Messages
import Primitives

// Two processes under one name (rule IDENT, Docs/DeleteProtocol.md): a copy of a data directory that was started elsewhere. A
// HELLO of another boot takes the place of the old one at once, because a node that was started anew is the rule; but the
// member is pinged then, and if the old boot answers that, it lives, and the other one is refused as long as it does.

extension Node where Disk: ~Copyable {
  /// A boot was accepted; another one was before it.
  mutating func noteBoot(_ hello: Hello, of index: Int, at now: Moment) {
    if let old = peers[index].accepted, old.bootID != hello.bootID {
      let ping = peers.detector.ping(index, at: now.instant)
      peers[index].displaced = PeerTable.DisplacedBoot(
        hello: old, edition: peers[index].edition, lastStates: peers[index].lastStates, sequence: ping.sequence,
        at: now.instant)
      peers[index].edition = 0
      send(ping, at: now)
    }
    peers[index].accepted = hello
    if peers[index].doubted?.bootID == hello.bootID { peers[index].doubted = nil }
    note(edition: hello.edition, of: index, at: now)
  }

  /// A boot from an older copy of the directory gives the name of a member that is up. If that answers now, it is a clone.
  mutating func doubt(_ hello: Hello, of index: Int, at now: Moment) {
    let ping = peers.detector.ping(index, at: now.instant)
    peers[index].doubted = (hello.bootID, member: peers[index].hello?.bootID ?? 0, ping.sequence)
    send(ping, at: now)
  }

  /// The member's boot has answered a ping of this sequence.
  mutating func settleDoubt(of index: Int, upTo sequence: UInt64) {
    guard let doubted = peers[index].doubted, doubted.member == peers[index].hello?.bootID,
      sequence >= doubted.sequence
    else { return }
    peers[index].doubted = nil
    declareClone(doubted.bootID, of: index)
  }

  private mutating func declareClone(_ bootID: UInt64, of index: Int) {
    let node = peers[index].member.id
    peers[index].cloneBootID = bootID
    counters.clones += 1
    let text =
      "two processes say that they are \(name(node)): the one that was there answers, and the other is refused. "
      + "Stop one of them, and never start a copy of a data directory"
    free.append(.log(.error, text))
    send(.helloReply(HelloReply(yourBootID: bootID, refusal: .clone)), to: node)
  }

  /// Whether the answer is one of a boot that another has displaced, to a ping sent after that.
  mutating func isOfDisplacedBoot(_ reply: PingReply, _ index: Int, at now: Moment) -> Bool {
    guard let displaced = peers[index].displaced, reply.yourBootID == bootID,
      reply.bootID == displaced.hello.bootID, reply.sequence >= displaced.sequence, let other = peers[index].accepted
    else { return false }
    let node = peers[index].member.id
    declareClone(other.bootID, of: index)
    forgetBoot(of: index, "a clone of \(name(node)) was in its place")
    peers[index].displaced = nil
    peers[index].accepted = displaced.hello
    peers[index].edition = displaced.edition
    peers[index].lastStates = displaced.lastStates
    // It is to say everything again: what it had said is forgotten.
    peers[index].hello = nil
    sayHello(to: index, at: now)
    peers[index].hello = displaced.hello
    reviewPeers(at: now)
    if peers.isUp(node) { sendStoreStates(to: node) }
    return true
  }

  /// What was said and begun with the boot before does not count.
  mutating func forgetBoot(of index: Int, _ reason: String) {
    let node = peers[index].member.id
    genesis.forget(node)
    feeds.forget(node)
    endExchanges(with: node, reason)
    peers[index].lastPingSequence = 0
    peers[index].statesAnswered = nil
  }
}
