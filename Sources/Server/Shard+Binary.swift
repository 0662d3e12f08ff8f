import Cluster
import Messages
import Platform
import Primitives
import Protocols
import Replication

// The door of Riak's binary protocol: its listener, its requests one at a time, and what only the server can answer. All
// else a binary connection shares with those of HTTP.

extension Shard {
  func acceptBinary() throws(Errno) -> Descriptor? {
    switch binaryListener {
    case .some(let listener): return try listener.accept()
    case nil: return nil
    }
  }

  func startBinaryListener() throws(SocketError) {
    switch binaryListener {
    case .some(let listener): try listener.start()
    case nil: break
    }
  }

  func watchBinaryListener(_ interest: Interest) throws(Errno) {
    switch binaryListener {
    case .some(let listener): try loop.change(listener.descriptor, interest, token: Source.binaryListener.token)
    case nil: break
    }
  }

  func binaryConfiguration(keysFrom http: HTTPConfiguration) -> PBConfiguration {
    PBConfiguration(
      node: configuration.name, serverVersion: RiakStatistics.riakVersion, replicas: http.replicas,
      keySeeds: http.keySeeds)
  }

  /// Begins the request that has come, and no other before it is answered: writing the answer goes on with the next.
  func takeFrames(_ connection: ClientConnection) {
    while connection.mayBeginExchange {
      switch connection.nextFrame() {
      case .needMore:
        inputBytes += connection.settle(now: now.instant)
        if connection.isDone { markDirty(connection) }
        return
      case .request(let request, let reply):
        connection.waitingBytes = reply.heldBytes
        let operation = reply.isPut ? RequestOperation.put : RequestOperation(request)
        let number = connection.beginExchange(.binary(reply), RequestStart(operation: operation, began: now.instant))
        step(.client(request, session: SessionID(connection: connection.key, number: number)))
      case .list(let request, let reply):
        let start = RequestStart(operation: .list, began: now.instant)
        let number = connection.beginListing(.binary(reply), start)
        step(.list(request, session: SessionID(connection: connection.key, number: number)))
      case .preflist(let key):
        connection.send(preflist(of: key))
        markDirty(connection)
      case .reply(let bytes, close: _):
        connection.send(bytes)
        markDirty(connection)
      }
    }
    inputBytes += connection.settle(now: now.instant)
    guard !connection.isFinishing else { return }
    connection.pause()
    // Whoever sends far ahead is not read from any more until it has been served.
    if connection.wantedInterest != connection.interest { markDirty(connection) }
  }

  /// The nodes that would be asked for a key now: its owners, and in the place of each that is not up a fallback.
  private func preflist(of key: ObjectKey) -> [UInt8] {
    let ring = node.currentRing
    let partition = node.partition(of: key)
    let owners = ring.owners(of: partition)
    let up = owners.filter(node.isUp)
    let stand = ring.fallbacks(of: partition).filter(node.isUp).prefix(owners.count - up.count)
    let nodes = up.map { ($0, true) } + stand.map { ($0, false) }
    return PBAnswers.preflist(
      partition: partition, nodes: nodes.map { (name: ring.member($0.0)?.name ?? "\($0.0)", isOwner: $0.1) })
  }
}
