import Cluster
import Messages
import Platform
import Primitives
import Replication

// Connections between nodes. Each node makes one to every other member and speaks on it; what it hears comes on the
// connections that the others made. The first message on those says who speaks; bytes that are not frames, a first
// message that is no hello, or silence before it, close the connection.

extension Shard {
  /// Connections on the cluster port beyond one per member: peers that reconnect, and strangers.
  private static var strangersMax: Int { 64 }
  private static var helloMillisecondsMax: UInt64 { 5000 }
  /// What a connection may have sent before its hello is whole.
  private static var helloBytesMax: Int { 8 << 10 }

  // MARK: Own connections

  /// Does what is due: an attempt to connect, or giving one up.
  func advance(_ link: PeerLink) {
    switch link.state {
    case .waiting:
      let source = isStopping ? nil : configuration.cluster
      if let failure = link.connect(from: source, on: loop, now: now.instant) { lose(link, failure) }
    case .connecting: lose(link, "no answer in time")
    case .up: break
    }
  }

  func linkIsReady(_ link: PeerLink, _ event: Readiness) {
    switch link.state {
    case .waiting: break
    case .connecting:
      guard event.writable || event.broken else { return }
      if let failure = link.finishConnecting(now: now.instant) { return lose(link, failure) }
      log(.info, "connected to \(link.member.name) at \(link.member.address)")
      step(.link(link.member.id, up: true))
      link.isDirty = true
    case .up:
      if event.readable || event.broken, link.isClosedByPeer(with: readBuffer) {
        return lose(link, "closed by the peer")
      }
      link.isDirty = true
    }
  }

  func lose(_ link: PeerLink, _ reason: String) {
    let wasUp = link.drop(now: now.instant, jitter: &random)
    log(wasUp ? .info : .debug, "no connection to \(link.member.name) at \(link.member.address): \(reason)")
    if wasUp { step(.link(link.member.id, up: false)) }
  }

  func send(_ message: PeerMessage, to peer: NodeID) {
    guard let index = linkIndex(peer) else { return }
    if links[index].enqueue(message) { links[index].isDirty = true } else { statistics.peerMessagesDropped += 1 }
  }

  func writeLinks() {
    for link in links where link.isDirty {
      do throws(Errno) {
        try link.write(on: loop)
      } catch {
        lose(link, "\(error)")
      }
    }
  }

  // MARK: The others' connections

  func acceptPeers() {
    for _ in 0..<Self.acceptsMax {
      do throws(Errno) {
        guard let descriptor = try peerListener.accept() else { return }
        try admitPeer(descriptor)
      } catch {
        return pauseAccepting(error)
      }
    }
  }

  private func admitPeer(_ descriptor: consuming Descriptor) throws(Errno) {
    guard inbound.count < links.count + Self.strangersMax else {
      statistics.peerConnectionsRefused += 1
      return
    }
    let connection = InboundLink(descriptor: descriptor, key: inbound.claim(), began: now.instant)
    inbound.place(connection, at: connection.key)
    do throws(Errno) {
      try loop.watch(connection.descriptor, .reading, token: Source.inbound(connection.key).token)
    } catch {
      inbound.remove(connection.key)
      throw error
    }
  }

  func inboundIsReady(_ key: SlabKey) {
    guard let connection = inbound[key] else { return }
    do throws(Errno) {
      switch unsafe try readBuffer.read(from: connection.descriptor, { unsafe connection.decoder.receive($0) }) {
      case .bytes:
        takeMessages(connection)
        if connection.sender == nil, connection.decoder.bufferedBytes > Self.helloBytesMax {
          close(connection, "it sends, but it does not say hello")
        }
      case .wouldBlock: break
      case .end: close(connection, nil)
      }
    } catch {
      close(connection, nil)
    }
  }

  private func takeMessages(_ connection: InboundLink) {
    do throws(FrameError) {
      while let message = try connection.decoder.next() {
        if connection.sender == nil, !introduce(connection, message) { return }
        guard let sender = connection.sender else { return }
        step(.peer(message, from: sender))
        if case .pingReply = message.body { closeClone(of: sender, besides: connection) }
      }
    } catch {
      close(connection, "its bytes are no frames: \(error)")
    }
  }

  /// Takes the first message of a connection; false when the connection is closed for it.
  private func introduce(_ connection: InboundLink, _ message: PeerMessage) -> Bool {
    guard case .hello(let hello) = message.body else {
      close(connection, "its first message is no hello")
      return false
    }
    guard let index = linkIndex(hello.node) else {
      // The node hears of it, because it knows what is wrong with the stranger; there is nowhere to send an answer.
      step(.peer(message, from: hello.node))
      close(connection, "it says that it is node \(hello.name) (\(hello.node)), which is no other member")
      return false
    }
    // One that only claims to be a member must not cut the member off.
    guard node.accepts(hello) else {
      step(.peer(message, from: hello.node))
      close(connection, "its hello is refused")
      return false
    }
    closeOlder(than: hello)
    connection.sender = hello.node
    connection.hello = hello
    inboundOfPeer[hello.node] = connection.key
    links[index].hurry(now: now.instant)
    return true
  }

  /// A member has one connection, but for that of the boot before: if that still answers, the new one is a clone's. Else
  /// its end has come or will, and it goes with the next boot at the latest.
  private func closeOlder(than hello: Hello) {
    for older in inbound.elements where older.sender == hello.node {
      if older.hello?.bootID == hello.bootID || inboundOfPeer[hello.node] != older.key { close(older, nil) }
    }
  }

  /// A boot has answered. If another one had taken its place, the node has found out by now that this is a clone.
  private func closeClone(of sender: NodeID, besides connection: InboundLink) {
    guard inboundOfPeer[sender] != connection.key else { return }
    guard let other = inboundOfPeer[sender].flatMap({ inbound[$0] }), let hello = other.hello, !node.accepts(hello)
    else {
      return
    }
    close(other, "another process of this member answers")
    inboundOfPeer[sender] = connection.key
  }

  private func close(_ connection: InboundLink, _ complaint: String?) {
    if let complaint {
      statistics.peerConnectionsRefused += 1
      let address = connection.descriptor.peerAddress().map { "\($0)" } ?? "a peer"
      log(.warning, "closed the connection from \(address): \(complaint)")
    }
    if let sender = connection.sender, inboundOfPeer[sender] == connection.key { inboundOfPeer[sender] = nil }
    inbound.remove(connection.key)
  }

  func closeSilentInbound() {
    for connection in inbound.elements
    where connection.sender == nil && now.instant.milliseconds(since: connection.began) > Self.helloMillisecondsMax {
      close(connection, "it did not say hello in time")
    }
  }
}
