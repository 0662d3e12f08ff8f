import Cluster
import Platform
import Primitives
import Replication

// What the shard has counted, for `/metrics`. Taken when somebody asks: nothing here costs anything until then.

extension Shard {
  func metricsSnapshot() -> MetricsSnapshot {
    let current = clock.instant()
    return MetricsSnapshot(
      status: node.status(at: now), statistics: statistics, requests: requestMetrics, syncs: syncDurations,
      process: ProcessSnapshot(
        startedWallMilliseconds: started.wallMilliseconds,
        uptimeNanoseconds: current.nanoseconds - min(current.nanoseconds, started.instant.nanoseconds),
        residentBytes: residentBytes(), openDescriptors: openDescriptors(),
        descriptorsMax: (try? raiseOpenFilesLimit()) ?? 0),
      connections: ConnectionsSnapshot(
        clients: clients.count, clientsMax: connectionsMax, operationsMax: configuration.operationsMax,
        unreadBytes: outputBytes, unfinishedBytes: inputBytes, unsynced: heldEffects.count),
      links: links.map {
        LinkSnapshot(peer: $0.member.name, messagesDropped: $0.messagesDropped, waitingBytes: $0.waitingBytes)
      }, hintBytesMax: configuration.hintBytesMax,
      tombstones: node.tombstoneStatus(at: now))
  }
}
