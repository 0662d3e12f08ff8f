import Client
import Platform
import Primitives
import Protocols

// The nodes that a backup is made of, and their snapshots. What makes the whole consistent is an order of three steps,
// each finished on all nodes before the next begins (Docs/Decisions/020-a-backup-is-merged-and-imported.md):
//
// 1. No node forgets a tombstone any more, and each says so under a number that it loses when that is not so any longer.
// 2. The hints of all nodes. What was only a hint is in here, or was handed over already and is in the target's store.
// 3. Everything else of all nodes.

/// One node of the cluster, as it was found.
struct BackupNode: Sendable {
  let name: String
  let id: Int
  let endpoint: Endpoint
}

struct BackupCluster: Sendable {
  let nodes: [BackupNode]
  /// As yet without files.
  let manifest: BackupManifest

  /// Nodes hold purges for so long after they were asked last.
  private static let holdSeconds: UInt64 = 120
  /// And are asked again so often.
  private static let renewMilliseconds: UInt64 = 20_000
  /// Begins the names of the snapshots that backups make.
  static let snapshotPrefix = "backup-"
  /// A snapshot of a backup that is older than this was left by one that was cut off.
  private static let leftoverMilliseconds: UInt64 = 7 * 86_400_000

  /// Looks at all nodes. - Throws: `Failure` when they are not one cluster, whole and at work.
  init(_ endpoints: [Endpoint], without: [String], began: String) throws(Failure) {
    var found: [BackupNode] = []
    var problems: [String] = []
    var clusterIDs: [String: String] = [:]
    var members: [String] = []
    var shape = (partitions: 0, replicas: 0)
    for endpoint in endpoints {
      do throws(Failure) {
        let status = try BackupCluster.look("/admin/status", endpoint)
        guard let name = status["name"]?.string, let id = status["id"]?.integer else {
          throw Failure("\(endpoint) is no node of this release")
        }
        if found.contains(where: { $0.name == name }) { continue }
        let ring = try BackupCluster.look("/admin/ring", endpoint)
        if without.contains(name) {
          members = ring["members"]?.array?.compactMap(\.string) ?? members
          continue
        }
        try BackupCluster.check(status, name)
        clusterIDs[status["cluster_id"]?.string ?? ""] = name
        members = ring["members"]?.array?.compactMap(\.string) ?? []
        shape = (ring["partitions"]?.integer ?? 0, ring["n_val"]?.integer ?? 0)
        found.append(BackupNode(name: name, id: id, endpoint: endpoint))
      } catch {
        problems.append(error.message)
      }
    }
    guard clusterIDs.count <= 1 else {
      throw Failure(
        "\(clusterIDs.values.sorted().joined(separator: " and ")) belong to different clusters; name the nodes of one")
    }
    for name in without where !members.isEmpty && !members.contains(name) {
      throw Failure("--without \(name): the cluster has no such node; it has \(members.joined(separator: ", "))")
    }
    let missing = members.filter { member in !without.contains(member) && !found.contains { $0.name == member } }
    // Some who do not answer may be those that are left out.
    guard !members.isEmpty, missing.isEmpty, problems.count <= without.count else {
      throw BackupCluster.incomplete(missing, problems)
    }
    guard without.count <= BackupManifest.missingMax(replicas: shape.replicas) else {
      throw Failure(
        "\(without.count) nodes cannot be left out where each key has \(shape.replicas): writes that a quorum "
          + "acknowledged would be missing. At most \(BackupManifest.missingMax(replicas: shape.replicas)) can")
    }
    nodes = found.sorted { $0.id < $1.id }
    manifest = BackupManifest(
      clusterID: clusterIDs.keys.first ?? "", partitions: shape.partitions, replicas: shape.replicas, began: began,
      without: without.sorted(), nodes: nodes.map { BackupManifest.Node(name: $0.name, id: $0.id) },
      release: CommandLineInterface.version)
  }

  private static func look(_ target: String, _ endpoint: Endpoint) throws(Failure) -> JSON {
    try askedDocument("GET", target, endpoint, patienceMilliseconds: lookMillisecondsMax)
  }

  private static func incomplete(_ missing: [String], _ problems: [String]) -> Failure {
    let who = missing.isEmpty ? "" : "\(missing.joined(separator: ", ")) would be missing: "
    let why = problems.isEmpty ? "no --url is theirs" : problems.joined(separator: "; ")
    return Failure(
      "a backup needs every node of the cluster, because a write may be on few of them; \(who)\(why). Name all nodes, "
        + "bring back those that are down, or leave a node out with --without NODE")
  }

  /// A store that is being made anew may lack what only it was told.
  private static func check(_ status: JSON, _ name: String) throws(Failure) {
    guard status["state"]?.string == "serving", status["cluster_id"]?.string != nil else {
      throw Failure("\(name) does not serve yet: \(status["reason"]?.string ?? "")")
    }
    for store in status["stores"]?.array ?? [] where store["role"]?.string != "active" {
      throw Failure(
        "store \(store["store"]?.string ?? "?") of \(name) is \(store["role"]?.string ?? "?"); wait until it is filled "
          + "(cairn anti-entropy shows how far it is)")
    }
  }

  // MARK: Snapshots

  /// Makes the snapshots of all nodes; what is made is removed again when that fails.
  func makeSnapshots(wallMilliseconds: UInt64, isQuiet: Bool) throws -> BackupSnapshots {
    let time = timestamp(wallMilliseconds: wallMilliseconds).filter { $0 != ":" && $0 != "-" && $0 != "." }
    let name = "\(Self.snapshotPrefix)\(time)-\(processIdentifier())"
    let snapshots = BackupSnapshots(cluster: self, hints: name + "-hints", all: name)
    var line = ProgressLine("making snapshots", .items("snapshots"), total: UInt64(2 * nodes.count), isQuiet: isQuiet)
    defer { line.finish() }
    do {
      removeLeftovers(wallMilliseconds)
      var holds = PurgeHolds(nodes, seconds: Self.holdSeconds)
      try holds.renew()
      for (snapshot, query) in [(snapshots.hints, "&store=hints"), (snapshots.all, "")] {
        try make("/admin/snapshot?name=\(snapshot)\(query)", &holds, &line)
      }
      // As they were numbered from the first on: nothing was forgotten in between.
      try holds.renew()
    } catch {
      snapshots.remove()
      throw error
    }
    return snapshots
  }

  private func make(_ target: String, _ holds: inout PurgeHolds, _ line: inout ProgressLine) throws {
    let tasks = try nodes.map { try PendingTask(target, $0.endpoint) }
    let clock = SystemClock()
    var next = clock.instant().adding(milliseconds: Self.renewMilliseconds)
    var shown = 0
    while true {
      let done = tasks.count { $0.answer != nil }
      line.advance(by: UInt64(done - shown))
      shown = done
      if done == tasks.count { break }
      pause(milliseconds: 10)
      guard clock.instant() >= next else { continue }
      try holds.renew()
      next = clock.instant().adding(milliseconds: Self.renewMilliseconds)
    }
    for (node, task) in zip(nodes, tasks) {
      if case .failure(let failure)? = task.answer { throw Failure("\(node.name): \(failure.message)") }
    }
  }

  /// What backups left on the nodes that were cut off long ago.
  private func removeLeftovers(_ wallMilliseconds: UInt64) {
    let oldest = timestamp(wallMilliseconds: wallMilliseconds - min(wallMilliseconds, Self.leftoverMilliseconds))
    for node in nodes {
      let shown = try? BackupCluster.look("/admin/snapshots", node.endpoint)
      for entry in shown?["snapshots"]?.array ?? [] {
        guard let name = entry["name"]?.string, name.hasPrefix(Self.snapshotPrefix),
          let time = entry["time"]?.string, time < oldest
        else { continue }
        BackupSnapshots.remove(name, node)
      }
    }
  }
}

/// That no node forgets a tombstone, from the first time on that this was asked of it.
private struct PurgeHolds {
  let nodes: [BackupNode]
  let seconds: UInt64
  private var numbers: [String?]

  init(_ nodes: [BackupNode], seconds: UInt64) {
    self.nodes = nodes
    self.seconds = seconds
    numbers = nodes.map { _ in nil }
  }

  /// - Throws: `Failure` when one of them may have forgotten some since.
  mutating func renew() throws(Failure) {
    for (index, node) in nodes.enumerated() {
      let answer = try askedDocument(
        "POST", "/admin/hold-purges?seconds=\(seconds)", node.endpoint, patienceMilliseconds: lookMillisecondsMax)
      guard let number = answer["hold"]?.string else { throw Failure("\(node.name) does not hold its tombstones") }
      guard numbers[index] == nil || numbers[index] == number else {
        throw Failure(
          "\(node.name) was started anew, or was away too long, while the snapshots were made, and may have forgotten "
            + "tombstones that another one lacks; begin the backup anew")
      }
      numbers[index] = number
    }
  }
}

/// The snapshots of all nodes, under one name each; they go when everything is copied.
struct BackupSnapshots: Sendable {
  let cluster: BackupCluster
  /// Of the stores of hints.
  let hints: String
  /// Of all stores, from a later moment.
  let all: String

  /// A node that does not answer keeps its own until the next backup after a week.
  func remove() {
    for node in cluster.nodes {
      for name in [hints, all] { BackupSnapshots.remove(name, node) }
    }
  }

  fileprivate static func remove(_ name: String, _ node: BackupNode) {
    _ = try? askedDocument(
      "POST", "/admin/remove-snapshot?name=\(name)", node.endpoint, patienceMilliseconds: 60_000)
  }
}
