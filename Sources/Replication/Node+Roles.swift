package import Messages
package import Primitives
package import Storage

// What the simulator's checks look at in a node that runs.

extension Node where Disk: ~Copyable {
  /// The stores of partitions, in order, with their roles.
  package var storeRoles: [(store: StoreID, role: StoreRole)] {
    guard let engine else { return [] }
    return engine.storeIDs.map { ($0, engine.role($0)) }
  }

  /// The store that this key belongs to, whoever has it.
  package func store(of key: ObjectKey) -> StoreID { storeID(hash(key.encoded)) }

  /// What merges have done since the start.
  package var mergeTotals: MergeTotals? { engine?.mergeStatus.totals }

  /// The hash of this key.
  package func position(of key: ObjectKey) -> UInt64 { hash(key.encoded) }

  /// What this node's store has of the key; nil when that is nothing, or cannot be told now.
  package func held<FS: FileSystem & ~Copyable>(_ key: ObjectKey, on files: inout FS) -> StoredVersion? {
    let position = hash(key.encoded)
    let store = storeID(position)
    guard let engine, engine.contains(store),
      case .found(let version)? = try? engine.lookup(
        key: key.encoded, hash: position, in: store, warm: nil, on: &files)
    else { return nil }
    return version
  }

  /// The role of this key's store; nil when this node does not own it.
  package func role(of key: ObjectKey) -> StoreRole? {
    let store = storeID(hash(key.encoded))
    guard let engine, engine.contains(store) else { return nil }
    return engine.role(store)
  }

  /// Of this node's store; nil when it is not here.
  package func incarnation(of store: StoreID) -> Identity128? {
    guard let engine, engine.contains(store) else { return nil }
    return engine.incarnation(store)
  }

  /// What others would compare this store with; nil when it is not here.
  /// - Parameter minute: Values that have left by then are left out.
  package func treeRoot(_ store: StoreID, leftBy minute: UInt64 = 0) -> TreeHash? {
    guard let engine, engine.contains(store) else { return nil }
    return engine.treeRoot(store, leftBy: minute)
  }
}
