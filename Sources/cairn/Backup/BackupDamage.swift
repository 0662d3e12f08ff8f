import Platform
import Protocols
import Storage

// Stores in a backup in which something cannot be read, as it could not on the node. Nothing of such a store is used: what
// is lost may be the tombstone of a value that can still be read beside it. It is as if its node had been left out where
// that store is concerned, and that may be said of as many nodes as of `--without`: what a quorum acknowledged is with
// another one. Where too many are damaged nobody knows what is lost.

struct BackupDamage: Equatable {
  /// One store that is left out, and what was found first in it.
  struct Store: Equatable {
    let store: BackupStore
    let path: String
    let text: String
  }

  private(set) var stores: [Store] = []

  mutating func add(_ store: BackupStore, path: String, _ text: String) {
    guard !stores.contains(where: { $0.store == store }) else { return }
    stores.append(Store(store: store, path: path, text: text))
  }

  var leftOut: Set<BackupStore> { Set(stores.map(\.store)) }

  /// Why what is left does not make up for it; nil when it does.
  /// - Parameters:
  ///   - owned: By node that is not left out, the partitions that it owns.
  ///   - without: How many nodes are left out altogether.
  ///   - missingMax: How many may be.
  func failure(owned: [String: Set<UInt16>], without: Int, missingMax: Int, _ directory: String) -> Failure? {
    // What a damaged store of hints had may be of any partition.
    let everywhere = Set(stores.filter { $0.store.store.isHints }.map(\.store.node))
    let partitions = Set(stores.filter { !$0.store.store.isHints }.map(\.store.store.partition))
    for partition in partitions.sorted() + [nil] {
      let damaged = stores.filter { $0.store.store.isHints || $0.store.store.partition == partition }
      let own = Set(damaged.filter { !$0.store.store.isHints }.map(\.store.node))
      let copies = partition.map { partition in owned.values.count { $0.contains(partition) } } ?? 1
      let isTooMuch = own.union(everywhere).count + without > missingMax || own.count >= copies
      guard isTooMuch, !damaged.isEmpty else { continue }
      let places = damaged.map { "\($0.path): \($0.text)" }.joined(separator: "; ")
      return Failure(
        "\(directory) is damaged, and no other copy is known to have what is lost: \(places). At most "
          + "\(max(0, missingMax - without)) nodes may have damage where the others are to make up for it")
    }
    return nil
  }

  var json: JSON {
    .array(
      stores.map { damaged in
        .object([
          "node": .string(damaged.store.node), "store": .string("\(damaged.store.store)"),
          "path": .string(damaged.path),
          "text": .string(damaged.text),
        ])
      })
  }

  /// A line for each.
  var lines: [String] {
    stores.map { damaged in
      "damaged: \(damaged.path): \(damaged.text); nothing of store \(damaged.store.store) of \(damaged.store.node) is "
        + "used. What a quorum acknowledged is in other copies"
    }
  }
}
