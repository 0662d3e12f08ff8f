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
  private let stores: BackupStores
  /// By node, what it was when the backup began.
  private let lives: [BackupStores.Lives]

  /// So long it is waited for owners that have only just met, and for a node that is slow to answer.
  private static let validationMilliseconds: UInt64 = 15_000
  private static let pauseMilliseconds = 200

  /// Looks at all nodes. - Throws: `Failure` when they are not one cluster, whole and at work.
  init(_ endpoints: [Endpoint], without: [String], began: String) throws(Failure) {
    var found: [BackupNode] = []
    var problems: [String] = []
    var clusterIDs: [String: String] = [:]
    var members: [String] = []
    var shape = (partitions: 0, replicas: 0)
    var stores: BackupStores?
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
        guard status["state"]?.string == "serving", status["cluster_id"]?.string != nil else {
          throw Failure("\(name) does not serve yet: \(status["reason"]?.string ?? "")")
        }
        clusterIDs[status["cluster_id"]?.string ?? ""] = name
        members = ring["members"]?.array?.compactMap(\.string) ?? []
        shape = (ring["partitions"]?.integer ?? 0, ring["n_val"]?.integer ?? 0)
        stores = BackupStores(ring: ring, without: without)
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
    guard let stores else { throw Failure("the nodes do not say who owns what: use the cairn of their release") }
    nodes = found.sorted { $0.id < $1.id }
    self.stores = stores
    lives = try nodes.map { (node) throws(Failure) in try BackupCluster.lives(of: node, stores) }
    manifest = BackupManifest(
      clusterID: clusterIDs.keys.first ?? "", partitions: shape.partitions, replicas: shape.replicas, began: began,
      without: without.sorted(), nodes: nodes.map { BackupManifest.Node(name: $0.name, id: $0.id) },
      release: CommandLineInterface.version)
  }

  static func look(_ target: String, _ endpoint: Endpoint) throws(Failure) -> JSON {
    try askedDocument("GET", target, endpoint, patienceMilliseconds: lookMillisecondsMax)
  }

  private static func incomplete(_ missing: [String], _ problems: [String]) -> Failure {
    let who = missing.isEmpty ? "" : "\(missing.joined(separator: ", ")) would be missing: "
    let why = problems.isEmpty ? "no --url is theirs" : problems.joined(separator: "; ")
    return Failure(
      "a backup needs every node of the cluster, because a write may be on few of them; \(who)\(why). Name all nodes, "
        + "bring back those that are down, or leave a node out with --without NODE")
  }

  // MARK: What can be counted on

  /// Every node and store is what it was when the backup began, and nobody has found anything against one since.
  func checkAgain() throws(Failure) {
    for (node, before) in zip(nodes, lives) {
      let now = try BackupCluster.lives(of: node, stores)
      guard now.boot == before.boot else {
        throw Failure("\(node.name) was started anew while the snapshots were made; begin the backup anew")
      }
      for store in before.incarnations.keys.sorted() where now.incarnations[store] != before.incarnations[store] {
        throw Failure(
          "store \(store) of \(node.name) was made anew while the snapshots were made, and may lack what only it was "
            + "told; begin the backup anew")
      }
    }
  }

  /// - Throws: `Failure` when there is a store on the node that nobody vouches for.
  private static func lives(of node: BackupNode, _ stores: BackupStores) throws(Failure) -> BackupStores.Lives {
    let clock = SystemClock()
    let began = clock.instant()
    while true {
      let trouble: String
      switch Result(catching: { () throws(Failure) in try look("/admin/status", node.endpoint) }) {
      case .failure(let failure): trouble = failure.message
      case .success(let status):
        switch stores.doubt(of: status, node.name) {
        case nil: return BackupStores.lives(status)
        case .refused(let text)?: throw Failure(text)
        case .unvalidated(let text)?: trouble = text
        }
      }
      guard clock.instant().milliseconds(since: began) < validationMilliseconds else { throw Failure(trouble) }
      pause(milliseconds: pauseMilliseconds)
    }
  }
}
