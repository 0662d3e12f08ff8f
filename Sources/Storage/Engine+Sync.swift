import Primitives

// Durability on demand: the node asks for it when somebody waits, its driver syncs the named files on another thread,
// and the answer moves `durable`. At most one request is in flight.

struct SyncState {
  struct InFlight {
    let ticket: SyncTicket
    let position: UInt64
    /// Without a journal: what the request covers, per store.
    let targets: [(store: Bitcask, targets: [SyncTarget])]
  }
  var inFlight: InFlight?
  var lastTicket: UInt64 = 0
  /// Everything up to here is in synced journal segments.
  var journalDurable: UInt64 = 0
}

extension Engine {
  /// The files to sync so that everything flushed is durable. Nil when there is nothing new, when a request is in
  /// flight, and when a name must become durable first: `work` then answers with that at once.
  package func beginSync() -> SyncRequest? {
    guard sync.inFlight == nil, flushedCount > durableCount else { return nil }
    var targets: [(store: Bitcask, targets: [SyncTarget])] = []
    let handles: [FileID]
    if let journal {
      handles = journal.unsynced(above: sync.journalDurable)
    } else {
      let dirty = stores.filter { $0.isOpen && $0.isDirty }
      if dirty.contains(where: \.hasUnnamedFile) {
        checkpoint.isUrgent = true
        return nil
      }
      targets = dirty.map { (store: $0, targets: $0.syncTargets) }
      handles = targets.flatMap { $0.store.openHandles(of: $0.targets) }
      openFiles.pinned = handles
    }
    sync.lastTicket += 1
    let ticket = SyncTicket(sync.lastTicket)
    sync.inFlight = SyncState.InFlight(ticket: ticket, position: flushedCount, targets: targets)
    return SyncRequest(ticket: ticket, files: handles)
  }

  /// A request is on its way: what waited for it when it was made is told when it is answered.
  package var isSyncing: Bool { sync.inFlight != nil }
  /// Requests so far, the one on its way among them.
  package var syncsBegun: UInt64 { sync.lastTicket }

  /// The files of the request are durable.
  package func completeSync(_ ticket: SyncTicket) {
    guard let done = sync.inFlight, done.ticket == ticket else { return }
    sync.inFlight = nil
    openFiles.pinned = []
    if journal != nil {
      sync.journalDurable = max(sync.journalDurable, done.position)
    } else {
      for (store, targets) in done.targets where store.isOpen { store.markSynced(targets, named: false) }
    }
    durableCount = max(durableCount, done.position)
  }
}
