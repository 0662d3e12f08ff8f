import Client
import Platform
import Protocols
import Testing

// Whether the owners of every key hold the same: judged by what the nodes say of their stores, without reading a key,
// because a read would repair what it finds behind.

/// What a node says of itself.
struct NodeView {
  let status: JSON

  var isServing: Bool { status["state"]?.string == "serving" }
  /// The names of the peers that it does not reach, each with what it says of them.
  var missing: [String: String] {
    var missing: [String: String] = [:]
    for peer in status["peers"]?.array ?? [] where peer["link"]?.string != "up" {
      missing[peer["name"]?.string ?? "?"] = peer["link"]?.string ?? "?"
    }
    return missing
  }

  /// Per partition that it owns, the keys and the tombstones.
  var counts: [Int: [Int]] {
    var counts: [Int: [Int]] = [:]
    for store in status["stores"]?.array ?? [] {
      guard let name = store["store"]?.string, name.hasPrefix("p"), let partition = store["partition"]?.integer else {
        continue
      }
      counts[partition] = [store["keys_live"]?.integer ?? -1, store["tombstones"]?.integer ?? -1]
    }
    return counts
  }

  /// Why these nodes, all of a cluster, are not in the state that nothing more is to be done for; nil when they are.
  static func unrest(_ views: [NodeView]) -> String? {
    var seen: [Int: [Int]] = [:]
    for view in views {
      let name = view.status["name"]?.string ?? "?"
      if !view.isServing { return "\(name) does not serve" }
      if let peer = view.missing.keys.sorted().first { return "\(name) does not reach \(peer)" }
      for (partition, counts) in view.counts.sorted(by: { $0.key < $1.key }) {
        if let other = seen[partition], other != counts {
          return "partition \(partition) has \(counts) keys and tombstones on \(name), \(other) on another owner"
        }
        seen[partition] = counts
      }
    }
    return seen.isEmpty ? "no node has a store" : nil
  }
}

/// Waits until the nodes serve, reach each other, and all owners of a partition have as many keys and tombstones in it.
func waitForAgreement(_ views: () throws -> [NodeView]) throws {
  var unrest: String? = "nobody was asked"
  do {
    try eventually("the owners agree") {
      unrest = NodeView.unrest(try views())
      return unrest == nil
    }
  } catch let stuck as Stuck {
    throw Stuck("\(stuck); \(unrest ?? "")")
  }
}

extension TestCluster {
  func view(_ node: Int) throws -> NodeView {
    var client = try client(node)
    return NodeView(status: try JSON.parse(try client.send("GET", "/admin/status").body))
  }

  func converge() throws {
    try waitForAgreement { try (1...nodeCount).map(view) }
  }

  /// The process of a node that runs.
  func process(_ node: Int) throws -> ProcessIdentity {
    guard let pid = try pids()[node - 1], let process = ProcessIdentity(running: Int32(pid)) else {
      throw Stuck("n\(node) does not run")
    }
    return process
  }
}
