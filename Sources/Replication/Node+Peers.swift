import Causality
import Cluster
package import Messages
import Primitives
import Storage

// Talking to the other members: handshake, who is up, and the dispatch of what they say. A message of a peer whose
// current boot has not been accepted is dropped unread, the handshake itself excepted. How it is found out who is up
// stands in Node+Probes.swift.

extension Node where Disk: ~Copyable {
  /// A HELLO that was not answered is said again after this time.
  static var helloMilliseconds: UInt64 { 500 }

  mutating func send(_ body: PeerBody, to node: NodeID) {
    if body.exchange == .question, let index = peers.index(node) {
      peers.detector.sentQuestion(to: index, at: present)
    }
    free.append(.send(PeerMessage(time: identity.clock.last, body: body), to: node))
  }

  mutating func receive(_ message: PeerMessage, from node: NodeID, at now: Moment) {
    guard let index = peers.index(node) else { return }
    switch message.body {
    case .hello(let hello): receiveHello(hello, from: index, at: now)
    case .helloReply(let reply): receiveHelloReply(reply, from: index, at: now)
    default:
      // Every message asks: a comparison would copy the HELLO.
      guard case .some = peers[index].hello else { return }
      peers.detector.heard(from: index, at: now.instant)
      if message.body.exchange == .answer { peers.detector.heardAnswer(from: index, at: now.instant) }
      identity.clock.observe(message.time)
      receiveAccepted(message.body, from: node, index: index, at: now)
    }
  }

  private mutating func receiveAccepted(_ body: PeerBody, from node: NodeID, index: Int, at now: Moment) {
    switch body {
    case .hello, .helloReply: break
    case .ping(let ping): receivePing(ping, from: index, at: now)
    case .pingReply(let reply): receivePingReply(reply, from: index, at: now)
    case .pingRequest(let request): receivePingRequest(request, from: index, at: now)
    case .pingRelayed(let relayed): receivePingRelayed(relayed, from: index, at: now)
    case .storeStates(let states): receiveStoreStates(states, from: node, index: index, at: now)
    case .storeStatesReply(let reply): receiveStoreStatesReply(reply, from: node, index: index, at: now)
    case .push(let push): receivePush(push, from: node, warm: nil)
    case .pushReply(let reply): receivePushReply(reply, from: node, at: now)
    case .read(let read): receiveRead(read, from: node, warm: nil)
    case .readReply(let reply): receiveReadReply(reply, from: node, at: now)
    case .forward(let forward): receiveForward(forward, from: node, at: now)
    case .forwardReply(let reply): receiveForwardReply(reply, from: node, at: now)
    case .list(let list): receiveList(list, from: node)
    case .listReply(let reply): receiveListReply(reply, from: node, at: now)
    case .compare, .pull: receiveQuestion(body, from: node, at: now)
    case .compareReply(let reply): receiveCompareReply(reply, from: node, at: now)
    case .pullReply(let reply): receivePullReply(reply, from: node, at: now)
    }
  }

  // MARK: - Handshake

  mutating func linkChanged(_ node: NodeID, up: Bool, at now: Moment) {
    guard let index = peers.index(node) else { return }
    peers[index].linked = up
    peers[index].welcomed = false
    peers[index].refusal = nil
    if up {
      sayHello(to: index, at: now)
      // An acceptance said before this connection stood went nowhere.
      if let accepted = peers[index].hello {
        send(.helloReply(HelloReply(yourBootID: accepted.bootID, refusal: nil)), to: node)
      }
    }
    reviewPeers(at: now)
  }

  /// The cluster as peers may hear of it: this node cannot forget it any more.
  private var ownCluster: ClusterIdentity? { engine == nil ? nil : identity.manifest.cluster }

  mutating func sayHello(to index: Int, at now: Moment) {
    peers[index].helloSent = now.instant
    let hello = Hello(
      node: own.id, name: own.name, bootID: bootID, knownBootID: peers[index].hello?.bootID ?? 0,
      actor: identity.manifest.actor, cluster: ownCluster,
      membersDigest: identity.manifest.membersDigest, ringEpoch: ring.epoch, wallMilliseconds: now.wallMilliseconds,
      edition: identity.told.edition, lineage: identity.told.lineage)
    send(.hello(hello), to: peers[index].member.id)
  }

  /// Says hello to everybody who is connected: a fact of ours has changed.
  mutating func sayHelloAgain(at now: Moment) {
    for index in peers.peers.indices where peers[index].linked { sayHello(to: index, at: now) }
  }

  private mutating func receiveHello(_ hello: Hello, from index: Int, at now: Moment) {
    let node = peers[index].member.id
    let refusal = judge(hello, of: peers[index].member)
    if refusal != nil, peers[index].wasUp, hello.bootID != peers[index].hello?.bootID {
      // The member itself is here and well: this is somebody else who gives its name.
      if refusal == .clone { send(.helloReply(HelloReply(yourBootID: hello.bootID, refusal: .clone)), to: node) }
      if refusal == .olderCopy { doubt(hello, of: index, at: now) }
      return noteImpostor(hello, of: index, at: now)
    }
    let known = refusal == .olderCopy ? editionLacked(by: hello, at: index) : nil
    send(.helloReply(HelloReply(yourBootID: hello.bootID, refusal: refusal, knownEdition: known ?? 0)), to: node)
    if let refusal {
      if peers[index].rejected != refusal {
        free.append(.log(.warning, "refused \(peers[index].member.name): \(refusal.text)"))
      }
      peers[index].rejected = refusal
      peers[index].hello = nil
    } else {
      if peers[index].hello?.bootID != hello.bootID {
        forgetBoot(of: index, "\(name(node)) was started anew")
        peers[index].clockReference = nil
        peers[index].clockProbe = nil
      }
      peers[index].rejected = nil
      peers[index].hello = hello
      noteBoot(hello, of: index, at: now)
      peers.detector.heard(from: index, at: now.instant)
      // Better than nothing, until the first answer to a ping.
      if peers.clockOffset(peers[index], at: now) == nil { noteClock(hello.wallMilliseconds, of: index, at: now) }
      if identity.manifest.cluster == nil, let cluster = hello.cluster { adopt(cluster, at: now) }
      // It has forgotten what it was told.
      if hello.knownBootID != bootID { feeds.sayAgain(to: node) }
      let lacksCluster = hello.cluster == nil && ownCluster != nil
      if hello.knownBootID != bootID || lacksCluster { sayHello(to: index, at: now) }
    }
    reviewPeers(at: now)
  }

  /// One line per boot of whoever it is.
  private mutating func noteImpostor(_ hello: Hello, of index: Int, at now: Moment) {
    guard peers[index].impostorBootID != hello.bootID else { return }
    peers[index].impostorBootID = hello.bootID
    let text = judge(hello, of: peers[index].member)?.text ?? ""
    free.append(.log(.warning, "refused another process that says it is \(peers[index].member.name): \(text)"))
  }

  /// True when whoever says this may speak as the member it names; no effect.
  package func accepts(_ hello: Hello) -> Bool {
    guard let index = peers.index(hello.node) else { return false }
    return judge(hello, of: peers[index].member) == nil
  }

  private func judge(_ hello: Hello, of member: Member) -> HelloRefusal? {
    guard hello.versions.overlaps(Hello.versionMin...Hello.versionMax) else { return .version }
    guard hello.node == member.id else { return .unknownNode }
    guard hello.name == member.name else { return .nameMismatch }
    guard hello.membersDigest == identity.manifest.membersDigest else { return .otherMembers }
    if let theirs = hello.cluster, let ours = identity.manifest.cluster, theirs != ours { return .otherCluster }
    if let index = peers.index(hello.node), peers[index].wasUp, peers[index].cloneBootID == hello.bootID,
      peers[index].hello?.bootID != hello.bootID
    {
      return .clone
    }
    let isTaken =
      hello.actor == identity.manifest.actor || identity.manifest.pastActors.contains(hello.actor)
      || peers.peers.contains { $0.member.id != member.id && $0.hello?.actor == hello.actor }
    if isTaken { return .actorTaken }
    if let index = peers.index(hello.node), editionLacked(by: hello, at: index) != nil { return .olderCopy }
    return nil
  }

  private mutating func receiveHelloReply(_ reply: HelloReply, from index: Int, at now: Moment) {
    guard reply.yourBootID == bootID else { return }
    peers[index].welcomed = reply.refusal == nil
    if let refusal = reply.refusal, peers[index].refusal != refusal {
      free.append(.log(.warning, "\(peers[index].member.name) refused this node: \(refusal.text)"))
      // Two nodes drew the same number: the one that is told draws another, which it has not used yet.
      if refusal == .actorTaken { drawNewActor(at: now) }
    }
    if reply.refusal == .olderCopy { leaveLineage(known: reply.knownEdition, by: peers[index].member.id) }
    peers[index].refusal = reply.refusal
    reviewPeers(at: now)
  }

  private mutating func drawNewActor(at now: Moment) {
    let taken = identity.manifest.pastActors + [identity.manifest.actor] + peers.peers.compactMap { $0.hello?.actor }
    identity.manifest.retireActor(replacedBy: NodeStart.drawActor(&generator, except: taken))
    identity.isDirty = true
    renewIdentity(at: now)
  }

  // MARK: - Who is up

  /// Runs both sides of every change between up and down.
  mutating func reviewPeers(at now: Moment) {
    noticeStandstill(at: now)
    for change in peers.review(at: now.instant) {
      switch change {
      case .up(let node):
        free.append(.log(.info, "\(name(node)) is up"))
        sendStoreStates(to: node)
        handoffPeerIsUp(node, at: now)
      case .down(let node, let reason):
        free.append(.log(.warning, "\(name(node)) is down: \(reason)"))
        goOnWithout(node, .wentDown, at: now)
      case .suspect(let node, let reason):
        free.append(.log(.warning, "\(name(node)) is suspect: \(reason)"))
        goOnWithout(node, .silent, at: now)
      case .declaredDown(let node, let reason):
        free.append(.log(.warning, "\(name(node)) is down: \(reason)"))
      case .reconnect(let node): free.append(.disconnect(node))
      }
      reviewValidation()
    }
  }

  /// Every operation that counts on this peer goes on without it.
  private mutating func goOnWithout(_ node: NodeID, _ obstacle: Obstacle, at now: Moment) {
    let reason = describe(obstacle, of: node)
    handoffPeerWentDown(node, at: now)
    for operation in writes.keys.sorted() { writePeerFailed(operation, node, obstacle, at: now) }
    for operation in gets.keys.sorted() { getReplicaFailed(operation, node, obstacle, at: now) }
    for operation in forwards.keys.sorted() where forwards[operation]?.target == node {
      forwardTargetLost(operation, reason, at: now)
    }
    listReplicaFailed(node, at: now)
    endExchanges(with: node, reason)
  }
}
