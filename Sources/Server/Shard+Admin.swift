import Protocols
import Replication

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
    case .status, .ring, .members, .config, .merge:
      guard isLocal || configuration.adminRemote else {
        return reply.encode(
          text: "/admin answers this machine only; admin_remote = true opens it\n", status: 403, into: &bytes)
      }
      reply.encode(json: document(route).bytes, into: &bytes)
    }
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
    case .ping, .ready, .stats, .metrics, .merge: .null
    }
  }
}
