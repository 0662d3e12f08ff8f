import Primitives
import Storage

// Which disk jobs are under way, and what follows when one is done. The node asks for jobs by purpose; the disk answers by
// number.

/// Jobs given to the disk and what to do when they are done.
struct JobTable: Sendable {
  enum Purpose: Sendable {
    /// The identity file, with the lease it grants.
    case identity
    /// The identity file, naming the cluster for the first time.
    case join
    case createStores([StoreSeed], lost: [StoreID: [PeerPromise]])
    case activate([StoreID: [PeerPromise]])
    /// The store of `Node.rebuilds` is set aside and made anew.
    case rebuild
    /// A store that was filled is to serve.
    case load(StoreID, [PeerPromise])
    /// A checkpoint or a roll-over of the engine.
    case engine
    /// Cursors and promises.
    case promises
    /// A store is to be fenced for good.
    case fence(StoreID)
    /// New stores whose fellow owners do not take them for new are to be marked as such.
    case mark([StoreID])
    /// All stores are to be fenced, and then the identity file begins its lineage anew.
    case lineage
    case shutdown

    /// Two of these at once could leave the older identity file on the disk.
    var writesIdentity: Bool {
      switch self {
      case .identity, .join, .createStores, .rebuild, .lineage, .shutdown: true
      case .activate, .load, .engine, .promises, .fence, .mark: false
      }
    }

    /// It changes which promises of other owners count, so that the promises file waits for it.
    var setsPromises: Bool {
      switch self {
      case .activate, .load, .mark: true
      case .identity, .join, .createStores, .rebuild, .engine, .promises, .fence, .lineage, .shutdown: false
      }
    }

    fileprivate var lane: DiskLane { if case .identity = self { .urgent } else { .background } }
  }

  private var open: [JobID: Purpose] = [:]
  private var next: UInt64 = 1

  mutating func add(_ purpose: Purpose, _ steps: [DiskStep]) -> DiskJob {
    let id = JobID(next)
    next += 1
    open[id] = purpose
    return DiskJob(id: id, lane: purpose.lane, steps: steps)
  }

  mutating func finish(_ id: JobID) -> Purpose? { open.removeValue(forKey: id) }

  func contains(where matches: (Purpose) -> Bool) -> Bool { open.values.contains(where: matches) }

  var isEmpty: Bool { open.isEmpty }
  var count: Int { open.count }
}
