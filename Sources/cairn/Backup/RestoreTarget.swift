import Client
import Platform
import Primitives
import Protocols
import Storage

// The cluster that a backup is restored into, and why another one is not. Values of a backup go in as new writes: into a
// cluster that has moved on since, they would undo what was written and deleted after the backup.

struct RestoreTarget {
  let endpoints: [Endpoint]
  let clusterID: String
  let nodeCount: Int
  /// Objects that say nothing of it expire there.
  let hasDefaultLifetime: Bool

  /// Looks at all nodes of the cluster. - Throws: `Failure` when it is not one, whole, at work, another, and empty.
  /// - Parameter mayHoldKeys: An earlier restore into it was broken off.
  init(_ endpoints: [Endpoint], for manifest: BackupManifest, mayHoldKeys: Bool) throws(Failure) {
    var names: Set<String> = []
    var members: [String] = []
    var clusterIDs: Set<String> = []
    var hasDefaultLifetime = false
    for endpoint in endpoints {
      let status = try RestoreTarget.look("/admin/status", endpoint)
      guard let name = status["name"]?.string else { throw Failure("\(endpoint) is no node of this release") }
      guard status["state"]?.string == "serving", let id = status["cluster_id"]?.string else {
        throw Failure("\(name) does not serve yet: \(status["reason"]?.string ?? "")")
      }
      guard id != manifest.clusterID else { throw RestoreTarget.sameCluster(name, manifest) }
      if !mayHoldKeys { try RestoreTarget.checkEmpty(status, name) }
      names.insert(name)
      let lifetime = try RestoreTarget.look("/admin/config", endpoint)["default_ttl"]?["value"]?.string
      if lifetime != "0s" { hasDefaultLifetime = true }
      clusterIDs.insert(id)
      members = try RestoreTarget.look("/admin/ring", endpoint)["members"]?.array?.compactMap(\.string) ?? []
    }
    guard clusterIDs.count == 1, let clusterID = clusterIDs.first else {
      throw Failure("the nodes that were named belong to different clusters")
    }
    let missing = members.filter { !names.contains($0) }
    guard missing.isEmpty else {
      throw Failure(
        "\(missing.joined(separator: ", ")) may hold keys that nobody has looked at: name all nodes of the new cluster")
    }
    self.endpoints = endpoints
    self.clusterID = clusterID
    nodeCount = names.count
    self.hasDefaultLifetime = hasDefaultLifetime
  }

  init(endpoints: [Endpoint], clusterID: String, nodeCount: Int, hasDefaultLifetime: Bool) {
    self.endpoints = endpoints
    self.clusterID = clusterID
    self.nodeCount = nodeCount
    self.hasDefaultLifetime = hasDefaultLifetime
  }

  private static func look(_ target: String, _ endpoint: Endpoint) throws(Failure) -> JSON {
    try askedDocument("GET", target, endpoint, patienceMilliseconds: lookMillisecondsMax)
  }

  /// - Parameter status: As `/admin/status` of the node shows it. What it does not say is not taken for nothing.
  static func checkEmpty(_ status: JSON, _ name: String) throws(Failure) {
    guard let keys = status["keys_live"]?.integer, let tombstones = status["tombstones"]?.integer,
      let hints = status["hints"]?["count"]?.integer
    else {
      throw Failure(
        "\(name) does not say whether it is empty (keys_live, tombstones and hints in /admin/status): use the cairn of "
          + "its release")
    }
    guard keys == 0, tombstones == 0, hints == 0 else {
      throw Failure(
        "\(name) is not empty (\(plural(keys, "key")), \(plural(tombstones, "tombstone")), \(plural(hints, "hint"))): "
          + "what was written or deleted there would be undone by older values. Restore into a cluster with empty data "
          + "directories. If nothing but a restore of this very backup, which was broken off, has ever written to it, "
          + "--resume goes on with that")
    }
  }

  // MARK: Refusals

  private static func sameCluster(_ name: String, _ manifest: BackupManifest) -> Failure {
    Failure(
      "\(name) belongs to the cluster that this backup is of (\(manifest.clusterID)). Old values written back into it "
        + "would bring deleted keys back and undo later writes, so that is not done. \(whatInstead)")
  }

  /// Why one node is not restored, and what to do.
  static func refusal(ofDirectory path: String) -> Failure {
    var files = PosixFileSystem()
    let node = NodeContents.manifest(in: path, on: &files).0
    let what =
      node.map { "\(path) is the data directory of node \($0.name)" } ?? "\(path) is a directory, and no cluster"
    return Failure(
      "\(what): a backup is not put into directories. A single copy that is older than the rest of its cluster lacks "
        + "the deletes that came after it; the others find that out, fence it and make it anew from their own stores, so "
        + "nothing is won. \(whatInstead)")
  }

  private static let whatInstead =
    "If one node lost its data, start it with an empty data directory: the others fill it. If all is lost, start a new "
    + "cluster with empty directories, of any number of nodes, and name its nodes: cairn restore DIR --url URL…"
}
