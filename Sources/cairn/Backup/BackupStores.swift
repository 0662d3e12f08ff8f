import Protocols

// Which stores a backup may count on. A store whose directory is an older copy serves until an owner that remembers more
// of it has met it; and it may hold values whose tombstones all the others have forgotten. So every store that is copied
// must have been found whole, in this boot of its node, by each other owner that is not left out: before the first
// snapshot, and as the same store after the last one.

struct BackupStores {
  /// What is wrong with a node.
  enum Doubt: Equatable {
    /// Its peers find out in a moment, or never.
    case unvalidated(String)
    case refused(String)

    var text: String {
      switch self {
      case .unvalidated(let text), .refused(let text): text
      }
    }
  }

  /// What a node and its stores are, until it is started anew or one of them is made anew.
  struct Lives: Equatable {
    let boot: String
    /// By store.
    let incarnations: [String: String]
  }

  /// By partition, the names of those that own it.
  private let owners: [[String]]
  private let without: Set<String>

  /// - Parameter ring: As `/admin/ring` shows it; nil when that is not what it says.
  init?(ring: JSON, without: [String]) {
    guard let rows = ring["owners"]?.array else { return nil }
    owners = rows.map { ($0.array ?? []).compactMap(\.string) }
    guard owners.count == ring["partitions"]?.integer, owners.allSatisfy({ !$0.isEmpty }) else { return nil }
    self.without = Set(without)
  }

  /// Why this node cannot be copied; nil when it can.
  /// - Parameter status: As its `/admin/status` shows it. What is not there counts against it.
  func doubt(of status: JSON, _ name: String) -> Doubt? {
    guard status["state"]?.string == "serving", status["cluster_id"]?.string != nil else {
      return .refused("\(name) does not serve yet: \(status["reason"]?.string ?? "")")
    }
    var unseen = Set(owners.indices.filter { owners[$0].contains(name) })
    var unvalidated: Doubt?
    for store in status["stores"]?.array ?? [] {
      let id = store["store"]?.string ?? "?"
      guard let partition = store["partition"]?.integer, owners.indices.contains(partition),
        let role = store["role"]?.string
      else { return .refused("\(name) says nothing of its store \(id) that this release understands") }
      // A store that is being made anew may lack what only it was told.
      guard role == "active" else {
        return .refused(
          "store \(id) of \(name) is \(role); wait until it is filled (cairn anti-entropy shows how far it is)")
      }
      unseen.remove(partition)
      let found = (store["validated_with"]?.array ?? []).compactMap(\.string)
      let missing = owners[partition].filter { $0 != name && !without.contains($0) && !found.contains($0) }.sorted()
      guard unvalidated == nil, !missing.isEmpty else { continue }
      let who = missing.joined(separator: " and ")
      unvalidated = .unvalidated(
        "store \(id) of \(name) was not found whole by \(who) since \(name) was started: it may be an older copy, with "
          + "keys that were deleted since. See that \(name) and \(who) reach each other (\"peers\" in /admin/status of "
          + "each), and begin the backup anew; or leave \(name) out with --without \(name)")
    }
    if let partition = unseen.min() { return .refused("\(name) has no store of partition \(partition), which it owns") }
    return unvalidated
  }

  static func lives(_ status: JSON) -> Lives {
    var incarnations: [String: String] = [:]
    for store in status["stores"]?.array ?? [] {
      incarnations[store["store"]?.string ?? ""] = store["incarnation"]?.string ?? ""
    }
    return Lives(boot: status["boot"]?.string ?? "", incarnations: incarnations)
  }
}
