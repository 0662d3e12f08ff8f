package import Cluster
package import Primitives
import Storage

// What operators are shown: a snapshot, taken between turns.

extension Node where Disk: ~Copyable {
  /// Everything about this node at `now`.
  package func status(at now: Moment) -> NodeStatus {
    let state: NodeStatus.State =
      switch phase {
      case .serving: .serving
      case .stopping, .closing: .stopping
      case .founding, .creating, .opening: .starting(reason: startingReason)
      }
    return NodeStatus(
      member: own, state: state, clusterID: identity.manifest.cluster?.id, bootID: bootID,
      actor: identity.manifest.actor, ringEpoch: ring.epoch,
      peers: peers.peers.indices.map { status(of: $0, at: now) },
      stores: engine.map { statuses(of: $0, at: now) } ?? [],
      storesUnvalidated: feeds.unvalidated.count { engine?.role($0) == .active },
      clockInDoubt: peers.clockIsInDoubt(at: now), operationsInProgress: operationsInProgress, counters: totals,
      recovery: recovery, queues: queues, journal: engine?.journalStatus,
      merge: engine?.mergeStatus ?? MergeStatus(), space: engine?.spaceStatus,
      hints: hintStatuses(at: now), antiEntropy: antiEntropyStatus(at: now), quarantine: quarantineStatus)
  }

  private func statuses(of engine: Engine, at now: Moment) -> [StoreStatus] {
    let hour = Self.hour(of: now)
    return engine.storeIDs.map { id in
      var status = engine.status(id)
      status.mergeNote = engine.mergeNote(id, hour: hour)
      status.validatedWith = owners(id).filter { $0 != own.id && isFoundWhole(id, by: $0) }
      return status
    }
  }

  private var totals: NodeCounters {
    var totals = counters
    totals.suspicions = peers.detector.suspicionCount
    return totals
  }

  private var queues: NodeQueues {
    var queues = NodeQueues()
    queues.gets = gets.count
    for write in writes.values where !write.isAnswered {
      if write.isDelete { queues.deletes += 1 } else { queues.puts += 1 }
    }
    queues.answeredWrites = answeredWrites
    queues.forwards = forwards.count
    queues.lists = lists.count
    queues.unsynced = held.count + syncWaiters.count + unflushed.count
    queues.coldReads = pendingReads.count
    queues.diskJobs = jobs.count
    return queues
  }

  private func status(of index: Int, at now: Moment) -> NodeStatus.Peer {
    let peer = peers[index]
    let link: NodeStatus.Peer.Link
    if peer.wasUp {
      link = .up
    } else if let refusal = peer.refusal ?? peer.rejected {
      link = .refused(reason: refusal.text)
    } else if peer.isSuspect {
      link = .suspect(reason: peer.downReason)
    } else {
      link = .down(reason: peer.downReason)
    }
    return NodeStatus.Peer(
      member: peer.member, link: link,
      silentMilliseconds: peers.detector.lastHeard(index).map { now.instant.milliseconds(since: $0) },
      clockOffsetMilliseconds: peers.clockOffset(peer, at: now))
  }

  /// The ring as this node sees it; final once the node belongs to a cluster.
  package var currentRing: Ring { ring }

  /// True for this node, and for those that answer it.
  package func isUp(_ node: NodeID) -> Bool { node == own.id || peers.isUp(node) }

  /// What a node that does not serve yet is waiting for.
  var startingReason: String {
    switch phase {
    case .founding:
      let silent = peers.peers.filter { !$0.wasUp }.map { "\($0.member.name) (\($0.downReason))" }
      return silent.isEmpty
        ? "waiting for the cluster's founder" : "a new cluster needs all its members: \(silent.joined(separator: ", "))"
    case .creating: return "creating its stores"
    case .opening:
      guard let engine else { return "opening its stores" }
      let waiting = engine.storeIDs.filter { awaitsGenesis($0, engine) }
      return waiting.isEmpty
        ? "looking for its peers" : "\(waiting.count) new stores wait for the other owners to agree"
    case .serving, .stopping, .closing: return ""
    }
  }
}
