import Primitives
import Protocols
import Replication
import Storage

// Requests that the server answers by itself. `/admin` shows names, addresses and paths: it is for this machine only,
// unless the operator says otherwise. `/stats` and `/metrics` are for the machines that collect them: numbers and the
// names of nodes, but no addresses, no paths, and nothing that clients store.

extension Shard {
  func answer(_ route: AdminRoute, isLocal: Bool, _ reply: HTTPReply, into bytes: inout [UInt8]) {
    switch route {
    case .ping: reply.encode(text: "OK", into: &bytes)
    case .ready: answerReady(reply, into: &bytes)
    case .stats:
      let stats = RiakStatistics.document(metricsSnapshot(), ring: node.currentRing)
      reply.encode(json: stats.bytes, into: &bytes)
    case .metrics: reply.encode(metrics: Metrics.text(metricsSnapshot()), into: &bytes)
    case .status, .ring, .members, .config, .hints, .antiEntropy, .tombstones, .snapshots, .quarantine, .merge,
      .snapshot, .drainHints, .antiEntropyRound, .quarantineTask, .snapshotFiles, .snapshotFile, .removeSnapshot,
      .holdPurges:
      guard isLocal || configuration.adminRemote else { return refuseRemote(reply, into: &bytes) }
      reply.encode(json: document(route).bytes, into: &bytes)
    }
  }

  func refuseRemote(_ reply: HTTPReply, into bytes: inout [UInt8]) {
    reply.encode(text: "/admin answers this machine only; admin_remote = true opens it\n", status: 403, into: &bytes)
  }

  /// Asks the node for what only it knows or can do.
  func ask(_ request: AdminRequest, for connection: ClientConnection, _ reply: HTTPReply) {
    let number = connection.beginExchange(.http(reply), nil)
    step(.admin(request, session: SessionID(connection: connection.key, number: number)))
  }

  func takeSnapshot(_ parameters: SnapshotParameters, for connection: ClientConnection, _ reply: HTTPReply) {
    var bytes: [UInt8] = []
    var problem = ""
    var part = SnapshotPart.all
    if parameters.store == "hints" {
      part = .hints
    } else if let text = parameters.store {
      if let store = StoreID(text) {
        part = .store(store)
      } else {
        problem = "store=\(text) is no store; they are called like p042-n3, and all stores of hints hints"
      }
    }
    let name = parameters.name.flatMap { SnapshotName($0) }
    if name == nil {
      problem =
        "name=NAME must be given: 1 to \(SnapshotName.byteCountMax) letters, digits, '-', '_' and '.', "
        + "a letter or digit first, and not .partial last"
    }
    if !mayAdminister(connection) {
      refuseRemote(reply, into: &bytes)
    } else if let name, problem.isEmpty {
      return ask(.snapshot(name, part), for: connection, reply)
    } else {
      reply.encode(json: JSON.object(["error": .string(problem)]).bytes, status: 400, into: &bytes)
    }
    connection.send(bytes)
    markDirty(connection)
  }

  /// A page of the quarantine, or something to do with one entry of it.
  func askQuarantine(
    _ parameters: QuarantineParameters, isTask: Bool, for connection: ClientConnection, _ reply: HTTPReply
  ) {
    var bytes: [UInt8] = []
    if !mayAdminister(connection) {
      refuseRemote(reply, into: &bytes)
    } else {
      switch AdminRequest.quarantine(parameters, isTask: isTask) {
      case .success(let request): return ask(request, for: connection, reply)
      case .failure(let problem):
        reply.encode(json: JSON.object(["error": .string(problem.text)]).bytes, status: 400, into: &bytes)
      }
    }
    connection.send(bytes)
    markDirty(connection)
  }

  func mayAdminister(_ connection: ClientConnection) -> Bool { connection.isLocal || configuration.adminRemote }

  private func answerReady(_ reply: HTTPReply, into bytes: inout [UInt8]) {
    switch node.status(at: now).state {
    case .serving: reply.encode(text: "ready\n", into: &bytes)
    case .starting(let reason): reply.encode(text: "starting: \(reason)\n", status: 503, into: &bytes)
    case .stopping: reply.encode(text: "stopping\n", status: 503, into: &bytes)
    }
  }

  private func document(_ route: AdminRoute) -> JSON {
    switch route {
    case .status:
      AdminDocuments.status(node.status(at: now), configuration: configuration, statistics: statistics)
    case .ring: AdminDocuments.ring(node.currentRing)
    case .members: AdminDocuments.members(node.status(at: now), ring: node.currentRing)
    case .config: AdminDocuments.configuration(configuration)
    case .hints: AdminDocuments.hints(node.status(at: now), bytesMax: configuration.hintBytesMax)
    case .antiEntropy: AdminDocuments.antiEntropy(node.status(at: now))
    case .tombstones:
      AdminDocuments.tombstones(
        node.tombstoneStatus(at: now), node: configuration.name, wallMilliseconds: now.wallMilliseconds)
    case .ping, .ready, .stats, .metrics, .snapshots, .quarantine, .merge, .snapshot, .drainHints, .antiEntropyRound,
      .quarantineTask, .snapshotFiles, .snapshotFile, .removeSnapshot, .holdPurges:
      .null
    }
  }
}
