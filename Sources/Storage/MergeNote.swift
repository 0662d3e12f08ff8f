// Why a store's dead bytes stay, in words for its operator.

extension Engine {
  /// - Parameter hour: Of the day, UTC.
  /// - Returns: One line; empty when there are no dead bytes.
  package func mergeNote(_ id: StoreID, hour: Int) -> String {
    guard let index = find(id) else { return "" }
    let store = stores[index]
    if store.damage != nil || !store.isOpen { return "a fenced store is not merged" }
    if merge.store === store { return "being merged" }
    var notes: [String] = []
    let facts = store.dataFiles.indices.filter { $0 != store.active }.map(store.mergeFacts)
    let freeable = facts.reduce(0) { $0 + $1.freeableBytes }
    if freeable > 0 { notes.append("\(freeable) bytes \(prospect(facts, hour: hour))") }
    if let note = blockedNote(store) { notes.append(note) }
    if let active = store.active, store.mergeFacts(active).freeableBytes > 0 {
      notes.append("\(store.mergeFacts(active).freeableBytes) bytes stand in the file that still takes records")
    }
    return notes.joined(separator: "; ")
  }

  private func prospect(_ files: [MergePolicy.File], hour: Int) -> String {
    if merge.round != nil { return "will be freed by the round that was asked for" }
    let isDue = !options.merge.choose(files, liveBytesMax: .max).isEmpty
    guard isDue else { return "are too few to start a merge (merge_trigger_fragmentation, merge_trigger_dead_bytes)" }
    guard options.merge.window.contains(hour: hour) else { return "wait for merge_window" }
    if let reason = merge.postponement { return "wait: the last merge was broken off (\(reason))" }
    return "will be freed by one of the next merges"
  }

  private func blockedNote(_ store: Bitcask) -> String? {
    let blocked = store.dataFiles.indices.filter {
      store.dataFiles[$0].blockedBytes > 0 && store.isBlocked(store.dataFiles[$0])
    }
    guard !blocked.isEmpty else { return nil }
    let bytes = blocked.reduce(0) { $0 + store.dataFiles[$1].blockedBytes }
    guard store.role == .active else {
      return "\(bytes) bytes of tombstones stay as long as the store is \(store.role)"
    }
    let files = blocked.reduce(into: Set<UInt32>()) { $0.formUnion(store.dataFiles[$1].blockers) }
    let names = files.filter { store.dataFiles.index(ofFile: $0) != nil }.sorted().prefix(8).map { "\($0)" }
    return "\(bytes) bytes of tombstones stay: older values of their keys may stand in files "
      + names.joined(separator: ", ")
  }
}
