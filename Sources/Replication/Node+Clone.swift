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
      peers[index].displaced = (old, ping.sequence)
      send(ping, at: now)
    }
    peers[index].accepted = hello
  }

  /// Whether the answer is one of a boot that another has displaced, to a ping sent after that.
  mutating func isOfDisplacedBoot(_ reply: PingReply, _ index: Int, at now: Moment) -> Bool {
    guard let (old, sequence) = peers[index].displaced, reply.yourBootID == bootID, reply.bootID == old.bootID,
      reply.sequence >= sequence, let other = peers[index].accepted
    else { return false }
    let node = peers[index].member.id
    peers[index].displaced = nil
    peers[index].accepted = old
    peers[index].hello = old
    peers[index].cloneBootID = other.bootID
    counters.clones += 1
    let text =
      "two processes say that they are \(name(node)): the one that was there answers, and the other is refused. "
      + "Stop one of them, and never start a copy of a data directory"
    free.append(.log(.error, text))
    send(.helloReply(HelloReply(yourBootID: other.bootID, refusal: .clone)), to: node)
    forgetBoot(of: index, "a clone of \(name(node)) was in its place")
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
    peers[index].lastStatesSequence = 0
    peers[index].statesAnswered = nil
  }
}
